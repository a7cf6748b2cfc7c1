from __future__ import annotations

from dataclasses import replace

import numpy as np

from volunet.datasets.layouts import read_dataset
from volunet.diagnosing.cases.study import read_study


def test_every_case_is_read_once_and_told(write_set):
    told = []
    dataset = read_dataset(write_set(count=3))
    study = read_study(dataset, progress=lambda done, total: told.append((done, total)))
    assert [case.name for case in study.cases] == ["case_00", "case_01", "case_02"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert study.problems == ()
    assert len({case.label.shape for case in study.cases}) == 1


def test_bad_cases_are_kept_apart_with_all_their_problems(write_set):
    folder = write_set(count=3)
    (folder / "imagesTr" / "case_01.nii").unlink()
    (folder / "labelsTr" / "case_01.nii").unlink()
    (folder / "labelsTr" / "case_02.nii").write_bytes(b"")
    study = read_study(read_dataset(folder))
    assert [case.name for case in study.cases] == ["case_00"]
    assert [problem.case for problem in study.problems] == ["case_01", "case_01", "case_02"]


def test_no_case_can_be_read(write_set):
    folder = write_set(count=1)
    (folder / "imagesTr" / "case_00.nii").unlink()
    study = read_study(read_dataset(folder))
    assert study.cases == ()
    assert len(study.problems) == 1
    assert study.atlas == []


def test_the_grid_is_the_median_or_the_one_given(write_set):
    def thick(image, label, spacing):
        return image, label, (5.0, 1.0, 1.0)

    dataset = read_dataset(write_set(thick, at=[0], count=3))
    assert read_study(dataset).spacing_mm == (1.0, 1.0, 1.0)
    assert read_study(dataset, (2.0, 2.0, 2.0)).spacing_mm == (2.0, 2.0, 2.0)


def test_without_cases_the_rest_is_worked_out_anew(make_study):
    study = make_study(lambda i, x, s: (i, 0 * x, s), at=[2, 3])
    left = study.without({"case_02", "case_03"})
    assert len(study.cases) - len(left.cases) == 2
    assert left.problems == study.problems
    assert left.atlas[0].dice > study.atlas[0].dice
    assert study.without(()) is study


def test_names_of_a_mask(make_study):
    study = make_study(count=3)
    assert study.names_of(np.array([True, False, True])) == ("case_00", "case_02")


def test_few_cases_have_no_atlas(make_study):
    study = make_study(count=6)
    assert len(study.atlas) == 6
    assert replace(study, cases=study.cases[:5]).atlas == []


def test_dice_of_a_class_is_that_of_the_cases_that_have_it(make_study):
    study = make_study(lambda i, x, s: (i, x % 2, s), at=range(3, 12))
    having = [fit.overlaps[1, 1] for fit in study.atlas[:3]]
    assert np.isfinite(having).all()
    assert np.isnan([fit.overlaps[1, 1] for fit in study.atlas[3:]]).all()
    assert study.class_dice[1] == np.median(having)
    assert study.class_dice[0] > 0.7
    assert replace(study, cases=study.cases[:5]).class_dice.tolist() == []


def test_why_the_other_cases_are_not_asked(make_study, monkeypatch):
    study = make_study(count=6)
    assert study.atlas_distrust == ""
    few = replace(study, cases=study.cases[:5])
    assert few.atlas_distrust == "5 cases to judge, 6 are needed"
    monkeypatch.setattr("volunet.diagnosing.cases.study.TRUSTED_DICE", 0.95)
    strict = replace(study, cases=study.cases)
    assert "with what the other cases say (median), 0.95 is needed" in strict.atlas_distrust
