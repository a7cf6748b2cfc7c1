"""reverse(export(network)) is the network, and exporting that and reversing it again changes
nothing: a fixed point, for every option that `volunet.nets` has."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
import pytest

from volunet.api.reverse import reverse
from volunet.plan import NetworkPlan, Normalisation, Plan

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from onnxscript import optimizer  # noqa: E402

from volunet.exporting.convert import convert  # noqa: E402
from volunet.nets import build_network  # noqa: E402
from volunet.nets.deployed import DeployedNetwork  # noqa: E402

TOLERANCE = 1e-5
"""Relative to the largest answer: float32 sums in another order."""

NO_RULE = Normalisation(kind="none")
ZSCORE = Normalisation(kind="zscore")

DEPLOYED: dict[str, dict[str, Any]] = {
    "pad_input, transposed_dilated, batch, relu: the notes' network; deep supervision": {
        "features": (4, 8, 16), "upsampling": "transposed_dilated", "output_activation": "relu",
        "deep_supervision": True, "normalisation": (NO_RULE,),
    },
    "crop, transposed, batch, leaky_relu, residual, softmax; two channels of z-scores": {
        "alignment": "crop", "activation": "leaky_relu", "residual": True,
        "output_activation": "softmax", "channels": 2, "normalisation": (ZSCORE, ZSCORE),
    },
    "pad, trilinear, group, elu; thick slices; clip_zscore, probabilities": {
        "alignment": "pad", "upsampling": "trilinear", "norm": "group", "activation": "elu",
        "kernels": ((1, 3, 3), (3, 3, 3)), "strides": ((1, 2, 2),), "answer": "probabilities",
    },
    "pad_input, trilinear, instance, gelu, dropout; clip_zscore, labels": {
        "upsampling": "trilinear", "norm": "instance", "activation": "gelu", "dropout": 0.1,
        "answer": "labels",
    },
}  # fmt: skip
"""Networks as ``volunet export`` writes them: normalisation in front, any size, the plan's answer.

Crop and instance norm are not together: PyTorch's export of such a source stops at the check in
`nn.InstanceNorm3d` that there is more than one voxel, whose sizes it does not follow through a
crop."""

PLAIN: dict[str, dict[str, Any]] = {
    "transposed-batch-relu": {},
    "transposed-batch-leaky_relu-residual": {"activation": "leaky_relu", "residual": True},
    "transposed_dilated-batch-elu": {"upsampling": "transposed_dilated", "activation": "elu"},
    "transposed_dilated-instance-gelu": {
        "upsampling": "transposed_dilated", "norm": "instance", "activation": "gelu",
    },
    "trilinear-group-relu-softmax": {
        "upsampling": "trilinear", "norm": "group", "output_activation": "softmax",
    },
    "trilinear-none-residual-sigmoid": {
        "upsampling": "trilinear", "norm": "none", "residual": True, "output_activation": "sigmoid",
    },
    "trilinear-instance-leaky_relu-residual": {
        "upsampling": "trilinear", "norm": "instance", "activation": "leaky_relu", "residual": True,
    },
    "transposed-group-elu-relu": {
        "norm": "group", "activation": "elu", "output_activation": "relu",
    },
    "thick slices": {"kernels": ((1, 3, 3), (1, 3, 3), (3, 3, 3)), "strides": ((1, 2, 2),) * 2},
    "one level": {"features": (4,)},
}  # fmt: skip
"""Networks for multiples of their strides, by the older exporter, which folds batch norms."""


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters' notes on what they will do in versions to come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def loaded(source: Path) -> Any:
    spec = importlib.util.spec_from_file_location("round_trip", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(str(source.with_suffix(".safetensors")))


def answer(network: Any, size: tuple[int, ...]) -> Any:
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(size).astype(np.float32))
    with torch.no_grad():
        return network(x).numpy()


def assert_same_answer(network: Any, other: Any, size: tuple[int, ...]) -> None:
    want, got = answer(network, size), answer(other, size)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if want.dtype.kind == "i":  # classes; of two that tie, rounding chooses
        assert np.mean(got != want) <= 1e-3
        return
    assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max()


def num_parameters(network: Any) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(keys, id=name, marks=[pytest.mark.long] * (index > 1))
        for index, (name, keys) in enumerate(DEPLOYED.items())
    ],
)
def test_a_deployed_network(
    keys: dict[str, Any],
    tmp_path: Path,
    tiny_plan: Callable[..., Plan],
    trained: Callable[[Plan], Any],
) -> None:
    plan = tiny_plan(**({"features": (4, 8)} | keys))
    network = trained(plan)
    channels = len(plan.channels)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (first / "net.onnx").write_bytes(convert(network, plan))
    report = reverse(first / "net.onnx", first / "net.py")
    assert report.verification is not None, report.unverified
    assert (report.verification.failure, report.verification.differs) == (None, None)
    assert report.verification.largest <= TOLERANCE

    source = loaded(report.source)
    assert isinstance(plan.network, NetworkPlan)
    aside = num_parameters(network.side_heads)  # of training only
    assert num_parameters(source) == report.parameters == num_parameters(network) - aside
    deployed = DeployedNetwork(network, plan).eval()
    for size in ((7, 11, 6), (9, 5, 14)):  # no multiples of anything
        assert_same_answer(deployed, source, (1, channels, *size))

    second.mkdir()
    dynamic = dict.fromkeys((2, 3, 4), torch.export.Dim.DYNAMIC)
    with quiet():
        program = torch.onnx.export(
            source, (torch.zeros(1, channels, 7, 11, 9),), dynamo=True, opset_version=18,
            optimize=False, verbose=False, dynamic_shapes=(dynamic,),
        )  # fmt: skip
    # The exporter's own optimisation would fold the batch norms.
    common.InlinePass()(program.model)
    optimizer.fold_constants(program.model)
    common.RemoveUnusedNodesPass()(program.model)
    ir.save(program.model, second / "net.onnx")
    again = reverse(second / "net.onnx", second / "net.py", verified=False)
    assert again.source.read_text() == report.source.read_text()
    assert again.parameters == report.parameters


@pytest.mark.parametrize("keys", PLAIN.values(), ids=PLAIN)
def test_a_network_for_multiples_of_its_strides(keys: dict[str, Any], tmp_path: Path) -> None:
    plan = NetworkPlan(**({"in_channels": 2, "out_channels": 3, "features": (4, 8, 16)} | keys))
    torch.manual_seed(0)
    network = build_network(plan).train()
    network(torch.randn(2, 2, 16, 16, 16))  # statistics of batch norms other than 0 and 1
    network.eval()
    network._pad = lambda x: x
    network._crop = lambda y, _size: y
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    folded = sum(num_parameters(norm) for norm in norms)

    sources = []
    exported = network
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        with quiet():
            torch.onnx.export(
                exported, (torch.randn(1, 2, 16, 8, 12),), folder / "net.onnx", dynamo=False,
                opset_version=17, input_names=[f"{name}_input"],
                dynamic_axes={f"{name}_input": {0: "n", 2: "d", 3: "h", 4: "w"}},
            )  # fmt: skip
        report = reverse(folder / "net.onnx", folder / "net.py", verified=False)
        sources.append(report.source.read_text())
        exported = loaded(report.source)
        assert num_parameters(exported) == report.parameters == num_parameters(network) - folded
        assert_same_answer(network, exported, (2, 2, 8, 20, 12))
    assert sources[0] == sources[1]
    assert "class UNet(" in sources[0] or plan.features == (4,)
    if len(plan.features) > 1:
        assert "features=(4, 8, 16)" in sources[0]
