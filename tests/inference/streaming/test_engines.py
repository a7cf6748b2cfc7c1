"""Each part of a network goes to an engine that computes it as it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto

from volunet.errors import EngineError
from volunet.inference.engines.onnxruntime_engine import OnnxRuntimeStatic
from volunet.inference.engines.openvino_engine import OpenVinoStatic
from volunet.inference.engines.torch_engine import TorchStatic
from volunet.inference.streaming.engines import open_part

CLASSES = {"openvino": OpenVinoStatic, "onnxruntime": OnnxRuntimeStatic, "torch": TorchStatic}


def answer_of(part: Any, x: Any, shape: tuple[int, ...]) -> Any:
    out = np.full(shape, np.nan, np.float32)
    part.run([x], [out])
    return out


@pytest.mark.parametrize("engine", CLASSES)
def test_the_engine_that_was_asked_for(engine: str, net: Any, whole: Any, scan: Any) -> None:
    made = net((5, 4, 3))
    made.conv(3, (3, 3, 3), pads=[1] * 6)
    part = open_part(ir.from_proto(made.model()), engine, 1)
    assert type(part) is CLASSES[engine]
    x = scan(5, 4, 3)
    got = answer_of(part, x, (1, 3, 5, 4, 3))
    np.testing.assert_allclose(got, whole(made.model(), x), atol=1e-5)


@pytest.mark.parametrize(
    ("engine", "wanted"),
    [("openvino", "onnxruntime"), ("onnxruntime", "onnxruntime"), ("torch", "torch")],
)
def test_float64_is_computed_in_float64(engine: str, wanted: str, net: Any) -> None:
    made = net((2, 2, 2), channels=1)
    made.add("Cast", to=TensorProto.DOUBLE)
    made.add("Add", made.x, made.weight(np.float64(1e9)))
    made.add("Sub", made.x, made.weight(np.float64(1e9)))
    made.add("Cast", to=TensorProto.FLOAT)
    part = open_part(ir.from_proto(made.model()), engine, 1)
    assert type(part) is CLASSES[wanted]
    x = np.linspace(0.1, 0.9, 8, dtype=np.float32).reshape(1, 1, 2, 2, 2)
    # In float32 a sum of 1e9 would swallow them.
    np.testing.assert_allclose(answer_of(part, x, x.shape), x, atol=1e-6)


def test_an_unknown_engine(net: Any) -> None:
    made = net((2, 2, 2))
    made.add("Relu")
    with pytest.raises(EngineError, match="--engine cuda: no such engine"):
        open_part(ir.from_proto(made.model()), "cuda", 1)
