"""Classes that are so rare that a loss over voxels hardly sees them."""

from __future__ import annotations

from typing import Final

import numpy as np

from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import train_command
from volunet.diagnosing.finding import Certainty, Finding

RARE: Final = 0.005
"""Share of all voxels below which the rarest class is worth a hint."""

VERY_RARE: Final = 0.001

EXTREME: Final = 1e-4

FEW_VOXELS: Final = 27
"""A class of fewer voxels a case is smaller than one kernel of 3×3×3."""

UNEVEN: Final = 100.0
"""Ratio of the largest class to the rarest, the background left out, that is much."""


def find_imbalance(study: Study) -> list[Finding]:
    """The rarest class, by its share of all voxels and beside the largest."""
    counts = np.array([case.voxels for case in study.cases]).reshape(-1, len(study.dataset.labels))
    total = counts.sum(axis=0)
    present = np.flatnonzero(total[1:]) + 1
    if len(present) == 0:
        return []
    rarest = int(present[total[present].argmin()])
    share = float(total[rarest] / total.sum())
    ratio = float(total[present].max() / total[rarest])
    held = counts[:, rarest]
    usual = float(np.median(held[held > 0]))
    if share >= RARE and ratio < UNEVEN:
        return []
    certainty: Certainty = "medium" if share < VERY_RARE or ratio >= UNEVEN else "low"
    if share < EXTREME or usual < FEW_VOXELS:
        certainty = "high"
    name = list(study.dataset.labels.values())[rarest]
    loss = "tversky" if certainty == "high" else "dice_cross_entropy"
    return [
        Finding(
            fault="class-imbalance",
            where=f"class {name}",
            evidence=f"{name} has {share:.2g} of all voxels, {usual:.0f} voxels in a case (median)"
            f", 1 to {ratio:.3g} of the largest class beside the background. From about {RARE:g} "
            "up a loss over voxels sees a class without help.",
            cause="A small object in a large scan.",
            change="Use a loss that weighs overlap: "
            f"{train_command(study.dataset, f'--loss {loss}')}; or crop the scans to what matters.",
            certainty=certainty,
        )
    ]
