"""Does the border of a label lie where the image changes, or would it elsewhere?

The measure is the Jensen–Shannon divergence between the intensities of two rims, the outermost
voxels of the label and the voxels around them: 0 bit where both look the same, 1 bit where no
intensity occurs in both. It asks for no sign and no sharp edge, and knows nothing of other cases.
Moved away from its object, a label loses it within a few voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from volunet.volumes.axes import Shape3

REACH_VOXELS: Final = 8
"""Labels are moved this far along each axis, forth and back."""

RIM_VOXELS: Final = 3
"""Thickness of each rim: enough voxels to count, and still near the border."""

PEAK_VOXELS: Final = 2
"""A place is a peak where moving the label this far, along any axis, lowers the contrast."""

BINS: Final = 16
"""Bins of the intensities, each as full as the others around the label."""

_LEAST_VOXELS: Final = 150
"""Of a rim: the divergence of smaller samples is large by chance."""

_SAMPLES: Final = 1500
"""Voxels of a rim; the divergence of two like samples of this size is below 0.01 bit."""

_COARSE_SAMPLES: Final = 250
"""The same for the first, coarse search, whose best place is looked at again with all."""

_SLAB_VOXELS: Final = 1 << 23
"""Of a larger label the planes about its fullest one are looked at; the rest would say the same."""

_BEYOND: Final = BINS
"""Bin of what lies outside the scan; it is not counted."""


@dataclass(frozen=True, eq=False)
class BoundaryFit:
    """How well a label's border lies on the image.

    Attributes:
        contrast: Divergence of the rims in bits, as the label is.
        along_axes: The same for the label moved along D, H and W, (3, 2 · `REACH_VOXELS` + 1).
        shift: The move in voxels, (D, H, W), that gives most of all within the reach.
        contrast_shifted: Divergence in bits after it.
        contrast_flipped: Divergence in bits of the label flipped in its array along D, H and W.
        flip_is_peak: Whether the flipped label lies on a peak, see `PEAK_VOXELS`.
    """

    contrast: float
    along_axes: NDArray[np.float64]
    shift: Shape3
    contrast_shifted: float
    contrast_flipped: tuple[float, float, float]
    flip_is_peak: tuple[bool, bool, bool]

    @property
    def is_peak(self) -> bool:
        """Whether the label as it is lies on a peak."""
        around = self.along_axes[:, [REACH_VOXELS - PEAK_VOXELS, REACH_VOXELS + PEAK_VOXELS]]
        return bool((around < self.contrast).all())


def measure_boundary(image: NDArray[Any], foreground: NDArray[np.bool_]) -> BoundaryFit | None:
    """Measure how well the border of a label lies on its image.

    Args:
        image: Intensities, (C, D, H, W); of several channels the mean is taken.
        foreground: The voxels of all classes but the background, (D, H, W).

    Returns:
        None where there is no border, or too short a one.

    Source:
        J. Lin, Divergence measures based on the Shannon entropy (1991). It is the mutual
        information of "inside or outside" and intensity, as in registration: F. Maes et al. (1997).
    """
    found = _find_rims(foreground)
    if found is None:
        return None
    box, inner, outer = found
    around = _widened(box, foreground.shape, RIM_VOXELS + REACH_VOXELS)
    shares = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
    edges = [np.unique(np.quantile(channel[around], shares)) for channel in image]
    rims = _rims_on(image, edges, inner, outer)
    steps = np.arange(-REACH_VOXELS, REACH_VOXELS + 1)
    along = np.stack([rims.contrasts(np.multiply.outer(steps, unit)) for unit in _UNITS])
    coarse = _cube(steps[::2])
    best = coarse[rims.thinned(_COARSE_SAMPLES).contrasts(coarse).argmax()]
    fine = np.clip(best + _cube(np.arange(-1, 2)), -REACH_VOXELS, REACH_VOXELS)
    contrasts = rims.contrasts(fine)
    depth, height, width = fine[contrasts.argmax()].tolist()
    flips = []
    for unit, size in zip(_UNITS, foreground.shape, strict=True):
        flipped = [np.where(unit == 1, size - 1 - rim, rim) for rim in (inner, outer)]
        flips.append(_rims_on(image, edges, *flipped).contrasts(_AROUND))
    return BoundaryFit(
        contrast=float(along[0, REACH_VOXELS]),
        along_axes=along,
        shift=(depth, height, width),
        contrast_shifted=float(contrasts.max()),
        contrast_flipped=(float(flips[0][0]), float(flips[1][0]), float(flips[2][0])),
        flip_is_peak=(_leads(flips[0]), _leads(flips[1]), _leads(flips[2])),
    )


_UNITS: Final = np.eye(3, dtype=np.intp)

_AROUND: Final = np.concatenate([0 * _UNITS[:1], PEAK_VOXELS * _UNITS, -PEAK_VOXELS * _UNITS])
"""No move, and those that tell whether a place is a peak, (7, 3)."""


def _leads(contrasts: NDArray[np.float64]) -> bool:
    return bool((contrasts[1:] < contrasts[0]).all())


def _cube(steps: NDArray[np.intp]) -> NDArray[np.intp]:
    """All moves that take one of some steps along each axis, (M, 3)."""
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class _Rims:
    """Voxels of both rims on an image of bins, which no move takes them out of.

    Attributes:
        levels: Bin of each voxel, (C, D, H, W); beyond the scan `_BEYOND`.
        inner: Voxels as flat indices of one channel, (N,).
        outer: The same.
    """

    levels: NDArray[np.uint8]
    inner: NDArray[np.intp]
    outer: NDArray[np.intp]

    def thinned(self, count: int) -> _Rims:
        """With every n-th voxel of each rim, so that about `count` are left."""
        inner, outer = (rim[:: -(-len(rim) // count)] for rim in (self.inner, self.outer))
        return replace(self, inner=inner, outer=outer)

    def contrasts(self, moves: NDArray[np.intp]) -> NDArray[np.float64]:
        """Divergence in bits, (M,), after each of some moves (M, 3).

        It is 0 where half of a rim leaves the scan: what is left is no border.
        """
        _, height, width = self.levels.shape[1:]
        offsets = moves @ np.array([height * width, width, 1])
        total = np.zeros(len(moves))
        for channel in self.levels.reshape(len(self.levels), -1):
            total += _divergences(channel, self.inner, self.outer, offsets)
        return total / len(self.levels)


def _rims_on(
    image: NDArray[Any],
    edges: list[NDArray[np.float64]],
    inner: NDArray[np.intp],
    outer: NDArray[np.intp],
) -> _Rims:
    """A sample of two rims, (N, 3) voxel indices each, on the part of the image that they reach."""
    both = np.concatenate([inner, outer])
    low, high = both.min(axis=0) - REACH_VOXELS, both.max(axis=0) + REACH_VOXELS + 1
    start, stop = np.maximum(low, 0), np.minimum(high, image.shape[1:])
    part = tuple(slice(int(first), int(last)) for first, last in zip(start, stop, strict=True))
    levels = np.full((len(image), *(high - low)), _BEYOND, np.uint8)
    inside = tuple(
        slice(int(first), int(last)) for first, last in zip(start - low, stop - low, strict=True)
    )
    for into, channel, edge in zip(levels, image, edges, strict=True):
        into[inside] = np.searchsorted(edge.astype(channel.dtype), channel[part], side="right")
    flat = [np.ravel_multi_index((rim - low).T, levels.shape[1:]) for rim in (inner, outer)]
    return _Rims(levels, *flat).thinned(_SAMPLES)


def _find_rims(
    foreground: NDArray[np.bool_],
) -> tuple[tuple[slice, ...], NDArray[np.intp], NDArray[np.intp]] | None:
    """The label's box, and the voxels of its inner and outer rim, (N, 3) indices each."""
    boxes = ndimage.find_objects(foreground.astype(np.uint8))
    if not boxes:
        return None
    box = _slab(foreground, boxes[0])
    # With a margin: what a box cuts off would count as a border.
    wide = _widened(box, foreground.shape, RIM_VOXELS)
    label = foreground[wide]
    core = ndimage.binary_erosion(label, iterations=RIM_VOXELS, border_value=1)
    near = ndimage.binary_dilation(label, iterations=RIM_VOXELS) & ~label
    origin = np.array([part.start for part in wide])
    inner, outer = np.argwhere(label & ~core) + origin, np.argwhere(near) + origin
    return (box, inner, outer) if min(len(inner), len(outer)) >= _LEAST_VOXELS else None


def _slab(foreground: NDArray[np.bool_], box: tuple[slice, ...]) -> tuple[slice, ...]:
    first, *others = box
    area = math.prod(part.stop - part.start for part in others)
    half = max(RIM_VOXELS, _SLAB_VOXELS // area // 2)
    fullest = first.start + int(foreground[box].sum(axis=(1, 2)).argmax())
    planes = slice(max(first.start, fullest - half), min(first.stop, fullest + half + 1))
    return planes, *others


def _widened(box: tuple[slice, ...], shape: tuple[int, ...], margin: int) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(box, shape, strict=True)
    )


def _divergences(
    channel: NDArray[np.uint8],
    inner: NDArray[np.intp],
    outer: NDArray[np.intp],
    offsets: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Jensen–Shannon divergence in bits, (M,), of one channel at M offsets of the flat indices."""
    shares = []
    whole = np.ones(len(offsets), np.bool_)
    rows = (BINS + 1) * np.arange(len(offsets))[:, None]
    for rim in (inner, outer):
        levels = channel.take(rim[None] + offsets[:, None])
        counts = np.bincount((levels + rows).reshape(-1), minlength=(BINS + 1) * len(offsets))
        within = counts.reshape(len(offsets), BINS + 1)[:, :_BEYOND].astype(np.float64)
        whole &= within.sum(axis=1) >= 0.5 * len(rim)
        shares.append((within + 0.5) / (within + 0.5).sum(axis=1, keepdims=True))
    middle = 0.5 * (shares[0] + shares[1])
    bits = [(share * np.log2(share / middle)).sum(axis=1) for share in shares]
    return np.where(whole, 0.5 * (bits[0] + bits[1]), 0.0)
