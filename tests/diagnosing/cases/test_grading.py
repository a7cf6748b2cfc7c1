from __future__ import annotations

import numpy as np

from volunet.diagnosing.cases.grading import grade


def mask(*set_at: int) -> np.ndarray:
    return np.isin(np.arange(4), set_at)


def test_a_sure_case_is_not_told_as_likely_too():
    groups = [(np.flatnonzero(cases).tolist(), c) for cases, c in grade(mask(1), mask(1, 3))]
    assert groups == [([1], "high"), ([3], "medium")]


def test_empty_groups_are_left_out():
    assert grade(mask(), mask()) == []
    assert [certainty for _, certainty in grade(mask(), mask(0))] == ["medium"]


def test_hints_come_last():
    groups = grade(mask(0), mask(), mask(0, 2))
    assert [(np.flatnonzero(cases).tolist(), each) for cases, each in groups] == [
        ([0], "high"),
        ([2], "low"),
    ]
