"""Networks from ONNX back to PyTorch, verified or not, beside onnx2torch and pnnx."""

TAKES = "90 min, 1 GB of disk"
