"""The operators of a network as data, on `onnx_ir`: so far, reading a model file and its plan."""

from volunet.graph.onnx_file import find_plan, read_onnx

__all__ = ["find_plan", "read_onnx"]
