"""Random networks, streamed in random ways: the answer is the whole pass'.

Each layer's numbers are wild on the streamed axis and tame on the others, so that the networks stay
small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from volunet.errors import EngineError

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
Draw = Callable[..., Any]
EPSILON = 2.0**-10
"""A float32 whose decimals PyTorch's source shows to the last."""

COORDINATES = [
    "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric",
]  # fmt: skip


class Layers:
    """Draws layers and puts them into a network.

    Args:
        draw: Draws from a strategy.
        net: The network.
        axis: The axis whose numbers are wild.
    """

    def __init__(self, draw: Draw, net: Any, axis: int) -> None:
        self.draw = draw
        self.net = net
        self.axis = axis

    def number(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def spatial(self, own: Any, other: Any) -> list[Any]:
        """A number for each spatial axis."""
        return [own if axis == self.axis else other for axis in (2, 3, 4)]

    @property
    def size(self) -> int:
        return int(self.net.shape[self.axis])

    def window(
        self, dilated: bool = True, most: int = 7, pools: bool = False
    ) -> dict[str, list[int]]:
        """Kernel, stride, dilation and padding of a window that fits."""
        dilation = self.number(1, 3) if dilated else 1
        kernel = self.number(1, most)
        reach = dilation * (kernel - 1) + 1
        padded = min(kernel - 1 if pools else reach - 1, 4)
        begin, end = self.number(0, padded), self.number(0, padded)
        assume(self.size + begin + end >= reach)
        stride = self.number(1, 3)
        keys = {
            "kernel_shape": self.spatial(kernel, 1),
            "strides": self.spatial(stride, 1),
            "pads": self.spatial(begin, 0) + self.spatial(end, 0),
        }
        return keys | ({"dilations": self.spatial(dilation, 1)} if dilated else {})

    def conv(self) -> None:
        keys = self.window()
        other = self.one_of(1, 1, 3)
        for axis in (2, 3, 4):
            if axis != self.axis:
                keys["kernel_shape"][axis - 2] = other
                keys["pads"][axis - 2] = keys["pads"][axis + 1] = other // 2
        channels = self.net.shape[1]
        out = self.number(1, 3)
        group = self.one_of(1, 1, channels)
        self.net.conv(out * group if group > 1 else out, keys["kernel_shape"], group=group, **{
            k: v for k, v in keys.items() if k != "kernel_shape"
        })  # fmt: skip

    def ceil_mode(self, keys: dict[str, list[int]]) -> int:
        """0 or 1; 0 where a window would begin in the padding, which onnx counts, but no engine."""
        own = self.axis - 2
        begin, end = keys["pads"][own], keys["pads"][own + 3]
        reach = keys.get("dilations", [1] * 3)[own] * (keys["kernel_shape"][own] - 1) + 1
        stride = keys["strides"][own]
        last = -(-(self.size + begin + end - reach) // stride) * stride
        return self.number(0, 1) if last < self.size + begin else 0

    def max_pool(self) -> None:
        keys = self.window(most=4, pools=True)
        self.net.add("MaxPool", ceil_mode=self.ceil_mode(keys), **keys)

    def average_pool(self) -> None:
        keys = self.window(dilated=False, most=4, pools=True)
        counted, ceil = self.number(0, 1), self.ceil_mode(keys)
        self.net.add("AveragePool", ceil_mode=ceil, count_include_pad=counted, **keys)

    def activation(self) -> None:
        op_type = self.one_of("Relu", "LeakyRelu", "Sigmoid", "Tanh", "PRelu", "Clip", "Abs")
        if op_type == "PRelu":
            slope = self.net.normal(self.net.shape[1], 1, 1, 1, scale=0.2)
            self.net.add("PRelu", self.net.x, slope)
        elif op_type == "Clip":
            low = self.net.weight(np.array(-0.5, np.float32))
            self.net.add("Clip", self.net.x, low)
        else:
            self.net.add(op_type)

    def transposed(self) -> None:
        kernel, stride = self.number(1, 4), self.number(1, 3)
        dilation = self.number(1, 3)
        reach = dilation * (kernel - 1) + 1
        begin, end = self.number(0, reach - 1), self.number(0, reach - 1)
        added = self.number(0, stride - 1)  # ONNX Runtime takes no more
        assume((self.size - 1) * stride + reach + added - begin - end >= 1)
        out, group = self.number(1, 2), self.one_of(1, 1, self.net.shape[1])
        self.net.transposed(
            out * group, self.spatial(kernel, 1), group=group,
            strides=self.spatial(stride, 1), dilations=self.spatial(dilation, 1),
            pads=self.spatial(begin, 0) + self.spatial(end, 0),
            output_padding=self.spatial(added, 0),
        )  # fmt: skip

    def resize(self) -> None:
        mode = self.one_of("nearest", "linear")
        coordinates = self.one_of(*COORDINATES)
        keys: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinates}
        if mode == "nearest":
            keys["nearest_mode"] = self.one_of(
                "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"
            )
        other = self.one_of(1, 1, 2)
        if self.number(0, 1):
            scale = self.one_of(0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 2.5)
            assume(int(self.size * scale) >= 1)
            scales = np.array([1, 1, *self.spatial(scale, other)], np.float32)
            self.net.add("Resize", self.net.x, "", self.net.weight(scales), **keys)
        else:
            wanted = self.number(1, 2 * self.size)
            spatial = [other * d for d in self.net.shape[2:]]
            spatial[self.axis - 2] = wanted
            sizes = np.array([*self.net.shape[:2], *spatial])
            self.net.add("Resize", self.net.x, "", "", self.net.weight(sizes), **keys)

    def pad(self) -> None:
        mode = self.one_of("constant", "constant", "edge", "reflect", "wrap")
        most = 3 if mode == "constant" else min(3, self.size - 1)
        begin, end = self.number(-2, most), self.number(-2, most)
        assume(self.size + min(begin, 0) + min(end, 0) >= 1)
        if mode != "constant":
            assume(max(begin, end) < self.size + min(begin, 0) + min(end, 0))
        if mode == "wrap":
            assume(min(begin, end) >= 0)  # ONNX Runtime wraps what was cut off as well
        pads = np.array([0, 0, *self.spatial(begin, 0), 0, 0, *self.spatial(end, 0)])
        inputs = [self.net.x, self.net.weight(pads)]
        if mode == "constant" and self.number(0, 1):
            inputs.append(self.net.weight(np.array(0.75, np.float32)))
        self.net.add("Pad", *inputs, mode=mode)

    def slice(self) -> None:
        start = self.number(0, self.size - 1)
        step = self.one_of(1, 1, 2, 3, -1)
        stop = self.number(start + 1, self.size)
        if step < 0:
            start, stop = stop - 1, -(10**6) if start == 0 else start - 1
        w = self.net.weight
        places = [w(np.array([number])) for number in (start, stop, self.axis, step)]
        self.net.add("Slice", self.net.x, *places)

    def fitted(self, name: str, wanted: tuple[int, ...]) -> str:
        """A tensor, padded or cropped behind or in front to a size."""
        gaps = [b - a for a, b in zip(self.net.shapes[name], wanted, strict=True)][2:]
        if not any(gaps):
            return name
        front = [gap // 2 for gap in gaps]
        pads = [0, 0, *front, 0, 0, *(g - f for g, f in zip(gaps, front, strict=True))]
        return str(self.net.add("Pad", name, self.net.weight(np.array(pads))))

    def residual(self) -> None:
        x, shape = self.net.x, self.net.shape
        kernel = self.one_of(1, 3, 5)
        pads = self.spatial(kernel // 2, 0)
        self.net.conv(shape[1], self.spatial(kernel, 1), pads=pads + pads)
        self.net.add(self.one_of("Add", "Sub", "Mul"), self.net.x, x)

    def concat(self) -> None:
        parts = [self.net.x]
        self.simple()
        parts.append(self.fitted(self.net.x, (*self.net.shape[:2], *self.net.shapes[parts[0]][2:])))
        if self.number(0, 1):
            parts.append(self.one_of(*parts))
        joined = self.net.add("Concat", *parts, axis=self.one_of(1, -4))
        if self.number(0, 1):
            self.net.add("Concat", joined, self.one_of(*parts), axis=1)
        if self.number(0, 1):
            self.net.conv(2, self.spatial(self.number(1, min(3, self.size)), 1))

    def u(self) -> None:
        """Down, something, up, and the skip."""
        assume(self.size >= 2)
        skip, shape = self.net.x, self.net.shape
        two = self.spatial(2, 1)
        if self.number(0, 1):
            self.net.add("MaxPool", kernel_shape=two, strides=two)
        else:
            self.net.conv(2, self.spatial(2, 1), strides=two)
        self.layer(depth=1)
        self.net.transposed(2, two, strides=two)
        up = self.fitted(self.net.x, (*self.net.shape[:2], *shape[2:]))
        self.net.add("Concat", skip, up, axis=1)

    def squeeze_and_excite(self) -> None:
        x = self.net.x
        self.reduced(keep=True)
        if self.net.shape[2:] == (1, 1, 1):
            self.net.conv(self.net.shape[1], (1, 1, 1))
        self.net.add("Sigmoid")
        self.net.add("Mul", x, self.net.x)

    def reduced(self, keep: bool) -> None:
        kind = self.one_of(
            "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "ReduceMin",
            "ReduceSum", "ReduceL2",
        )  # fmt: skip
        if kind.startswith("Global"):
            self.net.add(kind)
            return
        axes = self.one_of((2, 3, 4), (self.axis,), (1, self.axis), (1,), (-1, -2))
        self.net.add(kind, self.net.x, self.net.weight(np.array(axes)), keepdims=int(keep))
        if kind == "ReduceSum":
            self.net.add("Mul", self.net.x, self.net.weight(np.array(0.1, np.float32)))

    def instance_norm(self) -> None:
        channels = self.net.shape[1]
        scale, bias = self.net.normal(channels, mean=1), self.net.normal(channels)
        self.net.add("InstanceNormalization", self.net.x, scale, bias, epsilon=EPSILON)

    def group_norm(self) -> None:
        shape = self.net.shape
        channels = shape[1]
        groups = self.one_of(*(g for g in range(1, channels + 1) if channels % g == 0))
        if self.number(0, 1):
            scale, bias = self.net.normal(channels, mean=1), self.net.normal(channels)
            keys = {"num_groups": groups, "epsilon": EPSILON}
            self.net.add("GroupNormalization", self.net.x, scale, bias, **keys)
            return
        flat = self.net.weight(np.array([1, groups, -1]))
        self.net.add("Reshape", self.net.x, flat)
        scale, bias = self.net.normal(groups, mean=1), self.net.normal(groups)
        self.net.add("InstanceNormalization", self.net.x, scale, bias, epsilon=EPSILON)
        self.net.add("Reshape", self.net.x, self.net.weight(np.array(shape)))
        self.net.add("Mul", self.net.x, self.net.normal(channels, 1, 1, 1, mean=1))
        self.net.add("Add", self.net.x, self.net.normal(channels, 1, 1, 1))

    def attention(self) -> None:
        x, shape = self.net.x, self.net.shape
        flat = self.net.add("Reshape", x, self.net.weight(np.array([1, shape[1], -1])))
        turned = self.net.add("Transpose", flat, perm=[0, 2, 1])
        self.net.add("MatMul", turned, flat)
        # Small scores: a softmax of large ones multiplies the rounding before it.
        scores = self.net.add("Mul", self.net.x, self.net.weight(np.array(0.1, np.float32)))
        weights = self.net.add("Softmax", scores, axis=-1)
        self.net.add("MatMul", flat, weights)
        self.net.add("Reshape", self.net.x, self.net.weight(np.array(shape)))
        if self.number(0, 1):
            self.net.add("Add", self.net.x, x)

    def turned(self) -> None:
        """Spatial axes in another order: the streamed one moves."""
        order = self.draw(st.permutations((2, 3, 4)))
        self.net.add("Transpose", perm=[0, 1, *order])
        self.axis = 2 + list(order).index(self.axis)

    def positions(self) -> None:
        """A constant that differs along the axis."""
        self.net.add("Add", self.net.x, self.net.normal(*self.spatial(self.size, 1)))

    def softmax(self) -> None:
        self.net.add("Softmax", axis=self.one_of(1, 1, 1, self.axis))

    def simple(self) -> None:
        self.one_of(self.conv, self.conv, self.max_pool, self.average_pool, self.activation,
                    self.transposed, self.resize, self.pad, self.slice)()  # fmt: skip

    def layer(self, depth: int = 0) -> None:
        composed = (
            self.residual, self.concat, self.squeeze_and_excite, self.instance_norm,
            self.group_norm, self.attention, self.turned, self.positions, self.softmax, self.norm,
        )  # fmt: skip
        if self.number(0, 1):
            self.simple()
        else:
            self.one_of(*composed, *(() if depth else (self.u,)))()

    def norm(self) -> None:
        channels = self.net.shape[1]
        weights = [self.net.normal(channels, mean=m) for m in (1, 0, 0)]
        variance = self.net.weight(np.full(channels, 0.8, np.float32))
        self.net.add("BatchNormalization", self.net.x, *weights, variance)


@st.composite
def chunks(draw: Draw) -> list[int]:
    return list(draw(st.lists(st.sampled_from((1, 2, 3, 5, 8)), min_size=1, max_size=3)))


def some(draw: Draw) -> Callable[[list[str]], list[str]]:
    """Chooses some of the tensors that may be recomputed or spilled."""
    shares = draw(st.lists(st.booleans(), min_size=1, max_size=5))
    return lambda names: [n for i, n in enumerate(names) if shares[i % len(shares)]]


def drawn(draw: Draw, net: Any) -> tuple[Any, Any, int]:
    """A network, its input and the streamed axis."""
    axis = draw(st.sampled_from((2, 3, 4)))
    size = [draw(st.integers(1, 3)) for _ in range(3)]
    size[axis - 2] = draw(st.one_of(st.integers(1, 24), st.integers(8, 24)))
    made = net(size, channels=2, seed=draw(st.integers(0, 99)))
    layers = Layers(draw, made, axis)
    for _ in range(draw(st.integers(1, 5))):
        layers.layer()
    assume(np.prod(made.shape) < 20_000)
    x = np.random.default_rng(1).normal(0.3, 1, (1, 2, *size)).astype(np.float32)
    return made, x, axis


@settings(SETTINGS, max_examples=60)
@given(data=st.data())
def test_any_network_streamed_is_the_whole_pass(
    data: st.DataObject, net: Any, stream: Any, whole: Any
) -> None:
    streamed_is_whole(data, net, stream, whole)


@pytest.mark.long
@settings(SETTINGS, max_examples=400)
@given(data=st.data())
def test_many_networks_streamed_are_the_whole_pass(
    data: st.DataObject, net: Any, stream: Any, whole: Any
) -> None:
    streamed_is_whole(data, net, stream, whole)


def streamed_is_whole(data: st.DataObject, net: Any, stream: Any, whole: Any) -> None:
    made, x, axis = drawn(data.draw, net)
    want = whole(made.model(), x)
    got = stream(made.model(), x, axis, data.draw(chunks()), some(data.draw), some(data.draw))
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    # Float32 in another order; as a share of the largest, since a few norms multiply rounding.
    assert np.abs(got - want).max() <= 2e-5 * max(1, np.abs(want).max())


@settings(SETTINGS, max_examples=40)
@given(data=st.data())
def test_in_float64_the_answer_is_exact(
    data: st.DataObject, net: Any, stream: Any, whole: Any
) -> None:
    exact_in_float64(data, net, stream, whole)


@pytest.mark.long
@settings(SETTINGS, max_examples=240)
@given(data=st.data())
def test_in_float64_many_answers_are_exact(
    data: st.DataObject, net: Any, stream: Any, whole: Any
) -> None:
    exact_in_float64(data, net, stream, whole)


def exact_in_float64(data: st.DataObject, net: Any, stream: Any, whole: Any) -> None:
    made, x, axis = drawn(data.draw, net)
    choices = data.draw(chunks()), some(data.draw), some(data.draw)
    try:
        want = whole(made.model(), x, np.float64)
        got = stream(made.model(), x, axis, *choices, engine="torch", dtype=np.float64)
    except EngineError as error:
        if "has no PyTorch that computes the same" not in str(error):
            raise
        assume(False)
    # A few hundred float64 sums in another order.
    assert np.abs(got - want).max() <= 1e-12 * max(1, np.abs(want).max())


@settings(SETTINGS, max_examples=30)
@given(data=st.data())
def test_labels_are_the_whole_passes(
    data: st.DataObject, net: Any, stream: Any, whole: Any
) -> None:
    made, x, axis = drawn(data.draw, net)
    made.conv(3, (1, 1, 1))
    logits = np.sort(whole(made.model(), x), axis=1)
    assume((logits[:, -1] - logits[:, -2]).min() > 1e-4)  # else rounding may choose
    made.add("ArgMax", axis=1, keepdims=1)
    got = stream(made.model(), x, axis, data.draw(chunks()), some(data.draw), some(data.draw))
    assert got.dtype == np.int64
    assert np.array_equal(got, whole(made.model(), x))
