"""Sliding windows with Gaussian blending: how nnU-Net and MONAI predict, beside the exact pass.

A network that was trained on patches and is meant to be run on patches answers here as it does
there, on any engine and without PyTorch. Every window's answer is weighted by a Gaussian about the
window's middle, and the weighted answers are summed and divided by the summed weights: an average,
which the whole-volume pass is not. `agreement` says how much the two differ.

Two things that whole-volume passes do not care about, windows do: see `check_windows` and
`pad_values_of`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ConfigError, ShapeError, VolumeError
from volunet.inference.model import Model
from volunet.volumes.axes import Shape3

SIGMA_OF_WINDOW: Final = 1 / 8
"""Standard deviation of the Gaussian, as a part of the window's size on each axis."""

SMALLEST_WEIGHT: Final = 1e-3
"""Least weight of a voxel, 1 being the most: corners count a little, and no sum of weights is 0."""

_ALL: Final = (slice(None), slice(None))
"""Every scan of the batch, every channel."""


def predict_windows(
    run: Callable[[NDArray[np.float32]], NDArray[Any]],
    x: NDArray[np.float32],
    window: Shape3,
    overlap: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
    pad_values: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Run a model window by window and blend the answers.

    A scan smaller than the window is padded on both sides, the odd voxel behind, and the answer is
    cropped back. Beside `x` it takes memory for the scores and one float32 a voxel for the weights.

    Args:
        run: Runs the model on one window, (1, C, *window) → (1, K, *window), such as `Engine.run`.
        x: The scan on the model's grid, (1, C, D, H, W), any D, H, W.
        window: Size that the model sees, in voxels, (D, H, W).
        overlap: Part of a window that its neighbour covers too, from 0 to below 1.
        progress: Called with the number of windows done and the number of all.
        pad_values: What a small scan is padded with, a value a channel (`pad_values_of`); None for
            0, which is right for a scan that is normalised already.

    Returns:
        Blended scores, (1, K, D, H, W): logits or probabilities, as the model answers them.

    Raises:
        ShapeError: `x` is not (1, C, D, H, W) with a voxel in it.
        ConfigError: The window or the overlap cannot be used, there is not one pad value a channel,
            or the model answers labels.
        VolumeError: An answer is not as large as its window.

    Source:
        MONAI 1.6.1, `sliding_window_inference` with ``mode="gaussian"``, ``sigma_scale=0.125``
        (monai/inferers/utils.py) and `compute_importance_map` (monai/data/utils.py): the same
        numbers but for rounding, see the tests. nnU-Net at commit 09eef559, `compute_gaussian` and
        `compute_steps_for_sliding_window` (nnunetv2/inference/sliding_window_prediction.py): the
        same method with other details. Its windows are evenly spaced, its Gaussian peaks at voxel
        ``window // 2`` and ends at 4 sigma; its predictor sums in float16 and averages mirrored
        passes.

    Example:
        >>> x = np.arange(60, dtype=np.float32).reshape(1, 1, 3, 4, 5)
        >>> doubled = predict_windows(lambda part: 2 * part, x, (2, 2, 2))
        >>> bool(np.allclose(doubled, 2 * x))
        True
    """
    _check_input(x, window, pad_values)
    starts = [window_starts(*axis, overlap) for axis in zip(x.shape[2:], window, strict=True)]
    padded, inner = _padded(x, window, pad_values)
    weight = gaussian_weights(window)
    weights = np.zeros(padded.shape[2:], np.float32)
    scores = np.zeros(0, np.float32)
    total = math.prod(len(axis) for axis in starts)
    for done, corner in enumerate(itertools.product(*starts)):
        place = tuple(slice(at, at + width) for at, width in zip(corner, window, strict=True))
        answer = run(np.ascontiguousarray(padded[(*_ALL, *place)]))
        _check_answer(answer, window)
        if not done:
            scores = np.zeros((1, answer.shape[1], *padded.shape[2:]), np.float32)
        scores[(*_ALL, *place)] += answer.astype(np.float32, copy=False) * weight
        weights[place] += weight
        if progress is not None:
            progress(done + 1, total)
    scores /= weights
    return scores[(*_ALL, *inner)]


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """Where windows start along one axis.

    The last one is shifted back to end where the scan ends.

    Args:
        size: Voxels of the scan.
        window: Voxels of the window; at least those of the scan give one window.
        overlap: Part of a window that its neighbour covers too, from 0 to below 1.

    Returns:
        Starts from 0 on, each greater than the one before; together the windows cover every voxel.

    Raises:
        ConfigError: The window has no voxel, or the overlap is out of range.

    Source:
        `_get_scan_interval` and `dense_patch_slices` of MONAI 1.6.1 (see `predict_windows`).

    Example:
        >>> window_starts(110, 64, 0.5)
        [0, 32, 46]
    """
    if window < 1:
        raise ConfigError(
            "window",
            f"{window} voxels along an axis",
            "A window has 1 voxel or more along D, H and W.",
            "Give the patch size that the network was trained on.",
        )
    if not 0 <= overlap < 1:
        raise ConfigError(
            "overlap",
            f"{overlap}",
            "It is the part of a window that its neighbour covers too: from 0 to below 1.",
            "Give 0.5, as nnU-Net does.",
        )
    last = max(size - window, 0)
    step = max(int(window * (1 - overlap)), 1)
    return [*range(0, last, step), last]


def gaussian_weights(window: Shape3) -> NDArray[np.float32]:
    """Weight of each voxel of a window: a Gaussian about its middle, 1 or almost 1 there.

    Args:
        window: Size in voxels, (D, H, W).

    Returns:
        (D, H, W), from `SMALLEST_WEIGHT` to 1, the same from either end.

    Source:
        `compute_importance_map` of MONAI 1.6.1 (see `predict_windows`).
    """
    weight = np.ones(())
    for width in window:
        distance = np.arange(width) - (width - 1) / 2
        weight = weight[..., None] * np.exp(-0.5 * (distance / (SIGMA_OF_WINDOW * width)) ** 2)
    return np.maximum(weight, SMALLEST_WEIGHT).astype(np.float32)


def check_windows(model: Model) -> None:
    """Check that a model can be run in windows, before anything is run.

    Raises:
        ConfigError: It answers labels, which have no average, or it normalises by the mean and
            standard deviation of what it is given: of each window, not of the scan.
    """
    if model.plan.task.head == "argmax":
        raise _labels_error(f"{model.plan.dataset}: --answer labels")
    if model.normalises and any(rule.kind == "zscore" for rule in model.plan.normalisation):
        raise ConfigError(
            model.plan.dataset,
            "normalisation zscore inside the model",
            "It takes the mean and standard deviation of what it is given; in windows those would "
            "be each window's own, and not the scan's.",
            "Predict it in one pass, or give a model that does not normalise by itself.",
        )


def pad_values_of(model: Model) -> list[float]:
    """What a small scan is padded with, a value a channel: what is 0 once it is normalised.

    MONAI and nnU-Net pad the normalised scan with 0. A model that normalises by itself gets raw
    intensities, where that is the rule's mean.

    Args:
        model: A model that `check_windows` takes.
    """
    return [
        rule.mean if model.normalises and rule.kind == "clip_zscore" else 0.0
        for rule in model.plan.normalisation
    ]


def _padded(
    x: NDArray[np.float32], window: Shape3, pad_values: Sequence[float] | None
) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """A scan at least as large as the window, and where in it the scan is."""
    size = x.shape[2:]
    missing = [max(width - have, 0) for have, width in zip(size, window, strict=True)]
    inner = tuple(slice(gap // 2, gap // 2 + have) for have, gap in zip(size, missing, strict=True))
    if not any(missing):
        return x, inner
    whole = [have + gap for have, gap in zip(size, missing, strict=True)]
    out = np.zeros((*x.shape[:2], *whole), np.float32)
    if pad_values is not None:
        out += np.asarray(pad_values, np.float32)[:, None, None, None]
    out[(*_ALL, *inner)] = x
    return out, inner


def _check_input(
    x: NDArray[np.float32], window: Shape3, pad_values: Sequence[float] | None
) -> None:
    if x.ndim != 5 or x.shape[0] != 1 or not x.size:
        raise ShapeError(
            "x",
            f"shape {x.shape}",
            "One scan is (1, C, D, H, W), with a voxel or more along each axis.",
            "Add the axes that are missing, and give scans one by one.",
        )
    if len(window) != 3:
        raise ConfigError(
            "window",
            f"{len(window)} numbers",
            "A window is three numbers of voxels: D, H, W.",
            "Give the patch size that the network was trained on.",
        )
    if pad_values is not None and len(pad_values) != x.shape[1]:
        raise ConfigError(
            "pad_values",
            f"{len(pad_values)} values for {x.shape[1]} channels",
            "A small scan is padded with one value a channel.",
            "Give one value a channel, or None for 0.",
        )


def _check_answer(answer: NDArray[Any], window: Shape3) -> None:
    if answer.dtype.kind != "f":
        raise _labels_error(f"the model: an answer of type {answer.dtype}")
    if answer.ndim != 5 or answer.shape[2:] != tuple(window):
        raise VolumeError(
            "the model",
            f"it answers shape {answer.shape} for a window of {tuple(window)} voxels",
            "Windows are blended where the answer, (1, K, D, H, W), is as large as its window; "
            "with skip alignment crop it is smaller.",
            "Predict the scan in one pass, or export a network with skip alignment pad_input.",
        )


def _labels_error(where: str) -> ConfigError:
    return ConfigError(
        where,
        "labels cannot be blended",
        "Overlapping windows are averaged, which takes logits or probabilities.",
        "Export the run again with --answer logits, or predict it in one pass.",
    )
