"""Case names."""

from __future__ import annotations

from pathlib import Path

import pytest

from volunet.datasets.cases import Case
from volunet.datasets.layouts.names import case_name, is_leftover, sort_cases
from volunet.errors import DatasetError


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("imagesTr/a_01.nii.gz", "a_01"),
        ("a.NII.GZ", "a"),
        ("p1_1.5T.nrrd", "p1_1.5T"),
        ("1.2.840.7", "1.2.840.7"),
        ("a.mha", "a"),
    ],
)
def test_only_the_ending_is_dropped(file, name):
    assert case_name(Path(file)) == name


def test_leftovers_are_hidden_files():
    assert is_leftover(Path("imagesTr/._a.nii.gz"))
    assert not is_leftover(Path("._folder/a.nii.gz"))


def test_cases_are_sorted():
    cases = [Case(name, (Path(name),), Path(name)) for name in ("b", "a", "c")]
    assert [case.name for case in sort_cases(cases, Path("x"))] == ["a", "b", "c"]


def test_no_case():
    with pytest.raises(DatasetError, match=r"x: no labelled case"):
        sort_cases([], Path("x"))


def test_names_are_unique():
    cases = [Case("a", (Path(folder),), Path(folder)) for folder in ("1", "2")]
    with pytest.raises(DatasetError, match=r"1 case names that appear more than once: a\."):
        sort_cases(cases, Path("x"))
