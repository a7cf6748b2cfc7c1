"""Another order of the axes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest


@pytest.mark.parametrize("perm", [None, *permutations(range(3))])
def test_axes_are_reordered(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, perm: Any
) -> None:
    model = one("Transpose", [numbers(2, 3, 4)], **({} if perm is None else {"perm": list(perm)}))
    check_sizes(model)
    check_reads(model)
    check_source(model)


@pytest.mark.parametrize("perm", [[0, 1], [0, 0, 1], [0, 1, 3]])
def test_what_is_no_order_is_named(one: Any, numbers: Any, perm: list[int]) -> None:
    failure = one("Transpose", [numbers(2, 3, 4)], perm=perm).failure
    assert f"perm {tuple(perm)} of 3 axes" in failure
