"""Network → ONNX, verified on every engine at sizes that the export never saw.

`volunet.exporting.check` works without PyTorch; `convert` and `export` need ``volunet[train]``.
"""
