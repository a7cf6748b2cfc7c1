"""A model file may come from anywhere: whatever is in it, the answer is a report or a message.

Models are spoilt at random places, with fixed seeds; anything but a `VolunetError` fails.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from onnx_ir.serde import SerdeError

from volunet.errors import VolunetError
from volunet.graph.drawing import draw_svg
from volunet.graph.inspecting.inspection import inspect_model, network_at
from volunet.graph.reading.structure import check_structure

NUMBERS = (-(2**40), -5, -1, 0, 1, 2, 3, 99, 2**40)


def spoil(model: onnx.ModelProto, rng: random.Random) -> None:
    """Change one attribute, input, operator, weight or size."""
    graph = model.graph
    node = rng.choice(graph.node)
    match rng.choice(("attribute", "no attribute", "input", "operator", "weight", "size")):
        case "attribute" if node.attribute:
            attribute = rng.choice(node.attribute)
            attribute.i = rng.choice(NUMBERS)
            attribute.f = rng.choice((0.0, -1.0, float("nan"), float("inf")))
            attribute.s = b"weird"
            attribute.ints[:] = rng.choices(NUMBERS, k=rng.randrange(9))
        case "no attribute" if node.attribute:
            del node.attribute[rng.randrange(len(node.attribute))]
        case "input" if node.input:
            names = [tensor.name for tensor in (*graph.initializer, *graph.input)]
            node.input[rng.randrange(len(node.input))] = rng.choice(["", *names])
        case "operator":
            node.op_type = rng.choice([other.op_type for other in graph.node])
        case "weight" if graph.initializer:
            weight = rng.choice(graph.initializer)
            shape = rng.choices((0, 1, 2, 5), k=rng.randrange(6))
            filled = np.full(shape, rng.choice(NUMBERS), rng.choice((np.int64, np.float32)))
            weight.CopyFrom(numpy_helper.from_array(filled, weight.name))
        case _:
            sizes = graph.input[0].type.tensor_type.shape.dim
            if rng.random() < 0.5 and sizes:
                del sizes[-1]
            elif sizes:
                rng.choice(sizes).dim_value = rng.choice((0, 1, 3, 64))


@pytest.fixture(params=["two levels", "volunet's own"])
def sound(request, two_levels: Callable[..., ir.Model], tiny_onnx: Path) -> onnx.ModelProto:
    if request.param == "two levels":
        return ir.to_proto(two_levels())
    return onnx.load(tiny_onnx)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.long] * (seed >= 20)) for seed in range(40)]
)
def test_a_spoilt_model_gets_a_report_or_a_message(
    sound: onnx.ModelProto, seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)  # noqa: S311  (reproducible, not secret)
    for _ in range(5):
        spoilt = onnx.ModelProto()
        spoilt.CopyFrom(sound)
        for _ in range(rng.randint(1, 3)):
            spoil(spoilt, rng)
        try:
            model = ir.from_proto(spoilt)
            check_structure(model, tmp_path / "spoilt.onnx")
            report = inspect_model(model, "spoilt", size=rng.choice((None, (12,))))
            network, symbolic = network_at(model, "spoilt", None, None)
            drawing = draw_svg(network, style="graph", title="spoilt", labels=symbolic)
        except (VolunetError, SerdeError):  # what read_onnx makes a message of
            continue
        assert report.to_json()["complete"] == report.complete
        assert drawing.startswith("<svg")
