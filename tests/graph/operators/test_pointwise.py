"""Operators of one input, element by element: the functions and their attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from volunet.graph.operators import OPERATORS

ATTRIBUTES: list[tuple[str, dict[str, Any]]] = [
    ("LeakyRelu", {"alpha": 0.2}),
    ("Elu", {"alpha": 0.7}),
    ("Celu", {"alpha": 0.7}),
    ("ThresholdedRelu", {"alpha": 0.3}),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
    ("Gelu", {"approximate": "tanh", "opset": 20}),
    ("Swish", {"alpha": 0.5, "opset": 24}),
    ("Cast", {"to": 1}),
    ("Cast", {"to": 6}),
    ("Cast", {"to": 9}),
    ("Cast", {"to": 10}),
    ("Cast", {"to": 11}),
]


@pytest.mark.parametrize(("op_type", "attributes"), ATTRIBUTES, ids=str)
def test_attributes_are_taken_over(
    one: Any, signed: Any, check_sizes: Any, check_reads: Any, check_source: Any, op_type: str,
    attributes: dict[str, Any],
) -> None:  # fmt: skip
    model = one(op_type, [signed(1, 3, 4)], **attributes)
    check_sizes(model)
    # True stays true, whatever is not 0 becomes.
    check_reads(model, exact=attributes != {"to": 9})
    check_source(model)


def test_other_numbers_than_selus_own_are_elus(one: Any, signed: Any, check_source: Any) -> None:
    own = one("Selu", [signed(3)], alpha=1.6732632, gamma=1.050701)
    assert OPERATORS["Selu"].source(own.node).call == "F.selu({0})"
    other = one("Selu", [signed(9)], alpha=1.5)
    assert check_source(other).call == "F.elu({0}, 1.5) * 1.050701"


@pytest.mark.parametrize(
    ("opset", "constants", "attributes", "call"),
    [
        (6, [], {"min": -0.5, "max": 0.5}, "torch.clamp({0}, min=-0.5, max=0.5)"),
        (6, [], {"max": 0.25}, "torch.clamp({0}, max=0.25)"),
        (11, [np.float32(-0.5)], {}, "torch.clamp({0}, min=-0.5)"),
        (13, [None, np.float32(0.5)], {}, "torch.clamp({0}, max=0.5)"),
        (13, [np.float32(0), np.float32(6)], {}, "torch.clamp({0}, min=0.0, max=6.0)"),
        (13, [], {}, "{0}"),
        (13, [np.float32(0), np.float32(np.inf)], {}, "torch.clamp({0}, min=0.0, max={2})"),
    ],
)
def test_bounds_are_attributes_or_inputs(
    one: Any, signed: Any, check_sizes: Any, check_source: Any, opset: int, constants: Any,
    attributes: Any, call: str,
) -> None:  # fmt: skip
    model = one("Clip", [signed(2, 3)], constants, opset=opset, **attributes)
    check_sizes(model)
    assert check_source(model).call == call


def test_bounds_that_are_computed_stay_inputs(one: Any, signed: Any, check_source: Any) -> None:
    model = one("Clip", [signed(2, 3), np.array(-0.25, np.float32)])
    assert check_source(model).call == "torch.clamp({0}, min={1})"


@pytest.mark.parametrize("opset", [7, 10, 12, 13, 22])
def test_a_dropout_changes_nothing(
    one: Any, signed: Any, check_sizes: Any, check_reads: Any, check_source: Any, opset: int
) -> None:
    model = one("Dropout", [signed(2, 3)], opset=opset)
    check_sizes(model)
    check_reads(model)
    assert check_source(model).call == "{0}"
    assert OPERATORS["Dropout"].flops(model.node).others == 0


def test_a_dropouts_mask_has_the_inputs_shape(one: Any, signed: Any, check_sizes: Any) -> None:
    assert check_sizes(one("Dropout", [signed(2, 3)], outputs=2)) == [(2, 3), (2, 3)]


def test_roles_are_those_of_the_notes() -> None:
    roles = {name: OPERATORS[name].role for name in ("Relu", "LeakyRelu", "Sigmoid", "Clip", "Exp")}
    assert roles == {
        "Relu": "activation", "LeakyRelu": "activation", "Sigmoid": "activation",
        "Clip": "activation", "Exp": "other",
    }  # fmt: skip


def test_an_attribute_of_another_kind_is_named(one: Any, signed: Any) -> None:
    node = one("LeakyRelu", [signed(2)], alpha=0.5).node
    node.attributes["alpha"] = "much"
    with pytest.raises(ValueError, match="attribute alpha is 'much', no number"):
        OPERATORS["LeakyRelu"].source(node)


def test_whole_results_of_fractions(parsed: Any, signed: Any) -> None:
    """Constants are computed with too: −2.5 towards zero, its root, its size."""
    model = parsed(
        """
        g (float[d] x) => (int64[n] a, float[n] b, float[n] c, float[n] r) {
            v = Constant <value_floats = [-2.5]> ()
            four = Constant <value_floats = [4.0]> ()
            a = Cast <to = 7> (v)
            b = Abs (v)
            c = Ceil (v)
            r = Sqrt (four)
        }
        """,
        x=signed(3),
    )
    values = [tensor.values for tensor in model.network.outputs]
    assert [[float(v) for v in value] for value in values] == [a.tolist() for a in model.run()]
