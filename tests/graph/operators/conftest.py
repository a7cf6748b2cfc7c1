"""One operator as a model, and the checks that hold its four rules against the engines.

The truth is what ONNX Runtime computes; where PyTorch has the operator, it is asked too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from volunet.graph.evaluation import evaluate
from volunet.graph.network import Network, infer_sizes
from volunet.graph.node import Node
from volunet.graph.operators import OPERATORS, Source
from volunet.graph.spans import TIE, Interpolated

Array = NDArray[Any]

DISTURBANCE = 100.0
"""Far above every other element, so that a maximum and a softmax notice it too."""

TOLERANCE = 1e-5
"""Of the output's largest element: two engines add up the same float32 products, at most a few
hundred of them, in another order, and each addition rounds by 6e-8."""


class Model:
    """A graph of ONNX nodes whose inputs have fixed sizes, or open ones."""

    def __init__(self, proto: onnx.ModelProto, data: dict[str, Array]) -> None:
        self.proto = proto
        self.data = data
        self._session: onnxruntime.InferenceSession | None = None
        self._network: Network | None = None

    @property
    def network(self) -> Network:
        """Sizes as numbers."""
        if self._network is None:
            self._network = infer_sizes(ir.from_proto(self._sized(lambda axis, size: False)), "m")
        return self._network

    def open(self, fixed: Sequence[int] = (), ones: bool = False) -> tuple[Network, dict[str, int]]:
        """Sizes as formulas, and the numbers that their symbols stand for in `data`.

        Args:
            fixed: Axes that stay numbers.
            ones: Whether axes of size 1, by which broadcasting goes, are opened too.
        """
        proto = self._sized(lambda axis, size: axis not in fixed and (ones or size != 1))
        network = infer_sizes(ir.from_proto(proto), "m")
        sizes = {}
        for tensor in network.inputs:
            for size, number in zip(tensor.shape or (), self.data[tensor.name].shape, strict=True):
                sizes[str(size)] = number
        return network, sizes

    def opened(self, fixed: Sequence[int] = ()) -> Model:
        """The same model with open axes for ONNX Runtime, too."""
        return Model(self._sized(lambda axis, size: axis not in fixed), self.data)

    def grown(self, more: int, fixed: Sequence[int] = ()) -> Model:
        """The same model, its data longer by some slices, on all axes but the fixed ones."""
        model = copy.copy(self)
        model.data = {
            name: np.pad(
                array,
                [(0, 0 if axis in fixed else more) for axis in range(array.ndim)],
                mode="reflect" if min(array.shape, default=0) > more else "edge",
            )
            for name, array in self.data.items()
        }
        return model

    def array(self, name: str) -> Array | None:
        """A tensor that is data or a constant of the file."""
        constants = {each.name: each for each in self.proto.graph.initializer}
        if name in self.data:
            return self.data[name]
        return numpy_helper.to_array(constants[name]) if name in constants else None

    def asked(self, fixed: Sequence[int] = ()) -> Network | None:
        """Sizes as numbers that are asked for; None for inputs of different shapes."""
        shapes = {array.shape for array in self.data.values()}
        if len(shapes) != 1:
            return None
        proto = self._sized(lambda axis, size: axis not in fixed)
        return infer_sizes(ir.from_proto(proto), "m", shapes.pop())

    def _sized(self, is_open: Callable[[int, int], bool]) -> onnx.ModelProto:
        """The model with its inputs' axes open, or of the sizes of `data`."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        for value in proto.graph.input:
            dimensions = value.type.tensor_type.shape.dim
            sizes = self.data[value.name].shape
            for axis, (dimension, size) in enumerate(zip(dimensions, sizes, strict=True)):
                if is_open(axis, size):
                    # Equal sizes of two inputs on one axis are one symbol, as exporters name them.
                    dimension.dim_param = f"axis{axis}_{size}"
                else:
                    dimension.dim_value = size
        return proto

    def run(self, changed: dict[str, Array] | None = None) -> list[Array]:
        """What ONNX Runtime answers."""
        if self._session is None:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.intra_op_num_threads = 1
            # What is tested is the operator, not the graph's optimisation.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            self._session = onnxruntime.InferenceSession(
                self.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        return list(self._session.run(None, self.data | (changed or {})))


class One(Model):
    """A single node: inputs that are data first, constants behind.

    Args:
        op_type: The operator.
        data: Its inputs that are data.
        constants: Those that are initializers; None for one that is left out.
        opset: Version of the operator set.
        outputs: How many outputs it has.
        attributes: Its attributes.
    """

    def __init__(
        self,
        op_type: str,
        data: Sequence[Array],
        constants: Sequence[Array | None] = (),
        *,
        opset: int = 18,
        outputs: int = 1,
        **attributes: Any,
    ) -> None:
        arrays = enumerate([*data, *constants])
        names = ["" if array is None else f"in{i}" for i, array in arrays]
        results = [f"out{i}" for i in range(outputs)]
        node = helper.make_node(op_type, names, results, name="node", **attributes)
        inputs = [_declared(name, a) for name, a in zip(names, data, strict=False)]
        weights = [
            numpy_helper.from_array(array, name)
            for name, array in zip(names[len(data) :], constants, strict=True)
            if array is not None
        ]
        values = [
            helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in results
        ]
        graph = helper.make_graph([node], "graph", inputs, values, weights)
        proto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
        )
        for value in proto.graph.output:  # without a type, which ONNX Runtime infers
            value.ClearField("type")
        super().__init__(proto, dict(zip(names, data, strict=False)))

    @property
    def node(self) -> Node:
        """The node with its outputs inferred."""
        assert not self.network.failures, str(self.network.failures[0])
        assert not self.network.unsupported
        return self.network.nodes[0]

    @property
    def failure(self) -> str:
        """What is said of a node that does not work."""
        (failure,) = self.network.failures
        return str(failure)


def _declared(name: str, array: Array) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, dtype, array.shape)


@pytest.fixture(scope="session")
def one() -> type[One]:
    """Make a model of one node."""
    return One


@pytest.fixture(scope="session")
def parsed() -> Callable[..., Model]:
    """Make a model of ONNX's text, its inputs filled with numbers."""

    def make(text: str, opset: int = 18, **data: Array) -> Model:
        proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> {text}')
        return Model(proto, data)

    return make


@pytest.fixture(scope="session")
def check_sizes() -> Callable[..., list[tuple[int, ...]]]:
    """Sizes and types as ONNX Runtime has them, by numbers and by formulas."""

    def check(model: Model, *, fixed: Sequence[int] = (), ones: bool = False) -> Any:
        expected = model.run()
        assert not model.network.failures, str(model.network.failures[0])
        assert [t.shape for t in model.network.outputs] == [array.shape for array in expected]
        assert [t.dtype.numpy() for t in model.network.outputs] == [a.dtype for a in expected]
        asked = model.asked(fixed)
        if asked is not None:
            assert [t.shape for t in asked.outputs] == [array.shape for array in expected]
        network, sizes = model.open(fixed, ones)
        assert not network.failures, str(network.failures[0])
        for tensor, array in zip(network.outputs, expected, strict=True):
            assert tensor.shape is not None
            assert tuple(evaluate(size, sizes) for size in tensor.shape) == array.shape
        for _, rule in network.requirements:
            left, right = evaluate(rule.left, sizes), evaluate(rule.right, sizes)
            if rule.relation == ">=":
                assert left >= right, rule
            else:
                assert left == right or (rule.relation == "broadcast" and 1 in (left, right)), rule
        return [array.shape for array in expected]

    return check


@pytest.fixture(scope="session")
def check_reads() -> Callable[..., None]:
    """Intervals by disturbing one input slice after the other.

    No output slice moves whose interval lacks the disturbed slice, and with `exact` each output
    slice moves by the first and by the last slice of its interval, cut off at the input's ends.
    """

    def check(
        model: One,
        *,
        exact: bool = True,
        loose: Sequence[tuple[int, int]] = (),
        gaps: bool = False,
        outputs: int | None = None,
        amount: float = DISTURBANCE,
    ) -> None:
        """As above.

        Args:
            model: One operator.
            exact: Whether intervals are compared at both ends.
            loose: Inputs and axes whose interval may be wider than what is read.
            gaps: Whether an interval has slices between its ends that are not read, as dilation
                leaves them: cut off at the input's end, it may begin with one.
            outputs: How many outputs are looked at; all by default.
            amount: By how much slices are disturbed.
        """
        base = model.run()[:outputs]
        rules = OPERATORS[model.node.op_type]
        for index, (name, array) in enumerate(model.data.items()):
            for axis, size in enumerate(array.shape):
                read = rules.reads(model.node, index, axis)
                moved = [
                    _moved(model, name, axis, place, base, read.axis, amount)
                    for place in range(size)
                ]
                where = f"{model.node.op_type} input {index}, axis {axis}, {read}"
                _hold(read.span, np.array(moved), where, exact and (index, axis) not in loose, gaps)

    return check


def _moved(
    model: One,
    name: str,
    axis: int,
    place: int,
    base: list[Array],
    out_axis: int | None,
    amount: float,
) -> Array:
    """For each output slice whether it moves with one input slice; one for all without an axis."""
    out_size = 1 if out_axis is None else max(array.shape[out_axis] for array in base)
    moved = np.zeros(out_size, bool)
    random = np.random.default_rng(place)
    for sign in (1, -1):
        array = model.data[name].copy()
        slices: list[Any] = [slice(None)] * array.ndim
        slices[axis] = place
        if array.dtype == np.bool_:
            array[tuple(slices)] ^= True
        else:
            change = random.uniform(1, 2, array[tuple(slices)].shape) * amount * sign
            array[tuple(slices)] += change.astype(array.dtype)
        for before, after in zip(base, model.run({name: array})[: len(base)], strict=True):
            if after.dtype.kind == "f":
                # A tap whose weight is the rounding error of a float32 coordinate is none.
                close = np.isclose(before, after, 1e-5, 1e-5 * amount, equal_nan=True)
            else:
                close = before == after
            if out_axis is None:
                moved |= not close.all()
            else:
                others = tuple(a for a in range(close.ndim) if a != out_axis)
                moved[: close.shape[out_axis]] |= ~close.all(axis=others)
    return moved


def _hold(span: Any, moved: Array, where: str, exact: bool, gaps: bool) -> None:
    """Compare (input slices, output slices) that were seen to move with a span."""
    size, out = moved.shape
    for z in range(out):
        whole = span.need(z, z + 1)
        start, stop = max(whole[0], 0), min(whole[1], size)
        seen = np.flatnonzero(moved[:, z])
        outside = [int(place) for place in seen if not start <= place < stop]
        assert not outside, f"{where}: slice {z} needs {start}:{stop}, moves with {outside}"
        cut_gap = gaps and whole != (start, stop)
        if exact and start < stop and not cut_gap and not _near_tie(span, z):
            assert seen.size, f"{where}: slice {z} needs {start}:{stop}, moves with nothing"
            found = int(seen[0]), int(seen[-1]) + 1
            assert found == (start, stop), f"{where}: slice {z} needs {start}:{stop}, not {found}"
    intervals = [span.need(z, z + 1) for z in range(out)]
    filled = [interval for interval in intervals if interval[0] < interval[1]]
    if filled:
        hull = min(low for low, _ in filled), max(high for _, high in filled)
        assert span.need(0, out) == hull, f"{where}: {span.need(0, out)} of all slices, not {hull}"


def _near_tie(span: Any, z: int) -> bool:
    """Whether a resized slice lies so near a tie that the rule takes both neighbours (`TIE`)."""
    if not isinstance(span, Interpolated):
        return False
    if span.interpolation == "nearest":
        start, stop = span.need(z, z + 1)
        return stop - start > 1
    distance = span.place(z) * 2 - round(span.place(z) * 2)
    return distance != 0 and abs(distance) <= 2 * TIE


@pytest.fixture(scope="session")
def check_source() -> Callable[..., Source]:
    """PyTorch's answer as ONNX Runtime's: of the source of numbers and of that of formulas.

    The former is returned.
    """

    def check(model: One, fixed: Sequence[int] = (), *, at_numbers_alone: bool = False) -> Source:
        source = _source(model.node)
        assert not source.sizes
        _compare(model, source, {})
        network, sizes = model.open(fixed)
        if not network.failures and not at_numbers_alone:
            _compare(model, _source(network.nodes[0]), sizes)
        return source

    return check


@pytest.fixture(scope="session")
def check_open_source() -> Callable[..., Source]:
    """One source of formulas, whose answers at several sizes are those of one open model."""

    def check(model: Model, fixed: Sequence[int] = (), *, index: int = -1) -> Source:
        """As above.

        Args:
            model: A model whose answers are those of one node.
            fixed: Axes that stay numbers; all others are open and grow.
            index: Which node.
        """
        opened = model.opened(fixed)
        network, sizes = opened.open(fixed, ones=True)
        assert not network.failures, str(network.failures[0])
        source = _source(network.nodes[index])
        for more in range(3):
            grown = opened.grown(more, fixed)
            _compare(grown, source, {name: size + more for name, size in sizes.items()}, index)
        return source

    return check


def _source(node: Node) -> Source:
    source = OPERATORS[node.op_type].source(node)
    assert source is not None, node
    return source


def _compare(model: Model, source: Source, sizes: dict[str, int], index: int = -1) -> None:
    """Hold what a source computes, at numbers for its formulas, against ONNX Runtime."""
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": F}
    arrays = [model.array(name) for name in model.proto.graph.node[index].input]
    call = source.call
    if source.module is not None:
        names["module"] = _module(arrays, source)
        call = call.replace("{module}", "module")
    for place, size in enumerate(source.sizes):
        assert f"{{s{place}}}" in call, source
        call = call.replace(f"{{s{place}}}", str(evaluate(size, sizes)))
    for place, array in enumerate(arrays):
        if array is not None:
            names[f"x{place}"] = torch.tensor(array)
        call = call.replace(f"{{{place}}}", f"x{place}")
    with torch.no_grad():
        answer = eval(call, names)  # noqa: S307  what is tested is this very text
    several = isinstance(answer, tuple | list) and not isinstance(answer, torch.Size)
    answers = answer if several else (answer,)
    results = model.run()
    assert len(answers) in (1, len(results))  # of a max pooling's places PyTorch is not asked
    for got, expected in zip(answers, results, strict=False):
        got = np.asarray(got)
        assert got.shape == expected.shape, source
        if expected.dtype.kind != "f":
            assert np.array_equal(got, expected), source
            continue
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
        np.testing.assert_allclose(
            got, expected, rtol=0, atol=TOLERANCE * scale, err_msg=str(source)
        )


def _module(arrays: list[Array | None], source: Source) -> nn.Module:
    module: nn.Module = eval(source.module or "", {"torch": torch, "nn": nn, "F": F})  # noqa: S307
    module.eval()
    state = module.state_dict()
    state.pop("num_batches_tracked", None)
    assert state.keys() == source.weights.keys()
    for name, index in source.weights.items():
        array = arrays[index]
        assert array is not None
        weight = torch.from_numpy(array.copy())
        if name in source.transposed:
            weight = weight.transpose(0, 1)
        if isinstance(module, nn.PReLU):
            weight = weight.flatten()  # ONNX writes a slope a channel as (C, 1, 1, 1)
        assert weight.shape == state[name].shape, f"{name} of {source.module}"
        state[name].copy_(weight)
    return module


@pytest.fixture(scope="session")
def numbers() -> Callable[..., Array]:
    """Make float32 numbers from 0.5 to 1.5, none 0: every tap counts."""

    def make(*shape: int, seed: int = 0) -> Array:
        return np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def signed() -> Callable[..., Array]:
    """Make float32 numbers around 0."""

    def make(*shape: int, seed: int = 0) -> Array:
        return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    return make
