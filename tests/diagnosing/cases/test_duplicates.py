from __future__ import annotations

import json

import numpy as np
import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.duplicates import find_duplicates


def copy_of(scan, seed, noise=0.0):
    """The scan of another seed, in another scale, with noise."""

    def plant(image, label, spacing):
        image, label, spacing = scan(seed)
        rng = np.random.default_rng(99)
        image = 1.3 * image + 20 + noise * image.std() * rng.normal(size=image.shape)
        return image.astype(np.float32), label, spacing

    return plant


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_copy_across_folds_is_sure(make_study, scan, noise):
    (finding,) = find_duplicates(make_study(copy_of(scan, 5, noise), at=[2]))
    assert (finding.fault, finding.certainty) == ("duplicate-cases", "high")
    assert finding.cases == ("case_02", "case_05")
    assert "Remove the cases case_05" in finding.change
    assert "in one fold of 5" in finding.evidence


def test_three_copies_leave_one(make_study, scan):
    (finding,) = find_duplicates(make_study(copy_of(scan, 5), at=[2, 8]))
    assert finding.where == "3 pairs: case_02, case_05, case_08"
    assert "Remove the cases case_05, case_08 from" in finding.change


def test_within_one_side_of_each_fold_it_is_likely(write_set, scan, make_study):
    study = make_study(copy_of(scan, 5), at=[2])
    everyone = [case.name for case in study.cases]
    pair = ["case_02", "case_05"]
    rest = [name for name in everyone if name not in pair]
    splits = [{"train": rest, "val": pair}, {"train": pair, "val": rest}]
    (study.dataset.root / "splits_final.json").write_text(json.dumps(splits))
    (finding,) = find_duplicates(study, folds=2)
    assert finding.certainty == "medium"
    assert "one side of each fold" in finding.evidence


def test_a_copy_that_is_less_alike_is_likely(make_study, scan, monkeypatch):
    monkeypatch.setattr("volunet.diagnosing.cases.duplicates.SURE", 0.999)
    (finding,) = find_duplicates(make_study(copy_of(scan, 5, noise=0.1), at=[2]))
    assert finding.certainty == "medium"
    assert finding.cases == ("case_02", "case_05")


def test_scans_of_one_anatomy_are_no_copies(make_study):
    assert find_duplicates(make_study()) == []
    assert find_duplicates(make_study(count=1)) == [LeftOut("1 case to judge, 2 are needed")]


def test_two_cases_are_enough(make_study, scan):
    (finding,) = find_duplicates(make_study(copy_of(scan, 1), at=[0], count=2))
    assert finding.cases == ("case_00", "case_01")
