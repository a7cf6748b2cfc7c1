from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.cases.imbalance import find_imbalance


def keep(count):
    """Leave some voxels of the class lower."""

    def plant(image, label, spacing):
        places = np.flatnonzero(label == 2)[count:]
        label.reshape(-1)[places] = 0
        return image, label, spacing

    return plant


@pytest.mark.parametrize(
    ("count", "certainty", "loss"), [(3, "high", "tversky"), (40, "low", "dice_cross_entropy")]
)
def test_the_rarest_class_is_told(make_study, count, certainty, loss):
    (finding,) = find_imbalance(make_study(keep(count), at=range(12)))
    assert (finding.fault, finding.certainty) == ("class-imbalance", certainty)
    assert finding.where == "class lower"
    assert f"{count} voxels in a case" in finding.evidence
    assert f"--loss {loss}" in finding.change


def test_a_few_percent_are_enough(make_study):
    assert find_imbalance(make_study()) == []


def test_without_any_label_there_is_nothing_to_weigh(make_study):
    study = make_study(lambda i, x, s: (i, 0 * x, s), at=range(3), count=3)
    assert find_imbalance(study) == []
