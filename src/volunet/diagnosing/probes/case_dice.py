"""Dice of the trained network case by case: how much chance there is in a mean of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from monai.metrics import compute_dice
from torch import nn
from torch.nn.functional import one_hot

from volunet.datasets.cache import PreparedCase
from volunet.datasets.patches import ValidationPatches
from volunet.diagnosing.probes.material import Clock
from volunet.training.record.run_folder import Run

FEWEST_CASES: Final = 4
"""Cases of each kind that a deviation takes."""

MOST_CASES: Final = 24


@dataclass(frozen=True)
class CaseDice:
    """Mean Dice over the classes of each case that was looked at, NaN left out.

    Attributes:
        training: Of training cases.
        validation: Of validation cases.
    """

    training: Sequence[float]
    validation: Sequence[float]

    def deviation(self) -> float | None:
        """Standard deviation from case to case, the larger of both kinds; None of too few cases."""
        if min(len(self.training), len(self.validation)) < FEWEST_CASES:
            return None
        return max(statistics.stdev(self.training), statistics.stdev(self.validation))


def measure_case_dice(
    run: Run,
    network: nn.Module,
    training: Sequence[PreparedCase],
    validation: Sequence[PreparedCase],
    seconds: float = math.inf,
    clock: Clock = time.monotonic,
) -> CaseDice:
    """Predict one patch of each case, as a validation does, of both kinds by turns.

    Args:
        run: The run.
        network: Its trained network, in eval mode.
        training: Prepared training cases.
        validation: Prepared validation cases.
        seconds: The last case begins within them.
        clock: Seconds that only grow.

    Raises:
        DatasetError: A prepared case cannot be read.
    """
    end = clock() + seconds
    found: tuple[list[float], list[float]] = ([], [])
    patches = [ValidationPatches(_evenly(cases), run.plan) for cases in (training, validation)]
    for index in range(max(len(kind) for kind in patches)):
        for kind, scores in zip(patches, found, strict=True):
            if index < len(kind) and clock() < end:
                patch = kind[index]
                score = _dice(run, network, patch["image"], patch["target"])
                if not math.isnan(score):
                    scores.append(score)
    return CaseDice(*found)


def _dice(run: Run, network: nn.Module, image: torch.Tensor, label: torch.Tensor) -> float:
    classes = run.plan.task.out_channels
    with torch.inference_mode():
        predicted = network(image[None]).argmax(dim=1)
    masks = [one_hot(each, classes).movedim(-1, 1) for each in (predicted, label)]
    scores = compute_dice(masks[0], masks[1], include_background=False, ignore_empty=True)
    return float(torch.nanmean(scores))


def _evenly(cases: Sequence[PreparedCase]) -> list[PreparedCase]:
    count = min(MOST_CASES, len(cases))
    return [cases[index * len(cases) // count] for index in range(count)]
