"""One scan through a model: onto its grid, through the engine, back onto the scan's own grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from volunet.errors import VolumeError
from volunet.inference.model import Model
from volunet.plan import Plan
from volunet.volumes import Volume, check_finite, conform, labels_onto, plan_conform, scores_onto
from volunet.volumes.normalise import normalise


def predict_volume(model: Model, scan: Volume, *, probabilities: bool = False) -> Volume:
    """Segment a scan with one whole-volume pass.

    Args:
        model: The model.
        scan: The scan, (C, D, H, W), on any grid.
        probabilities: Answer a probability for each class instead of labels.

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
    if probabilities and plan.answer == "labels":
        raise VolumeError(
            str(scan.source or "volume"),
            "probabilities asked of a model that answers labels",
            "A model exported with --answer logits or probabilities has them.",
            "Export the run again, or leave out --probabilities.",
        )
    on_grid = conform(scan, plan.orientation, plan.spacing_mm)
    x = on_grid.array if model.normalises else normalise(on_grid.array, plan.normalisation)
    answer = model.engine.run(np.ascontiguousarray(x, dtype=np.float32)[np.newaxis])[0]
    scores = on_grid.with_array(_as_scores(answer, on_grid.shape, plan))
    if probabilities:
        if not _gives_probabilities(answer, plan):
            scores = scores.with_array(softmax(scores.array, axis=0).astype(np.float32))
        return scores_onto(scores, scan.grid)
    return labels_onto(scores, scan.grid, plan.label_values)


def check_scan(scan: Volume, plan: Plan) -> None:
    """Check that a scan is what a plan expects.

    Raises:
        VolumeError: It has other channels, or NaN or infinite voxels.
    """
    if scan.num_channels != len(plan.channels):
        raise VolumeError(
            str(scan.source or "volume"),
            f"{scan.num_channels} channels",
            f"The model takes {len(plan.channels)}: {', '.join(plan.channels)}.",
            "Give the scan with these channels, in this order.",
        )
    check_finite(scan)


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


def _as_scores(answer: NDArray[Any], size: tuple[int, int, int], plan: Plan) -> NDArray[np.float32]:
    """One score a class, (K, D, H, W), at every voxel of the scan on the model's grid."""
    classes = len(plan.classes)
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
    answer = answer.astype(np.float32, copy=False)
    if answer.shape[1:] == size:
        return answer
    return _around(answer, size, plan)


def _around(
    answer: NDArray[np.float32], size: tuple[int, int, int], plan: Plan
) -> NDArray[np.float32]:
    """Put a smaller answer (skip alignment ``crop``) in the middle, with background around it."""
    if any(have > want for have, want in zip(answer.shape[1:], size, strict=True)):
        raise VolumeError(
            plan.dataset,
            f"the model answers {answer.shape[1:]} voxels for {size}",
            "An answer is as large as its input, or smaller (skip alignment crop).",
            "Export the network so that its output has its input's size.",
        )
    out = np.full((answer.shape[0], *size), answer.min(), np.float32)
    out[0] = answer.max()
    inner = tuple(
        slice((want - have) // 2, (want - have) // 2 + have)
        for have, want in zip(answer.shape[1:], size, strict=True)
    )
    out[(slice(None), *inner)] = answer
    return out
