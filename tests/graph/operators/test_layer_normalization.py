"""Layer norm over the last axes."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS

NORM = OPERATORS["LayerNormalization"]


@pytest.mark.parametrize("axis", [-1, -2, 1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_the_last_axes_are_normed_as_a_whole(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, axis: int,
    bias: bool, epsilon: float,
) -> None:  # fmt: skip
    x = numbers(2, 3, 4, 5)
    normed = x.shape[axis:]
    constants = [numbers(*normed, seed=1)] + ([numbers(*normed, seed=2)] if bias else [])
    model = one("LayerNormalization", [x], constants, opset=17, axis=axis, epsilon=epsilon)
    first = axis % 4
    check_sizes(model, fixed=range(first, 4))
    check_reads(model)
    source = check_source(model)
    words = f"{normed}{'' if epsilon == 1e-5 else ', eps=0.001'}{'' if bias else ', bias=False'}"
    assert source.module == f"nn.LayerNorm({words})"
    assert NORM.parameter_inputs(model.node) == ((1, 2) if bias else (1,))
    assert NORM.flops(model.node).others == 6 * x.size


def test_mean_and_deviation_are_outputs_too(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any
) -> None:
    model = one("LayerNormalization", [numbers(2, 3, 4)], [numbers(4)], outputs=3)
    assert check_sizes(model) == [(2, 3, 4), (2, 3, 1), (2, 3, 1)]
    check_reads(model)


def test_a_scale_that_is_repeated_is_not_the_modules(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any
) -> None:
    model = one("LayerNormalization", [numbers(2, 3, 4), numbers(4)], axis=1)
    check_sizes(model)
    check_reads(model)
    call = "F.layer_norm({0}, {0}.shape[1:]) * {1}"
    assert check_source(model).call == call
    repeated = one("LayerNormalization", [numbers(2, 3, 4)], [numbers(1), numbers(3, 1)], axis=1)
    assert check_source(repeated).call == f"{call} + {{2}}"


@pytest.mark.parametrize(
    ("scale", "axis", "found"),
    [
        ((5,), -1, "axis 2 of 'in0' and of 'in1': 4 and 5"),
        ((4,), 3, "axis 3 of a tensor of 3 axes"),
        ((1, 2, 3, 4), 0, "an input of 4 axes for 3"),
    ],
)
def test_what_does_not_fit_is_named(
    one: Any, numbers: Any, scale: Any, axis: int, found: str
) -> None:
    failure = one("LayerNormalization", [numbers(2, 3, 4)], [numbers(*scale)], axis=axis).failure
    assert found in failure
