"""Classes that are exchanged in some label maps.

Each class of a label is compared with each class that the other cases see in the image, by place
and intensity (`atlas`); where the best assignment is another than the label's own, and by far,
classes are swapped. The majority counts as right: swapped alike in all cases, nothing tells.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np

from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import name_cases
from volunet.diagnosing.finding import Certainty, Finding

GAIN: Final = 0.25
"""Dice that the exchanged classes must gain by the other order, in shares of their usual Dice."""

CLEAR_GAIN: Final = 0.5

_LEAST: Final = 1e-3


def find_swapped(study: Study) -> list[Finding]:
    """Cases whose classes fit the other cases far better in another order."""
    fits = study.atlas
    if not study.usual_dice:
        return []
    own = np.arange(len(fits[0].order))
    usual_dice = np.median([fit.overlaps.diagonal() for fit in fits], axis=0)
    found: dict[tuple[tuple[int, ...], Certainty], list[int]] = defaultdict(list)
    for index, fit in enumerate(fits):
        moved = np.flatnonzero(fit.order - 1 != own)
        if len(moved) == 0:
            continue
        gained = fit.overlaps[moved, fit.order[moved] - 1] - fit.overlaps[moved, moved]
        gain = float(gained.sum() / max(usual_dice[moved].sum(), _LEAST))
        if gain >= GAIN:
            order = tuple(fit.order.tolist())
            found[order, "high" if gain >= CLEAR_GAIN else "medium"].append(index)
    return [
        _finding(study, order, certainty, chosen) for (order, certainty), chosen in found.items()
    ]


def _finding(
    study: Study, order: tuple[int, ...], certainty: Certainty, chosen: list[int]
) -> Finding:
    names = tuple(study.cases[index].name for index in chosen)
    classes = list(study.dataset.labels.values())
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
        f"{np.median([fits[index].dice_reordered for index in chosen]):.2f} with "
        f"{', '.join(moved)}; the other cases have {np.median(others):.2f} (medians).",
        cause="Label values that were exchanged when these label maps were written.",
        change=f"Write these label maps anew with {', '.join(moved)}, or remove the cases: "
        f"{', '.join(names)}.",
        certainty=certainty,
        cases=names,
    )
