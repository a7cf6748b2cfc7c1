"""Sizes as values: `Shape` and `Size`."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.evaluation import evaluate


@pytest.mark.parametrize(
    "attributes",
    [{}, {"start": 2}, {"end": -1}, {"start": -2, "end": 3}, {"start": 1, "end": 9}, {"start": -9}],
    ids=str,
)
def test_sizes_become_values(
    one: Any, numbers: Any, check_sizes: Any, check_source: Any, attributes: dict[str, int]
) -> None:
    model = one("Shape", [numbers(2, 3, 4, 5)], **attributes)
    check_sizes(model)
    check_source(model)
    network, sizes = model.open()
    expected = model.run()[0].tolist()
    assert list(model.node.outputs[0].values) == expected
    assert [evaluate(value, sizes) for value in network.outputs[0].values] == expected
    assert not model.node.outputs[0].is_data


def test_the_number_of_elements_becomes_a_value(
    one: Any, numbers: Any, check_sizes: Any, check_source: Any
) -> None:
    model = one("Size", [numbers(2, 3, 4, 5)])
    check_sizes(model)
    check_source(model)
    network, sizes = model.open()
    (value,) = network.outputs[0].values
    assert str(value) == "c·h·n·w"
    assert evaluate(value, sizes) == 120
