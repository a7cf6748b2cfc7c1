"""`Account`: a fault counts as looked for where any part of its check was made."""

from __future__ import annotations

import pytest

from volunet.diagnosing.answers import Account, LeftOut, leave_out
from volunet.diagnosing.finding import Finding

FOUND = Finding("fault", "here", "evidence", "cause", "change", "high")


@pytest.mark.parametrize(
    ("answers", "checked", "left_out"),
    [
        ([], ["fault"], []),
        ([FOUND], ["fault"], []),
        ([LeftOut("it is dark")], [], ["fault: it is dark"]),
        ([FOUND, LeftOut("2 cases", "of all")], ["fault"], ["fault: of all: 2 cases"]),
        ([LeftOut("2 cases", "of all")], ["fault"], ["fault: of all: 2 cases"]),
    ],
    ids=["nothing", "found", "left out", "found in part", "looked in part"],
)
def test_what_is_noted(answers, checked, left_out):
    account = Account()
    assert account.note("fault", answers) == [FOUND] * (FOUND in answers)
    assert (account.checked, account.left_out) == (checked, left_out)


def test_without_a_part_that_was_made_the_check_is_left_out():
    assert leave_out({}) == leave_out({"one": "", "other": ""}) == []
    assert leave_out({"one": "", "other": "dark"}) == [LeftOut("dark", "other")]
    assert leave_out({"one": "far", "other": "dark"}) == [LeftOut("one: far; other: dark")]
    assert leave_out({"one": "dark", "other": "dark"}) == [LeftOut("dark")]
