"""Classes that are exchanged in some label maps.

Each class of a label is compared with each class that the other cases see in the image, by place
and intensity (`atlas`); where the best assignment is another than the label's own, and by far,
classes are swapped. The majority counts as right: swapped alike in all cases, nothing tells.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np

from volunet.diagnosing.answers import Answers, LeftOut, leave_out
from volunet.diagnosing.cases.atlas import best_order
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import name_cases
from volunet.diagnosing.finding import Certainty, Finding

GAIN: Final = 0.25
"""Dice that the exchanged classes must gain by the other order, in shares of their usual Dice."""

CLEAR_GAIN: Final = 0.5

LEAST_GAIN: Final = 0.1
"""The same in Dice: half of what a class must have to be judged at all, see `KNOWN_DICE`."""

KNOWN_DICE: Final = 0.2
"""Usual Dice of a class below which the other cases do not know where it belongs: lesions, and
classes that few cases have, fit any order as well, and a share of next to nothing is large."""


def find_swapped(study: Study) -> Answers:
    """Cases whose classes fit the other cases far better in another order."""
    if study.atlas_distrust:
        return [LeftOut(study.atlas_distrust)]
    usual_dice = study.class_dice
    known = usual_dice >= KNOWN_DICE
    if known.sum() < 2:
        told = ", ".join(f"{dice:.2f}" for dice in usual_dice)
        return [
            LeftOut(
                f"the classes have a Dice of {told} with what the other cases say; 2 classes with "
                f"{KNOWN_DICE:g} are needed"
            )
        ]
    own = np.arange(len(usual_dice))
    found: dict[tuple[tuple[int, ...], Certainty], list[int]] = defaultdict(list)
    for index, fit in enumerate(study.atlas):
        order = best_order(fit.overlaps, known)
        moved = np.flatnonzero(order - 1 != own)
        if len(moved) == 0:
            continue
        gained = fit.overlaps[moved, order[moved] - 1] - fit.overlaps[moved, moved]
        share = float(gained.sum() / usual_dice[moved].sum())
        if share >= GAIN and gained.mean() >= LEAST_GAIN:
            certainty: Certainty = "high" if share >= CLEAR_GAIN else "medium"
            found[tuple(order.tolist()), certainty].append(index)
    names = list(study.labels.values())[1:]
    reasons = {
        name: ""
        if is_known
        else f"it has a Dice of {dice:.2f} with what the other cases say, {KNOWN_DICE:g} is needed"
        for name, dice, is_known in zip(names, usual_dice, known, strict=True)
    }
    findings = [
        _finding(study, order, certainty, chosen) for (order, certainty), chosen in found.items()
    ]
    return [*findings, *leave_out(reasons)]


def _finding(
    study: Study, order: tuple[int, ...], certainty: Certainty, chosen: list[int]
) -> Finding:
    names = tuple(study.cases[index].name for index in chosen)
    classes = list(study.labels.values())
    moved = [
        f"{classes[own]} → {classes[other]}"
        for own, other in enumerate(order, start=1)
        if own != other
    ]
    fits = study.atlas
    others = [fit.dice for index, fit in enumerate(fits) if index not in chosen]
    return Finding(
        fault="classes-swapped",
        where=name_cases(names, len(study.cases)),
        evidence="Dice with what the other cases say of these images, by place and intensity: "
        f"{np.median([fits[index].dice for index in chosen]):.2f} as they are, "
        f"{np.median([fits[index].dice_in(np.array(order)) for index in chosen]):.2f} with "
        f"{', '.join(moved)}; the other cases have {np.median(others):.2f} (medians).",
        cause="Label values that were exchanged when these label maps were written.",
        change=f"Write these label maps anew with {', '.join(moved)}, or remove the cases: "
        f"{', '.join(names)}.",
        certainty=certainty,
        cases=names,
    )
