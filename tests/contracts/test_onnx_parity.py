"""An exported model answers on every engine what the network answers in PyTorch.

Here the network's side is put together without the exporting code: NumPy normalises, PyTorch runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from volunet.exporting.convert import example_size
from volunet.graph.inspecting.limits import find_limits
from volunet.graph.network import infer_sizes
from volunet.graph.reading.onnx_file import parse_onnx
from volunet.inference.engines import open_engine
from volunet.plan import NetworkPlan, Plan
from volunet.volumes.normalise import normalise

TOLERANCE = 1e-5
"""Absolute, on logits of about 1: float32 sums in another order."""

SIZES = [(1, 1, 1), (1, 9, 2), (3, 1, 7), (8, 6, 1), (2, 3, 5), (8, 8, 8), (17, 13, 19), (5, 31, 4)]

CASES: dict[str, dict[str, Any]] = {
    # The third of them has the thick slices, so that kernels and strides differ by axis.
    "pad_input-group": {
        "alignment": "pad_input", "norm": "group", "upsampling": "trilinear", "features": (2, 4),
    },
    "pad-batch": {"upsampling": "transposed_dilated", "alignment": "pad", "features": (4, 8)},
    "crop-instance": {
        "alignment": "crop",
        "norm": "instance",
        "residual": True,
        "kernels": ((1, 3, 3), (3, 3, 3)),
        "strides": ((1, 2, 2),),
        "features": (2, 4),
    },
}  # fmt: skip
"""The second as in inference/streaming/test_execution.py, so that it is exported once."""


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def exported(
    request: pytest.FixtureRequest,
    tiny_plan: Callable[..., Plan],
    trained: Callable[..., Any],
    converted: Callable[[Plan], bytes],
) -> tuple[Plan, Any, bytes]:
    plan = tiny_plan(**request.param)
    return plan, trained(plan), converted(plan)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_answer_as_pytorch(exported: tuple[Plan, Any, bytes], engine: str) -> None:
    plan, network, data = exported
    assert isinstance(plan.network, NetworkPlan)
    opened = open_engine(data, engine, threads=1)
    rng = np.random.default_rng(0)
    assert example_size(network) not in SIZES
    differences = {}
    for size in SIZES:
        raw = rng.uniform(-400, 600, (1, *size)).astype(np.float32)
        with torch.inference_mode():
            want = network(torch.from_numpy(normalise(raw, plan.normalisation)[None])).numpy()
        got = opened.run(raw[None])
        assert got.shape == want.shape
        if plan.network.alignment != "crop":
            assert got.shape == (1, 3, *size)
        differences[size] = float(np.abs(got - want).max())
    assert max(differences.values()) <= TOLERANCE, differences


def test_another_networks_answers_are_apart(
    exported: tuple[Plan, Any, bytes], trained: Callable[..., Any]
) -> None:
    """The check itself: fresh weights of another seed are far beyond the tolerance."""
    plan, _, data = exported
    raw = np.random.default_rng(0).uniform(-400, 600, (1, 8, 8, 8)).astype(np.float32)
    with torch.inference_mode():
        other = trained(plan, seed=1)(torch.from_numpy(normalise(raw, plan.normalisation)[None]))
    got = open_engine(data, "onnxruntime", threads=1).run(raw[None])
    assert np.abs(got - other.numpy()).max() > 1000 * TOLERANCE


def test_the_graph_says_the_sizes_of_the_answer(exported: tuple[Plan, Any, bytes]) -> None:
    """Read off the file without running it: every size goes through, to the network's own."""
    plan, network, data = exported
    model = parse_onnx(data)
    assert find_limits(infer_sizes(model, "m")).text == "any size"
    for size in SIZES:
        inferred = infer_sizes(model, "m", size)
        assert (inferred.failures, inferred.unsupported) == ((), ())
        with torch.inference_mode():
            want = tuple(network(torch.zeros(1, len(plan.channels), *size)).shape)
        assert inferred.outputs[0].shape == want, size
