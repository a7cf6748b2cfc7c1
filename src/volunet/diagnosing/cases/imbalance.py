"""Classes that are so rare that a loss over voxels hardly sees them."""

from __future__ import annotations

from typing import Final

import numpy as np

from volunet.diagnosing.answers import Answers, LeftOut
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import NO_CLASS, train_command
from volunet.diagnosing.finding import Certainty, Finding

RARE: Final = 0.005
"""Share of all voxels below which the rarest class is worth a hint."""

EXTREME: Final = 1e-5
"""Share below which it is more than that. An adrenal gland, the smallest organ that is commonly
labelled, has about 5e-5 of a CT of the trunk, and is learnt."""

FEW_VOXELS: Final = 27
"""A class of fewer voxels a case is smaller than one kernel of 3×3×3."""

UNEVEN: Final = 100.0
"""Ratio of the largest class to the rarest, the background left out, that is much."""


def find_imbalance(study: Study) -> Answers:
    """The rarest class, by its share of all voxels and beside the largest.

    Half of all patches are centred on an object, and the default loss weighs overlap, and rare
    voxels more: most rare classes are learnt so. A finding of more than low certainty is for those
    that are hardly there.
    """
    counts = np.array([case.voxels for case in study.cases]).reshape(-1, len(study.labels))
    total = counts.sum(axis=0)
    present = np.flatnonzero(total[1:]) + 1
    if len(present) == 0:
        return [LeftOut(NO_CLASS)]
    rarest = int(present[total[present].argmin()])
    share = float(total[rarest] / total.sum())
    ratio = float(total[present].max() / total[rarest])
    held = counts[:, rarest]
    usual = float(np.median(held[held > 0]))
    if share >= RARE and ratio < UNEVEN:
        return []
    hardly_there = share < EXTREME or usual < FEW_VOXELS
    certainty: Certainty = "medium" if hardly_there else "low"
    name = list(study.labels.values())[rarest]
    command = train_command(study.dataset, "--loss tversky")
    return [
        Finding(
            fault="class-imbalance",
            where=f"class {name}",
            evidence=f"{name} has {share:.2g} of all voxels, {usual:.0f} voxels in a case (median)"
            f", 1 to {ratio:.3g} of the largest class beside the background. From about {RARE:g} "
            "up a loss over voxels sees a class without help.",
            cause="A small object in a large scan.",
            change="Use a loss that counts a voxel too few more than one too many: "
            f"{command}; or crop the scans to what matters."
            if hardly_there
            else f"None beforehand: the default loss weighs overlap. If {name} stays behind: "
            f"{command}",
            certainty=certainty,
        )
    ]
