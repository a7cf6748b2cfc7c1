"""One scan through a model: onto its grid, through the engine, back onto the scan's own grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.errors import VolumeError
from volunet.inference.model import Model
from volunet.plan import Plan
from volunet.tasks.answer import Answer, answer_of
from volunet.volumes import Volume, check_finite, conform, plan_conform
from volunet.volumes.normalise import normalise


def predict_volume(
    model: Model,
    scan: Volume,
    *,
    probabilities: bool = False,
    run: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None,
) -> Any:
    """Predict a scan with one whole-volume pass.

    Args:
        model: The model.
        scan: The scan, (C, D, H, W), on any grid.
        probabilities: Answer a probability for each class instead of labels.
        run: Runs the network in another way than in one pass of the engine, as in windows.

    Returns:
        The task's result. Of a segmentation, on the scan's own grid: labels (1, D, H, W) with the
        plan's label values, or probabilities (K, D, H, W), float32.

    Raises:
        VolumeError: The scan does not have the model's channels, or has NaN or infinite voxels, or
            the model answers labels and probabilities are asked for.
        EngineError: The engine refuses the scan's size.
    """
    plan = model.plan
    answer = answer_of(plan, probabilities=probabilities)
    check_scan(scan, plan)
    answer.check(str(scan.source or "volume"))
    on_grid = conform(scan, plan.orientation, plan.spacing_mm)
    x = on_grid.array if model.normalises else normalise(on_grid.array, plan.normalisation)
    output = (run or model.engine.run)(np.ascontiguousarray(x, dtype=np.float32)[np.newaxis])[0]
    scores = answer.scores(output)
    sides = margins(scores.shape[1:], on_grid.shape, plan)
    return answer.onto(on_grid.with_array(surrounded(scores, sides, answer)), scan.grid)


def check_scan(scan: Volume, plan: Plan) -> None:
    """Check that a scan is what a plan expects.

    Raises:
        VolumeError: It has other channels, or NaN or infinite voxels.
    """
    check_channels(scan.num_channels, plan, str(scan.source or "volume"))
    check_finite(scan)


def check_channels(num_channels: int, plan: Plan, where: str) -> None:
    """Check that a scan has a plan's channels.

    Raises:
        VolumeError: It has more or fewer.
    """
    if num_channels != len(plan.channels):
        raise VolumeError(
            where,
            f"{num_channels} channels",
            f"The model takes {len(plan.channels)}: {', '.join(plan.channels)}.",
            "Give the scan with these channels, in this order.",
        )


def model_grid_shape(scan: Volume, plan: Plan) -> tuple[int, int, int]:
    """Size of a scan on the model's grid, before anything is computed."""
    return plan_conform(scan.grid, plan.orientation, plan.spacing_mm).shape


def margins(have: Sequence[int], want: Sequence[int], plan: Plan) -> tuple[tuple[int, int], ...]:
    """Voxels around a smaller answer (skip alignment ``crop``), which is in the middle.

    Args:
        have: Size of the answer, (D, H, W).
        want: Size of the scan on the model's grid.
        plan: The plan, for the message.

    Raises:
        VolumeError: The answer is larger than the scan.
    """
    if any(small > large for small, large in zip(have, want, strict=True)):
        raise VolumeError(
            plan.dataset,
            f"the model answers {tuple(have)} voxels for {tuple(want)}",
            "An answer is as large as its input, or smaller (skip alignment crop).",
            "Export the network so that its output has its input's size.",
        )
    gaps = [large - small for small, large in zip(have, want, strict=True)]
    return tuple((gap // 2, gap - gap // 2) for gap in gaps)


def surrounded(
    scores: NDArray[np.float32], sides: Sequence[tuple[int, int]], answer: Answer
) -> NDArray[np.float32]:
    """Put the scores of a smaller answer in the middle, with nothing around it."""
    if not any(before or after for before, after in sides):
        return scores
    depth, height, width = (
        before + have + after for (before, after), have in zip(sides, scores.shape[1:], strict=True)
    )
    out = answer.outside((depth, height, width))
    inner = tuple(
        slice(before, before + have)
        for (before, _), have in zip(sides, scores.shape[1:], strict=True)
    )
    out[(slice(None), *inner)] = scores
    return out
