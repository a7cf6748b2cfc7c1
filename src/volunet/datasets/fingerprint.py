"""Take a data set's fingerprint: the numbers that the plan's rules start from."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from volunet.datasets.cases import DataSet
from volunet.datasets.check import Progress
from volunet.datasets.load import read_case
from volunet.errors import DatasetError
from volunet.plan import Fingerprint, Size3, Triple
from volunet.volumes import reorient

SAMPLES_PER_CASE: Final = 10_000
"""Foreground voxels a case: each case weighs about the same, and 1,000 cases fit in memory."""

PERCENTILES: Final = (0.5, 50.0, 99.5)

_SEED: Final = 20_240_501


def take_fingerprint(
    dataset: DataSet, orientation: str = "RAS", progress: Progress | None = None
) -> Fingerprint:
    """Read every case once and sum it up.

    Args:
        dataset: The data set, checked.
        orientation: Turn scans to it before sizes and spacings are taken; ``"any"``: leave them.
        progress: Told the cases done and the cases in all, after each.

    Returns:
        The same fingerprint for the same files, as the sample of voxels is seeded.

    Raises:
        DatasetError: There is no case, a case has no label map, or there is no foreground.
        VolumeError: A file cannot be read.
    """
    spacings, sizes, samples, counts = [], [], [], []
    for number, case in enumerate(dataset.cases):
        image, label = read_case(case, dataset)
        if label is None:
            raise DatasetError(
                dataset.root,
                f"case {case.name} has no label",
                "Training learns from labelled cases.",
                "Add the label, or leave the case out.",
            )
        turned = image if orientation == "any" else reorient(image, orientation)
        spacings.append(turned.spacing_mm)
        sizes.append(turned.shape)
        shown = dataset.annotations.shown(label, image, case.label or case.name)
        counts.append(shown.counts)
        samples.append(_sample(image.array, shown.voxels, number))
        if progress is not None:
            progress(number + 1, len(dataset.cases))
    if not counts:
        raise DatasetError(
            dataset.root, "no case", "Training learns from labelled cases.", "Check the data set."
        )
    total = np.sum(counts, axis=0)
    dataset.annotations.check_shown(total, dataset.root)
    percentiles, means, stds = _describe(np.concatenate(samples, axis=1, dtype=np.float64))
    return Fingerprint(
        num_cases=len(dataset.cases),
        median_spacing_mm=_triple(np.median(spacings, axis=0)),
        median_size=_size3(np.rint(np.median(sizes, axis=0))),
        largest_size=_size3(np.max(sizes, axis=0)),
        intensity_percentiles=percentiles,
        intensity_mean=means,
        intensity_std=stds,
        class_fractions=tuple(float(share) for share in total / max(total.sum(), 1)),
    )


def _sample(
    array: NDArray[np.float32], voxels: NDArray[np.intp], number: int
) -> NDArray[np.float32]:
    """Intensities (C, n) of at most `SAMPLES_PER_CASE` of some voxels."""
    if len(voxels) > SAMPLES_PER_CASE:
        # Seeded by case, so that adding a case leaves the samples of those before it alone.
        generator = np.random.default_rng((_SEED, number))
        voxels = generator.choice(voxels, SAMPLES_PER_CASE, replace=False, shuffle=False)
    return array.reshape(len(array), -1)[:, voxels]


def _describe(
    samples: NDArray[np.float64],
) -> tuple[tuple[Triple, ...], tuple[float, ...], tuple[float, ...]]:
    """Percentiles of each channel, and mean and deviation of what is clipped to the outer two."""
    percentiles = np.percentile(samples, PERCENTILES, axis=1)
    clipped = np.clip(samples, percentiles[0][:, None], percentiles[2][:, None])
    return (
        tuple(_triple(channel) for channel in percentiles.T),
        tuple(float(mean) for mean in clipped.mean(axis=1)),
        tuple(float(std) for std in clipped.std(axis=1)),
    )


def _triple(values: NDArray[np.float64]) -> Triple:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _size3(values: NDArray[np.float64]) -> Size3:
    depth, height, width = (int(value) for value in values)
    return depth, height, width
