"""Which engine runs a sub-model."""

from __future__ import annotations

import onnx_ir as ir

from volunet.inference.engines.static import StaticModel, open_static


def open_part(model: ir.Model, engine: str, threads: int | None) -> StaticModel:
    """Load a sub-model into an engine.

    The few numbers that statistics are merged from are computed in float64, which OpenVINO's CPU
    plugin turns into float32: those sub-models go to ONNX Runtime.

    Args:
        model: The sub-model.
        engine: Name of the engine.
        threads: Threads to use; None leaves it to the engine.
    """
    if engine == "openvino" and _is_float64(model):
        engine = "onnxruntime"
    return open_static(model, engine, threads)


def _is_float64(model: ir.Model) -> bool:
    casts = (node for node in model.graph if node.op_type == "Cast")
    return any(node.attributes["to"].as_int() == ir.DataType.DOUBLE for node in casts)
