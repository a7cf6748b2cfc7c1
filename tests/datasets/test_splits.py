"""Folds: complete, disjoint, the same everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.splits import (
    DEFAULT_FOLDS,
    Fold,
    Split,
    find_splits,
    parse_folds,
    split_cases,
)
from volunet.errors import ConfigError, DatasetError
from volunet.tasks.segmentation.annotations import LabelMaps


def make_cases(count: int) -> tuple[Case, ...]:
    return tuple(Case(f"c{index:03d}", (Path("i"),), Path("l")) for index in range(count))


def names(cases: tuple[Case, ...]) -> list[str]:
    return [case.name for case in cases]


@pytest.fixture
def dataset(tmp_path):
    return DataSet("d", tmp_path, ("CT",), LabelMaps({0: "background", 1: "a"}), make_cases(4))


@pytest.mark.parametrize(("count", "folds"), [(11, 5), (5, 5), (2, 2), (200, 3)])
def test_every_case_validates_once(count, folds):
    cases = make_cases(count)
    seen: list[str] = []
    for number in range(1, folds + 1):
        training, validation = split_cases(cases, Fold(number, folds))
        assert sorted(names(training) + names(validation)) == names(cases)
        assert len(validation) in (count // folds, -(-count // folds))
        seen += names(validation)
    assert sorted(seen) == names(cases)


def test_split_is_the_same_everywhere():
    cases = make_cases(10)
    _, validation = split_cases(cases, Fold(1, 5))
    assert split_cases(cases[::-1], Fold(1, 5))[1] == validation
    # Golden: another answer would mix the validation cases of runs made earlier into training.
    assert names(validation) == ["c001", "c003"]


def test_names_are_shuffled():
    _, validation = split_cases(make_cases(20), Fold(1, 2))
    assert names(validation) != names(make_cases(20)[::2])


def test_none_validates():
    training, validation = split_cases(make_cases(1), Fold.parse("none"))
    assert (names(training), validation) == (["c000"], ())
    assert Fold.parse("none").is_none is True
    assert Fold(1, 2).is_none is False


@pytest.mark.parametrize(
    ("count", "advice"), [(2, r"--fold 1/2"), (1, r"--fold none"), (0, r"--fold none")]
)
def test_fewer_cases_than_folds(count, advice):
    with pytest.raises(
        DatasetError, match=rf"(?s)1/5 of {count} cases.*at most {count} folds.*{advice}"
    ):
        split_cases(make_cases(count), Fold(1, 5))


@pytest.mark.parametrize(
    ("text", "fold"), [("1/5", Fold(1, 5)), (" 5 / 5 ", Fold(5, 5)), ("NONE ", Fold(1, 1))]
)
def test_parse(text, fold):
    assert Fold.parse(text) == fold
    assert Fold.parse(str(fold)) == fold


@pytest.mark.parametrize(
    "text", ["0/5", "6/5", "1/1", "1/0", "5", "", "a/b", "-1/5", "1/5/2", "all", "all/3"]
)
def test_parse_refuses(text):
    with pytest.raises(ConfigError, match=r"fold: .*\n.*K/N"):
        Fold.parse(text)


@pytest.mark.parametrize(
    ("text", "num_cases", "folds"),
    [
        ("all", 60, ["1/5", "2/5", "3/5", "4/5", "5/5"]),
        ("ALL", 4, ["1/4", "2/4", "3/4", "4/4"]),
        ("all", 1, ["1/2", "2/2"]),  # which one case is too few for
        (" all / 3 ", 60, ["1/3", "2/3", "3/3"]),
        ("all/12", 5, [f"{number}/12" for number in range(1, 13)]),
        ("2/5", 60, ["2/5"]),
        ("none", 60, ["none"]),
    ],
)
def test_folds_of_bagging(text, num_cases, folds):
    assert DEFAULT_FOLDS == 5
    assert [str(fold) for fold in parse_folds(text, num_cases)] == folds


@pytest.mark.parametrize("text", ["all/1", "all/0", "all/", "all/x", "all/-2", "all 3", "each"])
def test_folds_of_bagging_refuse(text):
    with pytest.raises(ConfigError, match=r"fold: .*\n.*all or all/N trains a network a fold"):
        parse_folds(text, 10)


def test_folds_of_bagging_validate_every_case_once():
    cases = make_cases(11)
    validated = [
        name
        for fold in parse_folds("all/3", len(cases))
        for name in names(split_cases(cases, fold)[1])
    ]
    assert sorted(validated) == names(cases)


def write_splits(folder: Path, content: object) -> None:
    (folder / "splits_final.json").write_text(json.dumps(content))


def test_no_splits_file(dataset):
    assert find_splits(dataset) is None


def test_own_splits_are_used_when_as_many(dataset):
    content = [
        {"train": ["c000", "c001"], "val": ["c002"]},
        {"train": ["c002"], "val": ["c000", "gone"]},
    ]
    write_splits(dataset.root, content)
    splits = find_splits(dataset)
    assert splits == (
        Split(("c000", "c001"), ("c002",)),
        Split(("c002",), ("c000", "gone")),
    )
    training, validation = split_cases(dataset.cases, Fold(2, 2), splits)
    assert (names(training), names(validation)) == (["c002"], ["c000"])
    # Three folds are asked for, two are on file: volunet's own split.
    assert split_cases(dataset.cases, Fold(1, 3), splits) == split_cases(dataset.cases, Fold(1, 3))


def test_own_splits_of_another_data_set(dataset):
    splits = (Split(("x",), ("c000",)), Split(("c000",), ("x",)))
    with pytest.raises(DatasetError, match=r"fold 1/2 leaves no training case\.\n.*c000"):
        split_cases(dataset.cases, Fold(1, 2), splits)
    with pytest.raises(DatasetError, match=r"fold 2/2 leaves no validation case"):
        split_cases(dataset.cases, Fold(2, 2), splits)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"no list of folds"),
        ([], r"no list of folds"),
        ([{"train": ["a"]}], r"fold 0 without the name lists"),
        ([{"train": ["a"], "val": "b"}], r"fold 0 without the name lists"),
        ([{"train": ["a"], "val": [1]}], r"fold 0 without the name lists"),
        ([{"train": ["a", "b"], "val": ["b"]}], r"fold 0 both trains on and validates b"),
    ],
    ids=["object", "empty", "no-val", "text", "numbers", "overlap"],
)
def test_wrong_splits_file(dataset, content, message):
    write_splits(dataset.root, content)
    with pytest.raises(DatasetError, match=message):
        find_splits(dataset)
