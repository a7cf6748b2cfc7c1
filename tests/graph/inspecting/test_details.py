from __future__ import annotations

from typing import Any

import onnx_ir as ir
import pytest

from volunet.graph.inspecting.details import LONGEST, channels_text, details
from volunet.graph.node import Node
from volunet.graph.sizes import symbol
from volunet.graph.tensors import Shape, Tensor, Value

D = symbol("d")


def node(kind: str, attributes: dict[str, Any] | None = None, *inputs: Any) -> Node:
    tensors = [_tensor(index, given) for index, given in enumerate(inputs)]
    return Node(kind, "n", 18, attributes or {}, tuple(tensors), ("y",))


def _tensor(index: int, given: Any) -> Tensor | None:
    """None, a shape (a tuple) or values (a list)."""
    if given is None or isinstance(given, tuple):
        return None if given is None else Tensor(f"x{index}", ir.DataType.FLOAT, given)
    values: tuple[Value, ...] = tuple(given)
    return Tensor(f"x{index}", ir.DataType.INT64, (len(values),), values, is_data=False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            node("Conv", {
                "kernel_shape": [3, 3, 3], "strides": [2, 2, 2], "dilations": [1, 1, 1],
                "pads": [1] * 6, "group": 4, "auto_pad": "NOTSET",
            }),
            {"kernel": "3×3×3", "stride": "2", "padding": "1", "groups": "4"},
        ),
        (node("Conv", {}, (1, 1, 9, 9), (8, 1, 5, 3)), {"kernel": "5×3"}),
        (node("Conv", {"kernel_shape": [1, 3], "strides": [1, 2]}),
         {"kernel": "1×3", "stride": "1×2"}),
        (node("MaxPool", {"kernel_shape": [2], "pads": [0, 1], "ceil_mode": 1}),
         {"kernel": "2", "padding": "0…1", "size rounded up": "yes"}),
        (node("AveragePool", {"kernel_shape": [3, 3], "pads": [0, 1, 2, 1]}),
         {"kernel": "3×3", "padding": "0…2×1"}),
        (node("ConvTranspose", {"kernel_shape": [2, 2], "output_padding": [1, 1]}),
         {"kernel": "2×2", "output padding": "1"}),
        (node("Conv", {"kernel_shape": [3], "auto_pad": "SAME_UPPER"}),
         {"kernel": "3", "auto pad": "SAME UPPER"}),
        (node("BatchNormalization", {"epsilon": 9.999999747378752e-06, "momentum": 0.9}), {}),
        (node("InstanceNormalization", {"epsilon": 0.001}), {"epsilon": "0.001"}),
        (node("LeakyRelu", {"alpha": 0.009999999776482582}), {}),
        (node("LeakyRelu", {"alpha": 0.10000000149011612}), {"alpha": "0.1"}),
        (node("Softmax", {"axis": 1}), {"axis": "1"}),
        (node("Concat", {"axis": 1}), {"axis": "1"}),
        (node("Flatten", {"axis": 1}), {}),
        (node("Cast", {"to": 7}), {"type": "int64"}),
        (node("Cast", {"to": 999}), {"type": "999"}),
        (node("Gemm", {"transB": 1, "alpha": 1.0}), {}),
        (node("Resize", {"mode": "linear", "nearest_mode": "floor",
                         "coordinate_transformation_mode": "align_corners"},
              (1, 1, 4, 4), None, [1, 1, 2, 2]),
         {"mode": "linear", "scale": "2×2", "coordinates": "align corners"}),
        (node("Pad", {"mode": "reflect"}, (1, 1, 4, 4), [0, 0, 1, 1, 0, 0, 1, 1]),
         {"padding": "1 on axes 2, 3", "mode": "reflect"}),
        (node("Pad", {}, (1, 1, D), [0, 0, 0, 0, 0, D]), {"padding": "0…d on axis 2"}),
        (node("Slice", {}, (1, 1, D), [1], [2**63 - 1], [2], [2]), {"axis 2": "1::2"}),
        (node("Slice", {}, (1, 1, D), [0], [D], [2]), {"axis 2": "0:d"}),
        (node("Clip", {}, (1, 1), [0], [6]), {"min": "0", "max": "6"}),
        (node("Mul", {}, (1, 4, 4), [3]), {"constant": "3"}),
        (node("ReduceMean", {"keepdims": 0}, (1, 4, 4), [1, 2]),
         {"axes": "1, 2", "axis kept": "no"}),
        (node("Transpose", {"perm": [0, 2, 1]}), {"order": "0, 2, 1"}),
        (node("Mystery", {"some_thing": "a_b", "many": list(range(20))}),
         {"some thing": "a b", "many": "0, 1, 2, 3, 4, 5, 6, 7, …"}),
        (node("Relu"), {}),
    ],
)  # fmt: skip
def test_what_differs_from_the_defaults(given: Node, expected: dict[str, str]) -> None:
    assert dict(details(given)) == expected


def test_the_kernel_comes_first() -> None:
    given = node("Conv", {"pads": [1, 1], "group": 2, "strides": [2], "kernel_shape": [3]})
    assert [name for name, _ in details(given)] == ["kernel", "stride", "padding", "groups"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"value": ir.Tensor.__new__(ir.Tensor)},
        {"kernel_shape": "3x3", "strides": 7, "pads": [object()]},
        {"pads": [1, "2"], "body": object()},
        {"epsilon": None, "to": []},
    ],
    ids=["tensor", "wrong kinds", "mixed", "none"],
)
def test_attributes_of_unexpected_kinds_are_no_fault(attributes: dict[str, Any]) -> None:
    assert details(node("Conv", attributes)) == []


def test_long_values_are_shortened() -> None:
    ((name, value),) = details(node("Mystery", {"n" * 900: "v" * 900}))
    assert (len(name), len(value)) == (LONGEST, LONGEST)


@pytest.mark.parametrize(
    ("kind", "before", "after", "expected"),
    [
        ("Conv", (1, 32, D), (1, 64, D), "32 → 64 channels"),
        ("Gemm", (1, 512), (1, 10), "512 → 10 features"),
        ("Relu", (1, 4), (1, 4), None),
        ("Conv", None, (1, 4), None),
    ],
    ids=["convolution", "fully connected", "activation", "unknown"],
)
def test_channels(kind: str, before: Shape | None, after: Shape, expected: str | None) -> None:
    given = Node(kind, "n", 18, {}, (Tensor("x", ir.DataType.FLOAT, before),), ("y",))
    given.outputs = (Tensor("y", ir.DataType.FLOAT, after),)
    assert channels_text(given) == expected
