from __future__ import annotations

import numpy as np

from volunet.diagnosing.cases.presence import share_seen

BOTH = np.array([True, True])


def test_images_show_about_the_usual_volume(make_study):
    study = make_study(lambda i, x, s: (i - 260 * (x == 2), x % 2, s), at=[2])
    has = np.arange(12) != 2
    lower = share_seen(study, np.array([False, True]), has)
    assert np.median(lower[has]) == 1.0
    assert lower[has].min() > 0.5 > 2 * lower[2]
    upper = share_seen(study, np.array([True, False]), np.full(12, True))
    assert upper[2] > 0.7


def test_classes_that_are_not_known_are_not_asked(make_study, monkeypatch):
    study = make_study()
    everyone = np.full(12, True)
    least = study.class_dice.min()
    monkeypatch.setattr("volunet.diagnosing.cases.presence.KNOWN_DICE", least + 1e-6)
    better = np.arange(2) == study.class_dice.argmax()
    both, one = (share_seen(study, wanted, everyone) for wanted in (BOTH, better))
    assert both.tolist() == one.tolist()
    assert np.isnan(share_seen(study, ~better, everyone)).all()
    assert np.isnan(share_seen(study, BOTH, ~everyone)).all()
    assert np.isnan(share_seen(make_study(count=4), BOTH, np.full(4, True))).all()
