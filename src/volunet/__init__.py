"""volunet: any-size 3D U-Nets for volumetric images, from a folder of scans to one ONNX file."""
