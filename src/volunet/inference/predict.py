"""One scan through a model: onto its grid, through the engine, back onto the scan's own grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from volunet.errors import VolumeError
from volunet.inference.model import Model
from volunet.plan import Plan
from volunet.volumes import Volume, check_finite, conform, labels_onto, plan_conform, scores_onto
from volunet.volumes.normalise import normalise


def predict_volume(
    model: Model,
    scan: Volume,
    *,
    probabilities: bool = False,
    run: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None,
) -> Volume:
    """Segment a scan with one whole-volume pass.

    Args:
        model: The model.
        scan: The scan, (C, D, H, W), on any grid.
        probabilities: Answer a probability for each class instead of labels.
        run: Runs the network in another way than in one pass of the engine, as in windows.

    Returns:
        On the scan's own grid: labels (1, D, H, W) with the plan's label values, or probabilities
        (K, D, H, W), float32.

    Raises:
        VolumeError: The scan does not have the model's channels, or has NaN or infinite voxels, or
            the model answers labels and probabilities are asked for.
        EngineError: The engine refuses the scan's size.
    """
    plan = model.plan
    check_scan(scan, plan)
    check_answer(plan, str(scan.source or "volume"), probabilities=probabilities)
    on_grid = conform(scan, plan.orientation, plan.spacing_mm)
    x = on_grid.array if model.normalises else normalise(on_grid.array, plan.normalisation)
    answer = (run or model.engine.run)(np.ascontiguousarray(x, dtype=np.float32)[np.newaxis])[0]
    scores = class_scores(answer, plan, probabilities=probabilities)
    whole = on_grid.with_array(_around(scores, on_grid.shape, plan, probabilities=probabilities))
    if probabilities:
        return scores_onto(whole, scan.grid)
    return labels_onto(whole, scan.grid, plan.label_values)


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


def check_answer(plan: Plan, where: str, *, probabilities: bool) -> None:
    """Check that a model gives what is asked of it.

    Raises:
        VolumeError: It answers labels, and probabilities are asked for.
    """
    if probabilities and plan.answer == "labels":
        raise VolumeError(
            where,
            "probabilities asked of a model that answers labels",
            "A model exported with --answer logits or probabilities has them.",
            "Export the run again, or leave out --probabilities.",
        )


def model_grid_shape(scan: Volume, plan: Plan) -> tuple[int, int, int]:
    """Size of a scan on the model's grid, before anything is computed."""
    return plan_conform(scan.grid, plan.orientation, plan.spacing_mm).shape


def _gives_probabilities(answer: NDArray[Any], plan: Plan) -> bool:
    if plan.answer == "probabilities" or _is_second_class_only(answer, plan):
        return True
    return plan.network is not None and plan.network.gives_probabilities


def _is_second_class_only(answer: NDArray[Any], plan: Plan) -> bool:
    """One channel for two classes: the probability of the second one."""
    return plan.answer != "labels" and answer.shape[0] == 1 and len(plan.classes) == 2


def class_scores(
    answer: NDArray[Any], plan: Plan, *, probabilities: bool = False
) -> NDArray[np.float32]:
    """One score a class of what a model answers, of a whole volume or of some of its slices.

    Args:
        answer: What the model answers, (K, D, H, W).
        plan: What that means.
        probabilities: Make them probabilities, if they are not.

    Returns:
        (classes, D, H, W).

    Raises:
        VolumeError: The model answers another number of channels than the plan has classes.
    """
    classes = len(plan.classes)
    is_done = _gives_probabilities(answer, plan)
    if plan.answer == "labels":
        # Equal scores but for the class itself: resampling then votes, as it does for a label map.
        answer = (answer == np.arange(classes)[:, None, None, None]).astype(np.float32)
    elif _is_second_class_only(answer, plan):
        answer = np.concatenate([1 - answer, answer])
    if answer.shape[0] != classes:
        raise VolumeError(
            plan.dataset,
            f"the model answers {answer.shape[0]} channels",
            f"One channel a class: {', '.join(plan.classes)}.",
            "Name as many classes as the model has output channels (--classes).",
        )
    scores = answer.astype(np.float32, copy=False)
    if probabilities and not is_done:
        return softmax(scores, axis=0).astype(np.float32)
    return scores


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


def background(
    shape: tuple[int, ...], plan: Plan, *, probabilities: bool = False
) -> NDArray[np.float32]:
    """Scores of nothing but background, (classes, D, H, W)."""
    certain = probabilities or plan.answer != "logits"
    scores = np.full(shape, 0.0 if certain else -_CERTAIN_LOGIT, np.float32)
    scores[0] = 1.0 if certain else _CERTAIN_LOGIT
    return scores


_CERTAIN_LOGIT: Final = 30.0
"""Logit of the background where the network has no answer; e^−60 is nothing in float32."""


def _around(
    answer: NDArray[np.float32], size: tuple[int, int, int], plan: Plan, *, probabilities: bool
) -> NDArray[np.float32]:
    """Put a smaller answer in the middle, with background around it."""
    sides = margins(answer.shape[1:], size, plan)
    if not any(before or after for before, after in sides):
        return answer
    out = background((answer.shape[0], *size), plan, probabilities=probabilities)
    inner = tuple(
        slice(before, before + have)
        for (before, _), have in zip(sides, answer.shape[1:], strict=True)
    )
    out[(slice(None), *inner)] = answer
    return out
