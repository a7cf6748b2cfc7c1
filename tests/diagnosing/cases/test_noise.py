from __future__ import annotations

import numpy as np
from scipy import ndimage

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.cases.noise import find_noise


def speckle(image, label, spacing):
    rng = np.random.default_rng(int(label.sum()))
    border = ndimage.binary_dilation(label > 0) & ~ndimage.binary_erosion(label > 0)
    hit = border & (rng.random(label.shape) < 0.3)
    near = ndimage.grey_dilation(label, size=(3, 3, 3))
    return image, np.where(hit, np.where(label > 0, 0, near), label), spacing


def other_part(image, label, spacing):
    return image, np.roll(label, (0, 11, 8), (0, 1, 2)), spacing


def tilt(image, label, spacing):
    """Image and label together: another pose, and a right label."""
    return np.roll(image, 9, 1), np.roll(label, 9, 1), spacing


def test_ragged_labels_are_sure(make_study):
    (finding,) = find_noise(make_study(speckle, at=[1, 5]))
    assert (finding.fault, finding.certainty) == ("label-noise", "high")
    assert finding.cases == ("case_01", "case_05")
    assert "five of their six neighbours" in finding.evidence


def test_a_label_that_others_and_image_dispute_is_likely(make_study):
    (finding,) = find_noise(make_study(other_part))
    assert finding.certainty == "medium"
    assert finding.cases == ("case_02",)
    assert "Residual by cross-validation" in finding.evidence


def test_rare_anatomy_is_a_hint(make_study):
    (finding,) = find_noise(make_study(tilt))
    assert finding.certainty == "low"
    assert "lies well on its image" in finding.cause


def test_healthy_cases_and_few_cases_are_quiet(make_study):
    assert find_noise(make_study()) == []
    few = make_study(speckle, at=[2], count=5)
    assert find_noise(few) == [LeftOut("5 cases to judge, 6 are needed")]


def test_what_cannot_be_measured_is_left_out(make_study, monkeypatch):
    study = make_study()
    monkeypatch.setattr("volunet.diagnosing.cases.study.TRUSTED_DICE", 2.0)
    (left_out,) = find_noise(study)
    assert left_out.part == "residuals"
    assert "2 is needed" in left_out.reason

    def keep_a_few(image, label, spacing):
        return image, label * (np.cumsum(label > 0).reshape(label.shape) < 50), spacing

    dots = make_study(keep_a_few, at=range(12))
    (left_out,) = find_noise(dots)
    assert left_out.reason.startswith(
        "ragged borders: 0 cases with a class of some size, 6 are needed; residuals: labels have"
    )
