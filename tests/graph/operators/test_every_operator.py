"""Every operator of the table has an example here: its sizes, intervals, costs and PyTorch.

A new operator without one fails. What depends on attributes and sizes is in its own test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from volunet.graph.operators import OPERATORS
from volunet.graph.operators.arithmetic import ARITHMETIC
from volunet.graph.operators.pointwise import POINTWISE

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0.5, 1.5, (1, 4, 5, 6)).astype(np.float32)
Y = RANDOM.uniform(0.5, 1.5, (1, 4, 5, 6)).astype(np.float32)
SIGNED = RANDOM.normal(size=(1, 4, 5, 6)).astype(np.float32)
LIST = RANDOM.uniform(0.5, 1.5, 4).astype(np.float32)
TRUE = RANDOM.uniform(size=(1, 4, 5, 6)) > 0.5
OTHER = RANDOM.uniform(size=(1, 4, 5, 6)) > 0.5


def longs(*values: int) -> Any:
    return np.array(values, np.int64)


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


Example = tuple[list[Any], list[Any], dict[str, Any]]
"""Data, constants, attributes and opset."""

EXAMPLES: dict[str, Example] = {
    "Conv": ([X], [RANDOM.uniform(0.5, 1.5, (3, 4, 3, 3)).astype(np.float32)], {}),
    "ConvTranspose": ([X], [RANDOM.uniform(0.5, 1.5, (4, 3, 2, 2)).astype(np.float32)], {}),
    "MaxPool": ([X], [], {"kernel_shape": [2, 3]}),
    "AveragePool": ([X], [], {"kernel_shape": [2, 3]}),
    "LpPool": ([X], [], {"kernel_shape": [2, 3]}),
    "GlobalAveragePool": ([X], [], {}),
    "GlobalMaxPool": ([X], [], {}),
    "Resize": ([X], [None, floats(1, 1, 2, 2)], {"mode": "linear"}),
    "Upsample": ([X], [floats(1, 1, 2, 2)], {"opset": 9}),
    "Pad": ([X], [longs(0, 0, 1, 0, 0, 0, 2, 3)], {}),
    "Slice": ([X], [longs(1), longs(9), longs(2)], {}),
    "Concat": ([X, Y], [], {"axis": 1}),
    "Split": ([X], [longs(1, 3)], {"axis": 1, "outputs": 2}),
    **{name: ([X, Y], [], {}) for name in ARITHMETIC},
    "Mod": ([X, Y], [], {"fmod": 1}),
    "And": ([TRUE, OTHER], [], {}),
    "Or": ([TRUE, OTHER], [], {}),
    "Where": ([TRUE, X, Y], [], {}),
    "BatchNormalization": ([X], [LIST, LIST + 1, LIST + 2, LIST + 3], {}),
    "InstanceNormalization": ([X], [LIST, LIST + 1], {}),
    "GroupNormalization": ([X], [LIST, LIST + 1], {"num_groups": 2, "opset": 21}),
    "LayerNormalization": ([X], [floats(1, 2, 3, 4, 5, 6)], {}),
    "LRN": ([X], [], {"size": 3, "alpha": 0.5}),
    **{name: ([SIGNED], [], {}) for name in POINTWISE},
    "Log": ([X], [], {}),
    "Sqrt": ([X], [], {}),
    "Reciprocal": ([X], [], {}),
    "Gelu": ([SIGNED], [], {"opset": 20}),
    "Swish": ([SIGNED], [], {"opset": 24}),
    "Clip": ([SIGNED], [np.float32(-0.5), np.float32(0.5)], {}),
    "Cast": ([SIGNED], [], {"to": 7}),
    "CastLike": ([SIGNED], [longs(1)], {}),
    "Not": ([TRUE], [], {}),
    "PRelu": ([SIGNED], [LIST.reshape(4, 1, 1)], {}),
    "Softmax": ([X], [], {"axis": 1}),
    "LogSoftmax": ([X], [], {"axis": 1}),
    "Hardmax": ([X], [], {"axis": 1}),
    "Gemm": ([X[0, 0]], [Y[0, 0]], {"transB": 1}),
    "MatMul": ([X], [Y[0, 0].T.copy()], {}),
    **{
        name: ([X], [longs(2, 3)], {})
        for name in OPERATORS
        if name.startswith("Reduce")
    },
    "ArgMax": ([X], [], {"axis": 1}),
    "ArgMin": ([X], [], {"axis": 1}),
    "Constant": ([], [], {"value_ints": [1, 2, 3]}),
    "ConstantOfShape": ([], [longs(2, 3)], {}),
    "Shape": ([X], [], {}),
    "Size": ([X], [], {}),
    "Range": ([], [np.int64(2), np.int64(9), np.int64(3)], {}),
    "Expand": ([X[:, :, :1]], [longs(1, 4, 5, 6)], {}),
    "Tile": ([X], [longs(1, 1, 2, 1)], {}),
    "Gather": ([X], [longs(2, 0)], {"axis": 2}),
    "Unsqueeze": ([X], [longs(2)], {}),
    "Squeeze": ([X], [longs(0)], {}),
    "Reshape": ([X], [longs(0, 4, 1, 5, -1)], {}),
    "Flatten": ([X], [], {}),
    "Transpose": ([X], [], {"perm": [0, 2, 3, 1]}),
}  # fmt: skip

WITHOUT_PYTORCH = {"Constant"}
"""Operators for which there is no single call."""

SEEN_IN_PART = {
    # A comparison, a rounding or a bound hides what an element is; its place alone is tested.
    "And", "Or", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual",
    "ArgMax", "ArgMin", "Hardmax", "Max", "Min", "Where",
    # A single slice of many is picked, or each is read by some of the output slices only.
    "Gather", "Tile", "Split",
    # Statistics are of two of the four channels.
    "GroupNormalization",
}  # fmt: skip


def test_every_operator_has_an_example() -> None:
    assert EXAMPLES.keys() == OPERATORS.keys()


@pytest.mark.parametrize("op_type", OPERATORS)
def test_its_sizes_are_onnx_runtimes(op_type: str, one: Any, check_sizes: Any) -> None:
    data, constants, attributes = EXAMPLES[op_type]
    # A size is left over on a reshape's last axis; what is before it is fixed, as channels are.
    fixed = (1, 2) if op_type == "Reshape" else ()
    check_sizes(one(op_type, data, constants, **attributes), fixed=fixed)


@pytest.mark.parametrize("op_type", OPERATORS)
def test_its_intervals_hold(op_type: str, one: Any, check_reads: Any) -> None:
    data, constants, attributes = EXAMPLES[op_type]
    model = one(op_type, data, constants, **attributes)
    if not any(tensor.is_data for tensor in model.node.outputs):
        assert op_type in ("Constant", "ConstantOfShape", "Shape", "Size", "Range")
        return  # there is nothing to follow: what they answer does not depend on the data
    # The squares that LRN sums are kept small: large ones leave rounding behind in its running sum.
    check_reads(model, exact=op_type not in SEEN_IN_PART, amount=1 if op_type == "LRN" else 100)


@pytest.mark.parametrize("op_type", OPERATORS)
def test_its_costs_are_counted(op_type: str, one: Any) -> None:
    data, constants, attributes = EXAMPLES[op_type]
    node = one(op_type, data, constants, **attributes).node
    flops = OPERATORS[op_type].flops(node)
    multiplies = op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")
    assert (flops.products > 0) == multiplies
    assert isinstance(flops.others, int)
    assert flops.others >= 0


@pytest.mark.parametrize("op_type", OPERATORS)
def test_its_source_computes_the_same(
    op_type: str, one: Any, check_source: Callable[..., Any]
) -> None:
    data, constants, attributes = EXAMPLES[op_type]
    model = one(op_type, data, constants, **attributes)
    if op_type in WITHOUT_PYTORCH:
        assert OPERATORS[op_type].source(model.node) is None
    else:
        check_source(model)
