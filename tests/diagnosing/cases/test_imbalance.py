from __future__ import annotations

import numpy as np
import pytest

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.imbalance import find_imbalance


def keep(count):
    """Leave some voxels of the class lower."""

    def plant(image, label, spacing):
        places = np.flatnonzero(label == 2)[count:]
        label.reshape(-1)[places] = 0
        return image, label, spacing

    return plant


@pytest.mark.parametrize(
    ("count", "certainty", "change"),
    [
        (3, "medium", "Use a loss that counts a voxel too few more than one too many:"),
        (40, "low", "None beforehand: the default loss weighs overlap. If lower stays behind:"),
    ],
)
def test_the_rarest_class_is_told(make_study, count, certainty, change):
    (finding,) = find_imbalance(make_study(keep(count), at=range(12)))
    assert (finding.fault, finding.certainty) == ("class-imbalance", certainty)
    assert finding.where == "class lower"
    assert f"{count} voxels in a case" in finding.evidence
    assert finding.change.startswith(change)
    assert "--loss tversky" in finding.change


def test_a_few_percent_are_enough(make_study):
    assert find_imbalance(make_study()) == []


def test_without_any_label_there_is_nothing_to_weigh(make_study):
    study = make_study(lambda i, x, s: (i, 0 * x, s), at=range(3), count=3)
    assert find_imbalance(study) == [LeftOut("no label has a class")]


def test_a_small_organ_is_a_hint_and_next_to_nothing_is_likely(make_study):
    study = make_study(keep(40), at=range(12))
    for share, certainty in ((5e-5, "low"), (5e-6, "medium")):
        for case in study.cases:
            case.voxels[0] = 40 / share
        (finding,) = find_imbalance(study)
        assert finding.certainty == certainty
        assert f"{share:.2g} of all voxels" in finding.evidence
