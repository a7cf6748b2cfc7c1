"""Networks from ONNX back to PyTorch, verified or not, beside onnx2torch and pnnx."""

TAKES = "an hour, 1 GB of disk"
