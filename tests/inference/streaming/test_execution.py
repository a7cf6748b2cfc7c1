"""A streamed pass is the whole pass: to rounding in float32, to nothing in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from volunet.graph.spans import Window
from volunet.inference.streaming import kernels
from volunet.inference.streaming.buffers import Ring, along
from volunet.inference.streaming.execution import Execution
from volunet.plan import Plan

NETWORKS: dict[str, dict[str, Any]] = {
    "crop": {"alignment": "crop", "residual": True, "features": (4, 8)},
    "pad": {"alignment": "pad", "upsampling": "trilinear", "activation": "leaky_relu"},
    "dilated": {"upsampling": "transposed_dilated", "alignment": "pad", "features": (4, 8)},
    "instance": {"norm": "instance", "activation": "leaky_relu", "features": (4, 8)},
    "group": {
        "norm": "group", "activation": "elu", "output_activation": "softmax", "features": (4, 8),
    },
    "anisotropic": {
        "alignment": "pad_input",
        "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 5)),
        "strides": ((1, 2, 2), (2, 2, 3)),
        "residual": True,
    },
}  # fmt: skip
SIZE = (9, 12, 11)


@pytest.fixture(scope="module")
def exported(
    tiny_plan: Callable[..., Plan], converted: Callable[[Plan], bytes]
) -> Callable[[str], bytes]:
    """Export a network of ours."""
    return lambda name: with_exact_epsilons(converted(tiny_plan(**NETWORKS[name])))


def with_exact_epsilons(data: bytes) -> bytes:
    """A model whose norms add 2⁻¹⁰, not 1e-5, of which PyTorch and ONNX each round their own."""
    model = onnx.load_model_from_string(data)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 2.0**-10
    return model.SerializeToString()


def intensities(*size: int) -> Any:
    return np.random.default_rng(0).uniform(-400, 600, (1, 1, *size)).astype(np.float32)


def difference(got: Any, want: Any) -> float:
    """The largest one, as a share of the largest answer where that is above 1."""
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    assert np.ptp(want) > 0.01
    return float(np.abs(got - want).max() / max(1, np.abs(want).max()))


@pytest.mark.parametrize("axis", [2, 3, 4], ids=["D", "H", "W"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_ours_in_float64_is_exactly_its_whole_pass(
    name: str, axis: int, exported: Any, stream: Any, whole: Any
) -> None:
    x = intensities(*SIZE)
    want = whole(exported(name), x, np.float64)
    for chunk, recomputed, spilled in ((1, (), ()), ((4, 2), list, ()), ((3, 5), odd, even)):
        got = stream(exported(name), x, axis, chunk, recomputed, spilled, "torch", np.float64)
        # A few thousand float64 sums in another order: 1e-14 or so.
        assert difference(got, want) <= 1e-12


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_choice_changes_the_answer(
    name: str, engine: str, exported: Any, stream: Any, whole: Any
) -> None:
    x = intensities(*SIZE)
    want = whole(exported(name), x)
    choices = [
        (2, 8, (), ()),
        (3, (2, 3), list, ()),
        (4, 5, odd, even),
    ]  # fmt: skip
    if engine == "openvino":  # compiling takes a second a network
        choices = choices[1:2]
    for axis, chunk, recomputed, spilled in choices:
        got = stream(exported(name), x, axis, chunk, recomputed, spilled, engine)
        # 1e-5 of logits of about 1: float32 sums in another order.
        assert difference(got, want) <= 1e-5


def test_threads_do_not_change_the_answer(exported: Any, stream: Any, whole: Any) -> None:
    x = intensities(*SIZE)
    want = whole(exported("instance"), x)
    for threads in (1, 2):
        got = stream(exported("instance"), x, 2, (4, 3), odd, threads=threads)
        assert difference(got, want) <= 1e-5


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 5, 4), (3, 2, 1), (2, 9, 3)], ids=str)
@pytest.mark.parametrize("name", ["pad", "anisotropic", "group"])
def test_scans_shorter_than_the_networks_lag(
    name: str, size: tuple[int, int, int], exported: Any, stream: Any, whole: Any
) -> None:
    x = intensities(*size)
    want = whole(exported(name), x, np.float64)
    for axis in (2, 3, 4):
        got = stream(exported(name), x, axis, 3, odd, (), "torch", np.float64)
        assert np.abs(got - want).max() <= 1e-12 * max(1, np.abs(want).max())


@pytest.mark.parametrize("axis", [2, 3, 4], ids=["D", "H", "W"])
def test_labels_are_those_of_the_whole_pass(
    axis: int, labels_onnx: Any, stream: Any, whole: Any
) -> None:
    x = np.concatenate([intensities(*SIZE), 2 * intensities(*SIZE)[:, :, ::-1]], axis=1)
    want = whole(labels_onnx, x)
    got = stream(labels_onnx, x, axis, (3, 2), odd, even)
    assert (got.dtype, got.shape, len(np.unique(want))) == (want.dtype, want.shape, 3)
    assert np.array_equal(got, want)  # no two logits of a voxel are within rounding


def odd(names: list[str]) -> list[str]:
    return names[1::2]


def even(names: list[str]) -> list[str]:
    return names[::2]


def test_a_window_before_the_first_slice_needs_nothing(
    net: Any, stream: Any, whole: Any, scan: Any
) -> None:
    made = net((5, 3, 2))
    made.conv(2, (1, 1, 1))
    made.conv(2, (3, 1, 1))
    made.add("Pad", made.x, made.weight(np.array([0, 0, 9, 0, 0, 0, 0, 7, 0, 0])))
    assert wrong(made, stream, whole, scan, (5, 3, 2)) <= 1e-6


def test_each_spilled_tensor_has_a_file_of_its_own(
    net: Any, build: Any, execute: Any, whole: Any, scan: Any
) -> None:
    made = net((12, 3, 2))
    for _ in range(2):  # tensors that are made at once come and go between the spilled ones
        made.conv(2, (2, 1, 1), strides=[2, 1, 1])
        skip = made.x
        made.add("InstanceNormalization", skip, made.normal(2, mean=1), made.normal(2))
        made.transposed(2, (2, 1, 1), strides=[2, 1, 1])
        made.conv(2, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    x = scan(12, 3, 2)
    built = build(made.model(), (12, 3, 2), 2, 2, (), list)
    assert len(built.program.spilled) > 5
    assert np.abs(execute(built, x) - whole(made.model(), x)).max() <= 1e-5


def test_a_reshape_may_leave_axes_out(net: Any, stream: Any, whole: Any, scan: Any) -> None:
    made = net((1, 12, 1))
    made.conv(2, (1, 3, 1), pads=[0, 1, 0, 0, 1, 0])
    made.add("Reshape", made.x, made.weight(np.array([1, 2, 12])))
    made.add("Softmax", axis=1)
    made.add("Reshape", made.x, made.weight(np.array([1, 2, 1, 12, 1])))
    x = scan(1, 12, 1)
    assert np.abs(stream(made.model(), x, 3, 2) - whole(made.model(), x)).max() <= 1e-6


@pytest.mark.parametrize("axis", [2, 3], ids=["D", "H"])
def test_a_window_of_all_slices_is_one_for_all(
    axis: int, net: Any, stream: Any, whole: Any, scan: Any
) -> None:
    made = net((6, 4, 3))
    x = made.add("Relu")
    pooled = made.add("AveragePool", kernel_shape=[6, 4, 3])
    made.conv(2, (1, 1, 1))
    joined = made.add("Concat", pooled, made.x, axis=1)
    made.conv(2, (1, 1, 1))
    made.add("Mul", x, made.x)
    made.add("Concat", made.x, x, axis=1)
    assert joined in made.shapes
    made.add("Mul", made.x, joined)
    numbers = scan(6, 4, 3)
    got = stream(made.model(), numbers, axis, 2)
    assert np.abs(got - whole(made.model(), numbers)).max() <= 1e-6


@pytest.fixture
def chain(net: Any) -> Any:
    """Convolutions with biases and activations, to odd sizes and back."""
    made = net((13, 5, 4), seed=3)
    made.conv(3, (3, 3, 3), pads=[1] * 6)
    skip = made.add("Relu")
    made.conv(3, (2, 2, 2), strides=[2, 2, 2])
    made.add("Relu")
    made.conv(3, (3, 1, 1), pads=[1, 0, 0, 1, 0, 0])
    made.transposed(3, (3, 3, 2), strides=[2, 2, 2])
    made.add("Concat", skip, made.x, axis=1)
    made.conv(2, (3, 3, 3), pads=[1] * 6)
    return made


def wrong(chain: Any, stream: Any, whole: Any, scan: Any, size: Any = (13, 5, 4)) -> float:
    """The largest error of a streamed pass along the first axis, with chunks of 4 slices."""
    x = scan(*size)
    return float(np.abs(stream(chain.model(), x, 2, 4) - whole(chain.model(), x)).max())


# Each fault below is one that streaming could have; the comparison must see it. 1e-3 is a hundred
# times what rounding makes of it.


def test_the_chain_is_right_without_a_fault(chain: Any, stream: Any, whole: Any, scan: Any) -> None:
    assert wrong(chain, stream, whole, scan) <= 1e-5


def after_filling(monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]) -> None:
    """Do something to each window once it is filled."""
    fill = Execution._fill

    def changed(self: Execution, call: Any, index: int, number: int, block: Any) -> None:
        fill(self, call, index, number, block)
        change(self, call, index, number, block)

    monkeypatch.setattr(Execution, "_fill", changed)


def test_replicated_padding_is_seen(
    chain: Any, stream: Any, whole: Any, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replicate(_: Any, call: Any, index: int, number: int, block: Any) -> None:
        feed, windows = call.kernel.group.feeds[index], call.kernel.windows[index]
        start, axis = int(windows.starts[number]), feed.axis - 1
        if start < 0 and windows.length > -start and isinstance(feed.span, Window):
            along(block, axis, 0, -start)[...] = along(block, axis, -start, -start + 1)

    after_filling(monkeypatch, replicate)
    assert wrong(chain, stream, whole, scan) > 1e-3


def test_results_beyond_the_end_in_place_of_padding_are_seen(
    chain: Any, stream: Any, whole: Any, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = []

    def keep(self: Execution, call: Any, index: int, number: int, block: Any) -> None:
        feed, windows = call.kernel.group.feeds[index], call.kernel.windows[index]
        buffer = self._buffers.get(call.feeds[index][0])
        if not isinstance(buffer, Ring) or len(call.feeds[index]) > 1:
            return
        start = int(windows.starts[number])
        stop = min(start + windows.length, (max(buffer.blocks) + 1) * buffer.chunk)
        if stop > feed.size:
            inside = along(block, feed.axis - 1, feed.size - start, stop - start)
            buffer.copy_to(inside, feed.axis - 1, feed.size, stop)
            changed.append(number)

    after_filling(monkeypatch, keep)
    assert wrong(chain, stream, whole, scan) > 1e-3
    assert changed


def change_windows(monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any]) -> None:
    windows_of = kernels.windows_of

    def changed(span: Any, size: int, *numbers: int) -> Any:
        windows = windows_of(span, size, *numbers)
        return change(windows, size) if windows.length > 1 else windows

    monkeypatch.setattr(kernels, "windows_of", changed)


def test_a_window_that_is_one_slice_short_is_seen(
    chain: Any, stream: Any, whole: Any, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_windows(monkeypatch, lambda w, size: replace(w, needs=np.maximum(w.needs - 1, 0)))
    assert wrong(chain, stream, whole, scan) > 1e-3


def test_a_window_that_is_one_slice_off_is_seen(
    chain: Any, stream: Any, whole: Any, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shift(windows: Any, size: int) -> Any:
        needs = np.clip(windows.starts + 1 + windows.length, 0, size)
        return replace(windows, starts=windows.starts + 1, needs=needs)

    change_windows(monkeypatch, shift)
    assert wrong(chain, stream, whole, scan) > 1e-3


@pytest.mark.parametrize("op_type", ["InstanceNormalization", "GlobalAveragePool"])
def test_statistics_of_one_slice_are_seen(
    op_type: str, net: Any, stream: Any, whole: Any, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = net((13, 5, 4))
    x = made.add("Relu")
    weights = [made.normal(2), made.normal(2)] if op_type.startswith("Instance") else []
    made.add(op_type, x, *weights)
    made.add("Add", x, made.x)
    assert wrong(made, stream, whole, scan) <= 1e-5

    def first(_: Any, call: Any, index: int, number: int, block: Any) -> None:
        if call.kernel.group.is_whole:
            feed = call.kernel.group.feeds[index]
            block[...] = along(block, feed.axis, 0, 1)

    after_filling(monkeypatch, first)
    assert wrong(made, stream, whole, scan) > 1e-3
