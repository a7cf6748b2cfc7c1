from __future__ import annotations

import numpy as np

from volunet.datasets.layouts import read_dataset
from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.study import read_study
from volunet.diagnosing.cases.tiny import find_tiny_objects


def dot(image, label, spacing):
    """The class upper as a cube of 2 voxels."""
    label = np.where(label == 2, 2, 0).astype(np.uint8)
    label[20:22, 2:4, 2:4] = 1
    return image, label, spacing


def test_a_class_that_a_coarse_grid_loses(write_set):
    dataset = read_dataset(write_set(dot, at=range(12)))
    (finding,) = find_tiny_objects(read_study(dataset, (4.0, 4.0, 4.0)))
    assert (finding.fault, finding.certainty) == ("tiny-object-lost", "high")
    assert finding.where == "all 12 cases, upper"
    assert "keeps 0% of its volume at the least, below 50% in 12 of 12 cases" in finding.evidence
    assert "12 of 12 objects keep no voxel" in finding.evidence
    assert "--spacing-mm 1,1,1" in finding.change


def test_the_median_grid_of_mixed_spacings(make_study):
    calls = iter(range(12))

    def mixed(image, label, spacing):
        image, label, _ = dot(image, label, spacing)
        return image, label, (1.0, 1.0, 1.0) if next(calls) < 4 else (9.0, 5.0, 5.0)

    (finding,) = find_tiny_objects(make_study(mixed, at=range(12)))
    assert finding.cases == ("case_00", "case_01", "case_02", "case_03")


def test_one_odd_case_is_likely(write_set):
    calls = iter(range(24))

    def one(image, label, spacing):
        return dot(image, label, spacing) if next(calls) == 5 else (image, label, spacing)

    dataset = read_dataset(write_set(one, at=range(24), count=24))
    (finding,) = find_tiny_objects(read_study(dataset, (3.0, 3.0, 3.0)))
    assert finding.certainty == "medium"
    assert finding.cases == ("case_05",)


def test_a_grid_that_is_fine_enough(write_set):
    dataset = read_dataset(write_set(dot, at=range(12)))
    assert find_tiny_objects(read_study(dataset)) == []
    assert find_tiny_objects(read_study(dataset, (0.7, 0.7, 0.7))) == []


def test_without_any_label_nothing_can_be_lost(make_study):
    study = make_study(lambda i, x, s: (i, 0 * x, s), at=range(2), count=2)
    assert find_tiny_objects(study) == [LeftOut("no label has a class")]
