"""What a node says of its attributes and of two sizes that do not fit."""

from __future__ import annotations

import re
from typing import Any

import onnx_ir as ir
import pytest

from volunet.errors import ShapeError
from volunet.graph.bounds import minimum
from volunet.graph.node import Node, Requirement
from volunet.graph.sizes import Size, floor_div, symbol
from volunet.graph.tensors import Tensor

D, H = symbol("d"), symbol("h")


def node(**attributes: Any) -> Node:
    x = Tensor("x", ir.DataType.FLOAT, (1, 2, D))
    unknown = Tensor("u", ir.DataType.FLOAT, None)
    return Node("Conv", "first", 18, attributes, (x, None, unknown), ("y",))


@pytest.mark.parametrize(
    ("relation", "left", "right", "holds"),
    [
        ("==", 4, 4, True),
        ("==", 4, 5, False),
        ("==", D, D, True),
        ("==", D, 4, None),
        ("==", D, D + 1, False),
        ("==", D, H, None),
        ("==", floor_div(D, 2) * 2, D + 1, False),
        (">=", 4, 4, True),
        (">=", 3, 4, False),
        (">=", D, 1, True),
        (">=", D, 2, None),
        (">=", minimum(D, 3), 4, False),
        ("broadcast", 4, 1, True),
        ("broadcast", 1, D, True),
        ("broadcast", 4, 5, False),
        ("broadcast", D, 4, None),
        # Of d = 1 and d + 1 = 2 the first is repeated.
        ("broadcast", D, D + 1, None),
        ("broadcast", D + 1, D + 2, False),
    ],
    ids=str,
)
def test_a_requirement_holds_fails_or_depends(
    relation: Any, left: Size, right: Size, holds: bool | None
) -> None:
    assert Requirement(relation, left, right, "sizes").holds is holds


def test_what_always_holds_is_not_kept() -> None:
    conv = node()
    conv.require(">=", D, 1, "axis 2")
    assert conv.requirements == []
    conv.require(">=", D, 2, "axis 2 of its output")
    assert [str(rule) for rule in conv.requirements] == [
        "axis 2 of its output: d, at least 2 is needed"
    ]
    conv.require("==", D, 5, "axis 2 of 'a' and of 'b'")
    assert str(conv.requirements[1]) == "axis 2 of 'a' and of 'b': d and 5"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda n: n.input(1), "Conv 'first': input 1 is missing"),
        (lambda n: n.input(7), "Conv 'first': input 7 is missing"),
        (lambda n: n.shape(2), "the number of axes of input 'u' is not known"),
        (lambda n: n.numbers(0), "Conv 'first': an input of 1×2×d"),
        (lambda n: n.integer("a", 1), "attribute a is 1.5, no whole number"),
        (lambda n: n.real("b", 1.0), "attribute b is 'x', no number"),
        (lambda n: n.text("c", ""), "attribute c is 3, no text"),
        (lambda n: n.integers("e"), re.escape("attribute e is [1, 0.5], no list of whole numbers")),
        (lambda n: n.integers("a"), "attribute a is 1.5, no list of whole numbers"),
    ],
)
def test_what_contradicts_the_definition_is_named(ask: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ask(node(a=1.5, b="x", c=3, e=[1, 0.5]))


def test_a_node_is_written_with_its_sizes() -> None:
    assert str(node()) == "Conv 'first' of 1×2×d, ?"
    assert node().integers("pads") is None
    assert node().real("epsilon", 1) == 1.0
