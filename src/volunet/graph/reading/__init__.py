"""An ONNX file as a graph that is sound."""
