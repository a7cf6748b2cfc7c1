"""Scans that were clipped: many voxels at the very top, or the very bottom, of their range."""

from __future__ import annotations

from typing import Final

import numpy as np

from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import name_cases
from volunet.diagnosing.finding import Certainty, Finding

CLIPPED: Final = 0.02
"""Share of voxels at the largest value from which a scan counts as clipped."""

FLOORED: Final = 0.2
"""The same at the smallest value, where masked background and padding lie in healthy scans."""

TIMES_THE_OTHERS: Final = 10.0


def find_saturated(study: Study) -> list[Finding]:
    """Cases with far more voxels at an end of their range than the others, or all cases."""
    findings = []
    for index, channel in enumerate(study.dataset.channels):
        channels = [case.channels[index] for case in study.cases]
        for end, least in (("largest", CLIPPED), ("smallest", FLOORED)):
            shares = np.array(
                [each.at_maximum if end == "largest" else each.at_minimum for each in channels]
            )
            chosen = shares >= least
            others = float(np.median(shares[~chosen])) if not chosen.all() else 0.0
            if not chosen.any() or others * TIMES_THE_OTHERS > least:
                continue
            if end == "smallest" and chosen.mean() > 0.5:
                continue  # a background of one value is how most of these scans are
            certainty: Certainty = "low" if end == "smallest" else "high"
            if chosen.mean() > 0.5:
                certainty = "medium"  # the whole set may have been windowed on purpose
            names = study.names_of(chosen)
            findings.append(
                Finding(
                    fault="intensity-saturated",
                    where=name_cases(names, len(study.cases)),
                    evidence=f"Channel {channel}: {shares[chosen].min():.1%} to "
                    f"{shares.max():.1%} of the voxels have the scan's {end} value; of the other "
                    f"cases {others:.2%} (median).",
                    cause="Values were clipped when the scan was taken, converted or scaled.",
                    change="Convert these scans anew from their source with the whole range of "
                    f"values, or remove the cases: {', '.join(names)}.",
                    certainty=certainty,
                    cases=names,
                )
            )
    return findings
