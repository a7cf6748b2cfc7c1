"""One source for every size: formulas in PyTorch's calls, held against ONNX Runtime at three.

Every operator is here. What an operator is told of sizes by the graph, it is told as an exporter
writes it: by `Shape` and by arithmetic on its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from volunet.graph.operators import OPERATORS
from volunet.graph.operators.arithmetic import ARITHMETIC
from volunet.graph.operators.pointwise import POINTWISE

RANDOM = np.random.default_rng(0)


def filled(*shape: int) -> Any:
    return RANDOM.uniform(0.5, 1.5, shape).astype(np.float32)


def longs(*values: int) -> Any:
    return np.array(values, np.int64)


X, Y = filled(2, 4, 7, 9), filled(2, 4, 7, 9)
SIGNED = RANDOM.normal(size=(2, 4, 7, 9)).astype(np.float32)
TRUE, OTHER = (RANDOM.uniform(size=(2, 4, 7, 9)) > 0.5 for _ in range(2))
LIST = filled(4)
ROW = filled(9, 5)
LINEAR = {"mode": "linear"}

Case = tuple[str, list[Any], list[Any], dict[str, Any], Sequence[int], str]
"""Operator, data, constants, attributes, axes that are fixed, and PyTorch; empty: any."""

CASES: list[Case] = [
    ("Conv", [X], [filled(3, 4, 3, 3)], {"auto_pad": "SAME_UPPER"}, (1,),
     "{module}({0}) nn.Conv2d(4, 3, kernel_size=3, padding=1, bias=False)"),
    ("Conv", [X], [filled(3, 4, 3, 3)], {"auto_pad": "SAME_LOWER", "strides": [2, 1]}, (1,),
     "{module}(F.pad({0}, [1, 1, {s0}, {s1}])) "
     "nn.Conv2d(4, 3, kernel_size=3, stride=(2, 1), bias=False)"),
    ("Conv", [X], [filled(3, 4, 4, 4)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (1,), ""),
    ("ConvTranspose", [X], [filled(4, 3, 2, 2)], {"strides": [2, 2]}, (1,), ""),
    ("ConvTranspose", [X], [filled(4, 3, 3, 3)],
     {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, (1,), ""),
    ("ConvTranspose", [X], [filled(4, 3, 3, 3)], {"output_shape": [5, 6]}, (1,),
     "F.pad({module}({0}), [{s0}, {s1}, {s2}, {s3}]) "
     "nn.ConvTranspose2d(4, 3, kernel_size=3, bias=False)"),
    *[
        (kind, [X], [], {"kernel_shape": [3, 2], "strides": [2, 1]} | more, (), "")
        for kind in ("MaxPool", "AveragePool", "LpPool")
        for more in (
            {}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, {"pads": [1, 0, 1, 1]},
            {"ceil_mode": 1}, {"ceil_mode": 1, "pads": [1, 1, 0, 0]},
        )
    ],
    ("LpPool", [X], [], {"kernel_shape": [3, 3], "p": 3}, (),
     "{module}(torch.abs({0})) nn.LPPool2d(3, 3, stride=1)"),
    ("GlobalAveragePool", [X], [], {}, (), "{module}({0}) nn.AdaptiveAvgPool2d(1)"),
    ("GlobalMaxPool", [X], [], {}, (), ""),
    ("Resize", [X], [None, np.float32([1, 1, 2, 3])], LINEAR, (),
     'F.interpolate({0}, scale_factor=(2, 3), mode="bilinear")'),
    ("Resize", [X], [None, np.float32([1, 1, 1.5, 1.5])], LINEAR, (),
     'F.interpolate({0}, scale_factor=1.5, mode="bilinear")'),
    ("Resize", [X], [None, np.float32([1, 1, 0.6, 1])], LINEAR, (), ""),
    ("Resize", [X], [None, None, longs(2, 4, 5, 6)], LINEAR, (0, 1),
     'F.interpolate({0}, size=(5, 6), mode="bilinear")'),
    ("Upsample", [X], [np.float32([1, 1, 2, 2])], {"opset": 9}, (),
     'F.interpolate({0}, scale_factor=2, mode="nearest")'),
    ("Pad", [X], [longs(0, 0, 1, 0, 0, 0, 2, 3)], {}, (), "F.pad({0}, [0, 3, 1, 2])"),
    ("Pad", [X], [longs(0, 0, 1, 0, 0, 0, 2, 3)], {"mode": "reflect"}, (),
     'F.pad({0}, [0, 3, 1, 2], mode="reflect")'),
    ("Slice", [X], [longs(1, -3), longs(-1, 2**40), longs(2, 3)], {}, (), "{0}[:, :, 1:-1, -3:]"),
    ("Slice", [X], [longs(0, 2), longs(5, -2), longs(2, 3), longs(2, 3)], {}, (),
     "{0}[:, :, :5:2, 2:-2:3]"),
    ("Slice", [X], [longs(0), longs(2**40), longs(2)], {}, (), "{0}"),
    ("Slice", [X], [longs(-1, -2), longs(-(2**40), 1), longs(2, 3), longs(-1, -2)], {}, (),
     "torch.flip({0}, (2, 3))[:, :, :, 1:-2:2]"),
    ("Concat", [X, Y], [], {"axis": 2}, (), "torch.cat([{0}, {1}], dim=2)"),
    ("Split", [X], [longs(1, 3)], {"axis": 1, "outputs": 2}, (1,),
     "torch.split({0}, [1, 3], dim=1)"),
    ("Split", [X], [], {"axis": 2, "outputs": 2, "num_outputs": 2}, (),
     "torch.chunk({0}, 2, dim=2)"),
    *[
        (name, [X, Y], [], {}, (), "")
        for name in ARITHMETIC
        if name not in ("And", "Or", "Where", "Mod")
    ],
    ("Mod", [X, Y], [], {"fmod": 1}, (), "torch.fmod({0}, {1})"),
    ("And", [TRUE, OTHER], [], {}, (), ""),
    ("Or", [TRUE, OTHER], [], {}, (), ""),
    ("Where", [TRUE, X, Y], [], {}, (), ""),
    ("BatchNormalization", [X], [LIST, LIST + 1, LIST + 2, LIST + 3], {}, (1,), ""),
    ("InstanceNormalization", [X], [LIST, LIST + 1], {}, (1,), ""),
    ("InstanceNormalization", [X, LIST, LIST], [], {}, (0, 1),
     "F.instance_norm({0}, weight={1}, bias={2})"),
    ("GroupNormalization", [X], [LIST, LIST + 1], {"num_groups": 2, "opset": 21}, (1,), ""),
    ("GroupNormalization", [X], [LIST[:2], LIST[2:]], {"num_groups": 2}, (1,), ""),
    ("LayerNormalization", [X], [filled(9), filled(9)], {}, (3,), ""),
    ("LayerNormalization", [X], [filled(1)], {"axis": 2}, (),
     "F.layer_norm({0}, {0}.shape[2:]) * {1}"),
    ("LRN", [X], [], {"size": 3, "alpha": 0.5}, (), ""),
    *[
        (name, [SIGNED], [], {}, (), "")
        for name in POINTWISE
        if name not in ("Log", "Sqrt", "Reciprocal", "Gelu", "Swish", "Cast", "CastLike", "Not")
    ],
    *[(name, [X], [], {}, (), "") for name in ("Log", "Sqrt", "Reciprocal")],
    ("Gelu", [SIGNED], [], {"opset": 20}, (), ""),
    ("Swish", [SIGNED], [], {"opset": 24}, (), ""),
    ("Cast", [SIGNED], [], {"to": 7}, (), ""),
    ("CastLike", [SIGNED], [longs(1)], {}, (), ""),
    ("Not", [TRUE], [], {}, (), ""),
    ("PRelu", [SIGNED], [filled(4, 1, 1)], {}, (1,), ""),
    ("PRelu", [SIGNED, filled(4, 7, 9)], [], {}, (), "torch.where({0} < 0, {0} * {1}, {0})"),
    *[
        (name, [X], [], {"axis": axis, "opset": opset}, (), "")
        for name in ("Softmax", "LogSoftmax", "Hardmax")
        for axis in (1, -1)
        for opset in (11, 13)
    ],
    ("Gemm", [X[0, 0]], [filled(5, 9)], {"transB": 1}, (1,), ""),
    ("Gemm", [X[0, 0], filled(9, 7)], [], {"alpha": 0.5}, (), "0.5 * ({0} @ {1})"),
    ("MatMul", [X], [ROW], {}, (3,), ""),
    ("MatMul", [X, filled(2, 4, 9, 7)], [], {}, (), "{0} @ {1}"),
    *[
        (name, [X], [longs(2, 3)], {}, (), "")
        for name in OPERATORS
        if name.startswith("Reduce")
    ],
    ("ArgMax", [X], [], {"axis": 2}, (), ""),
    ("ArgMin", [X], [], {"axis": 2}, (), ""),
    ("Shape", [X], [], {}, (), ""),
    ("Size", [X], [], {}, (), ""),
    ("Expand", [filled(2, 4, 1, 9)], [longs(1, 1, 7, 1)], {}, (2,),
     "{0}.expand(-1, -1, 7, -1)"),
    ("Tile", [X], [longs(1, 1, 2, 1)], {}, (), "{0}.repeat(1, 1, 2, 1)"),
    ("Gather", [X], [longs(2, -1)], {"axis": 2}, (),
     "torch.index_select({0}, 2, torch.tensor([2, {s0}]))"),
    ("Gather", [X], [np.array(-1)], {"axis": 2}, (), "torch.select({0}, 2, -1)"),
    ("Gather", [X, longs(1, 0, 1)], [], {"axis": 2}, (), "torch.index_select({0}, 2, {1})"),
    ("Unsqueeze", [X], [longs(2)], {}, (), ""),
    ("Squeeze", [X[:1]], [longs(0)], {}, (0,), ""),
    ("Squeeze", [X[:1]], [], {}, (0,), ""),
    ("Reshape", [X], [longs(0, 2, -1)], {}, (1,), "{0}.reshape({s0}, 2, -1)"),
    ("Reshape", [X], [longs(2, 2, -1)], {}, (0, 1), "{0}.reshape(2, 2, -1)"),
    ("Reshape", [X], [longs(0, 0, -1)], {}, (), "torch.flatten({0}, 2)"),
    ("Reshape", [X], [longs(0, -1)], {}, (), "torch.flatten({0}, 1)"),
    ("Reshape", [X], [longs(-1)], {}, (), "torch.flatten({0})"),
    ("Reshape", [X], [longs(8, 7, -1)], {}, (0, 1, 2), "{0}.flatten(0, 1)"),
    ("Reshape", [X], [longs(0, 2, 2, 0, -1)], {}, (1, 2), "{0}.reshape({s0}, 2, 2, {s1}, 7)"),
    ("Flatten", [X], [], {}, (), "torch.flatten({0}, 1)"),
    ("Flatten", [X], [], {"axis": 0}, (), "{0}.reshape(1, -1)"),
    ("Flatten", [X], [], {"axis": 2}, (), "{0}.reshape({s0}, -1)"),
    ("Flatten", [X], [], {"axis": 3}, (), "{0}.flatten(0, 2)"),
    ("Flatten", [X], [], {"axis": 4}, (), "{0}.reshape(-1, 1)"),
    ("Transpose", [X], [], {"perm": [0, 2, 3, 1]}, (), "{0}.permute(0, 2, 3, 1)"),
]  # fmt: skip

TOLD = {
    "to_a_skip": (
        "g (float[2,4,7,9] x, float[2,4,5,3] skip) => (float[a,b,c,e] y) {"
        " wanted = Shape(skip)"
        ' y = Resize <mode = "linear"> (x, , , wanted) }',
        (0, 1),
        'F.interpolate({0}, size=({s0}, {s1}), mode="bilinear")',
    ),
    "to_twice_its_size": (
        "g (float[2,4,7,9] x) => (float[a,b,c,e] y) {"
        " two = Constant <value_ints = [1, 1, 2, 2]> ()"
        " shape = Shape(x) wanted = Mul(shape, two)"
        ' y = Resize <mode = "linear"> (x, , , wanted) }',
        (),
        'F.interpolate({0}, scale_factor=2, mode="bilinear")',
    ),
    "to_multiples_between_corners": (
        "g (float[2,4,7,9] x) => (float[a,b,c,e] y) {"
        " two = Constant <value_ints = [1, 1, 3, 1]> ()"
        " shape = Shape(x) wanted = Mul(shape, two)"
        ' y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners">'
        " (x, , , wanted) }",
        (),
        'F.interpolate({0}, scale_factor=(3, 1), mode="bilinear", align_corners=True)',
    ),
    "nearest_to_multiples": (
        "g (float[2,4,7,9] x) => (float[a,b,c,e] y) {"
        " two = Constant <value_ints = [1, 1, 3, 1]> ()"
        " shape = Shape(x) wanted = Mul(shape, two)"
        ' y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",'
        ' nearest_mode = "floor"> (x, , , wanted) }',
        (),
        'F.interpolate({0}, scale_factor=(3, 1), mode="nearest")',
    ),
    "crop_to_a_skip": (
        "g (float[2,4,9] x, float[2,4,5] skip) => (float[a,b,c] y) {"
        " two = Constant <value_ints = [2]> () zero = Constant <value_ints = [0]> ()"
        " stop = Shape <start = 2> (skip)"
        " y = Slice (x, zero, stop, two) }",
        (),
        "{0}[:, :, :{s0}]",
    ),
    "crop_by_its_own_size": (
        "g (float[2,4,9] x) => (float[a,b,c] y) {"
        " two = Constant <value_ints = [2]> () one = Constant <value_ints = [1]> ()"
        " four = Constant <value_ints = [4]> () size = Shape <start = 2> (x)"
        " start = Sub (size, four) stop = Sub (size, one)"
        " y = Slice (x, start, stop, two) }",
        (),
        "{0}[:, :, -4:-1]",
    ),
    "pad_to_a_multiple": (
        "g (float[2,4,9] x) => (float[a,b,e] y) {"
        " shape = Shape <start = 2> (x) four = Constant <value_ints = [4]> ()"
        " minus = Neg (shape) rest = Mod (minus, four)"
        " front = Constant <value_ints = [0, 0, 0, 0, 0]> ()"
        " pads = Concat <axis = 0> (front, rest)"
        " y = Pad (x, pads) }",
        (),
        "F.pad({0}, [0, {s0}])",
    ),
    "repeat_the_edge_to_a_multiple": (
        "g (float[2,4,9] x) => (float[a,b,e] y) {"
        " shape = Shape <start = 2> (x) four = Constant <value_ints = [4]> ()"
        " minus = Neg (shape) rest = Mod (minus, four)"
        " front = Constant <value_ints = [0, 0, 0, 0, 0]> ()"
        " pads = Concat <axis = 0> (front, rest)"
        ' y = Pad <mode = "edge"> (x, pads) }',
        (),
        'F.pad({0}, [0, {s0}], mode="replicate")',
    ),
    "expand_to_a_skip": (
        "g (float[4,1] x, float[2,4,9] skip) => (float[a,b,c] y) {"
        " wanted = Shape (skip)"
        " y = Expand (x, wanted) }",
        (0, 1),
        "{0}.expand(2, 4, {s0})",
    ),
    "tile_by_a_size": (
        "g (float[2,4,3] x) => (float[a,b,c] y) { times = Shape (x) y = Tile (x, times) }",
        (0, 1),
        "{0}.repeat(2, 4, {s0})",
    ),
    "zeros": (
        "g (float[2,4,9] x) => (float[a,b,c] y) { shape = Shape (x) y = ConstantOfShape (shape) }",
        (1,),
        "torch.full(({s0}, 4, {s1}), 0.0)",
    ),
    "places": (
        "g (float[2,4,9] x) => (int64[a] y) {"
        " zero = Constant <value_int = 0> () one = Constant <value_int = 1> ()"
        " shape = Shape (x) last = Constant <value_int = 2> ()"
        " size = Gather (shape, last)"
        " y = Range (zero, size, one) }",
        (),
        "torch.arange(0, {s0}, 1)",
    ),
    "halves": (
        "g (float[2,4,9] x) => (float[a,b,c] y, float[d,e,f] z) {"
        " shape = Shape <start = 2> (x) two = Constant <value_ints = [2]> ()"
        " half = Div (shape, two) rest = Sub (shape, half)"
        " parts = Concat <axis = 0> (half, rest)"
        " y, z = Split <axis = 2> (x, parts) }",
        (),
        "torch.split({0}, [{s0}, {s1}], dim=2)",
    ),
    "the_middle": (
        "g (float[2,4,9] x) => (float[a,b] y) {"
        " shape = Shape (x) last = Constant <value_int = 2> ()"
        " size = Gather (shape, last) place = Div (size, last)"
        " y = Gather <axis = 2> (x, place) }",
        (),
        "torch.select({0}, 2, {s0})",
    ),
    "heads": (
        "g (float[2,8,5,7] x) => (float[a,b,c,e] y) {"
        " wanted = Constant <value_ints = [0, 2, 4, -1]> ()"
        " y = Reshape (x, wanted) }",
        (1,),
        "{0}.reshape({s0}, 2, 4, -1)",
    ),
    "windows": (
        "g (float[2,8,5] x, float[2,8,5] skip) => (float[a,b,c] y) {"
        " size = Shape <start = 2> (x) batch = Shape <end = 1> (x)"
        " channels = Constant <value_ints = [8]> ()"
        " wanted = Concat <axis = 0> (size, channels, batch)"
        " y = Reshape (x, wanted) }",
        (1,),
        "{0}.reshape({s0}, 8, {s1})",
    ),
}
"""Graphs that tell an operator its sizes, the axes that are fixed, and PyTorch of the last node."""


def test_every_operator_is_here() -> None:
    told = {"ConstantOfShape", "Range"}
    assert {case[0] for case in CASES} | told == OPERATORS.keys() - {"Constant"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_source_is_for_any_size(case: Case, one: Any, check_open_source: Any) -> None:
    op_type, data, constants, attributes, fixed, text = case
    source = check_open_source(one(op_type, data, constants, **attributes), fixed)
    written = " ".join(part for part in (source.call, source.module) if part)
    assert text in ("", written)


@pytest.mark.parametrize("name", TOLD)
def test_sizes_that_a_graph_computes_are_formulas(
    name: str, parsed: Any, check_open_source: Any
) -> None:
    text, fixed, call = TOLD[name]
    shapes = [
        [int(size) for size in part.split("]")[0].split(",")]
        for part in text.split("=>")[0].split("[")[1:]
    ]
    data = {name: filled(*shape) for name, shape in zip(("x", "skip"), shapes, strict=False)}
    assert check_open_source(parsed(text, **data), fixed).call == call
