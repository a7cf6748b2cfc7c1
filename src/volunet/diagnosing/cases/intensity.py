"""Scans whose intensities are not the others': CT by HU in the classes, any scan by its look."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.diagnosing.answers import Answers, LeftOut, leave_out
from volunet.diagnosing.cases.robust import middle_and_spread, modified_z
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.units import is_ct
from volunet.diagnosing.cases.wording import NO_CLASS, few, name_cases
from volunet.diagnosing.finding import Finding

OFFSET_HU: Final = 200.0
"""Contrast agent lifts soft tissue by up to about 150 HU."""

_SPREAD_HU: Final = 30.0

_FAR: Final = 6.0

_ALIKE: Final = 0.3
"""Where the scans' median correlation is less, they have no common look."""

_LEAST_LOOK_SPREAD: Final = 0.05

_LEAST_CASES: Final = 6


def find_intensity_outliers(study: Study) -> Answers:
    """Cases whose classes have other HU, or whose image looks like none of the others'.

    The unit of MR is arbitrary: of channels that are no CT only the look is judged, which is the
    correlation of the standardised thumbnail with the mean of all. An inverted scan has one below
    0.
    """
    if too_few := few(len(study.cases), _LEAST_CASES):
        return [LeftOut(too_few)]
    findings: list[Finding] = []
    reasons: dict[str, str] = {}
    labelled = any(case.foreground for case in study.cases)
    for index, channel in enumerate(study.dataset.channels):
        if is_ct(channel):
            findings += _other_units(study, index)
            reasons[f"HU of {channel}"] = "" if labelled else NO_CLASS
        looks = _likeness([case.image[index] for case in study.cases])
        middle = float(np.median(looks))
        if middle >= _ALIKE:
            findings += _other_look(study, index, looks)
            reasons[f"look of {channel}"] = ""
        else:
            reasons[f"look of {channel}"] = (
                f"scans correlate with the mean of the others by {middle:.2f} (median), {_ALIKE:g} "
                "is needed"
            )
    return [*findings, *leave_out(reasons)]


def _other_units(study: Study, channel: int) -> list[Finding]:
    means = np.array([case.channels[channel].class_means for case in study.cases])
    offsets, scores = np.full((2, *means.shape), np.nan)
    for index in range(1, means.shape[1]):
        if np.isfinite(means[:, index]).any():
            middle, _ = middle_and_spread(means[:, index])
            offsets[:, index] = means[:, index] - middle
            scores[:, index] = modified_z(means[:, index], _SPREAD_HU)
    far = (np.abs(offsets) >= OFFSET_HU) & (np.abs(scores) > _FAR)
    chosen = far.any(axis=1) & (far | np.isnan(offsets)).all(axis=1)
    names = study.names_of(chosen)
    if not names:
        return []
    return [
        Finding(
            fault="intensity-outlier",
            where=name_cases(names, len(study.cases)),
            evidence=f"Every class has a mean {np.nanmedian(offsets[chosen]):+.0f} HU from that of "
            f"the other cases; theirs differ by {np.nanmedian(np.abs(offsets[~chosen])):.0f} HU "
            "(median).",
            cause="Another unit or scale than HU in these files.",
            change="Convert these scans anew from their source (rescale slope and intercept), or "
            f"remove the cases: {', '.join(names)}.",
            certainty="medium",
            cases=names,
        )
    ]


def _other_look(study: Study, channel: int, looks: NDArray[np.float64]) -> list[Finding]:
    scores = modified_z(looks, _LEAST_LOOK_SPREAD)
    chosen = (looks < 0) & (scores < -_FAR)
    names = study.names_of(chosen)
    if not names:
        return []
    return [
        Finding(
            fault="intensity-outlier",
            where=name_cases(names, len(study.cases)),
            evidence=f"Channel {study.dataset.channels[channel]}: correlation of the scan with the "
            f"mean of the others {looks[chosen].min():.2f}; of the others {np.median(looks):.2f} "
            f"(median), {looks[~chosen].min():.2f} at the least.",
            cause="Inverted intensities, another sequence, or another part of the body.",
            change=f"Look at these scans; convert them anew or remove the cases: "
            f"{', '.join(names)}.",
            certainty="medium",
            cases=names,
        )
    ]


def _likeness(images: list[NDArray[np.float16]]) -> NDArray[np.float64]:
    """Correlation of each standardised thumbnail with the sum of all others."""
    total = np.sum(images, axis=0, dtype=np.float64)
    return np.array([np.corrcoef(image.ravel(), (total - image).ravel())[0, 1] for image in images])
