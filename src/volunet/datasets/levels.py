"""How often a network halves each axis, and the patch that goes with it.

The numbers follow from two facts: a convolution sees voxels, not millimetres, so that a coarse
axis must wait until the others are as coarse; and a level of fewer than 4 voxels holds hardly
more than its own border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from volunet.plan import Size3, Triple, total_stride

MIN_VOXELS: Final = 4
"""Voxels that an axis keeps on the lowest level."""

MAX_HALVINGS: Final = 5
"""Five halvings see 32 voxels in one; deeper levels cost weights and add little."""

MAX_RATIO: Final = 2.0
"""Spacings within this factor count as equal."""

PATCH_VOXELS: Final = 64 * 64 * 64
"""Largest number of voxels in a training patch: memory grows with it, and so does context."""

Strides = tuple[Size3, ...]


@dataclass(frozen=True)
class Levels:
    """The levels of a network.

    Attributes:
        kernels: Kernel of each level's convolutions, (D, H, W), top down.
        strides: Pooling between each level and the next, (D, H, W); one fewer.
    """

    kernels: tuple[Size3, ...]
    strides: Strides

    @property
    def total_stride(self) -> Size3:
        """Voxels of the input in one voxel of the lowest level, (D, H, W)."""
        return total_stride(self.strides)


def plan_levels(size: Size3, spacing_mm: Triple, count: int | None = None) -> Levels:
    """Levels for patches of a size.

    Rule: on each level every axis is halved that keeps at least `MIN_VOXELS` and whose spacing is
    at most `MAX_RATIO` times the finest of these axes. Until an axis has been that fine, its
    kernels are 1: its neighbouring voxels are too far away to be neighbours. It ends when no axis
    can be halved, or after `MAX_HALVINGS`.

    Args:
        size: Size that the network trains on, in voxels, (D, H, W).
        spacing_mm: Voxel spacing in mm, (D, H, W).
        count: A fixed number of levels. Levels beyond what the rule allows halve every axis,
            which a network of any size can take.
    """
    voxels, spacing = list(map(float, size)), list(spacing_mm)
    matched = [False] * 3
    kernels: list[Size3] = []
    strides: list[Size3] = []
    halvings = MAX_HALVINGS if count is None else count - 1
    while True:
        roomy = [axis for axis in range(3) if voxels[axis] / 2 >= MIN_VOXELS]
        finest = min(spacing[axis] for axis in roomy or range(3))
        matched = [matched[axis] or spacing[axis] <= MAX_RATIO * finest for axis in range(3)]
        kernels.append(_size3([3 if fine else 1 for fine in matched]))
        if len(strides) == halvings or (not roomy and count is None):
            return Levels(tuple(kernels), tuple(strides))
        stride = [
            2 if not roomy or (axis in roomy and spacing[axis] <= MAX_RATIO * finest) else 1
            for axis in range(3)
        ]
        strides.append(_size3(stride))
        voxels = [size / step for size, step in zip(voxels, stride, strict=True)]
        spacing = [step * mm for mm, step in zip(spacing, stride, strict=True)]


def cap_size(size: Size3, budget_voxels: int = PATCH_VOXELS) -> Size3:
    """The size, with its largest axes brought down to one length until the budget holds.

    Args:
        size: Size in voxels, (D, H, W).
        budget_voxels: The product that the answer must not pass.

    Example:
        >>> cap_size((40, 512, 512), 64 * 96 * 96)
        (40, 121, 121)
    """
    ordered = sorted(size)
    for index in range(3):
        # The smaller axes stay whole; the 3 − index larger ones share what is left.
        share = (budget_voxels / math.prod(ordered[:index])) ** (1 / (3 - index))
        if share < ordered[index]:
            # The epsilon keeps an exact root, such as 64 for 64³, from being rounded down.
            limit = max(1, math.floor(share + 1e-9))
            return _size3([min(length, limit) for length in size])
    return size


def plan_patch(size: Size3, total_stride: Size3, budget_voxels: int = PATCH_VOXELS) -> Size3:
    """Patch for scans of a size.

    Rule: each axis is the size rounded up to the next multiple of the axis' total stride, so that
    no level is padded; the longest axis that still has more than one stride gives up strides until
    the budget holds.

    Args:
        size: Size to cover, in voxels, (D, H, W).
        total_stride: See `Levels.total_stride`.
        budget_voxels: The patch's largest number of voxels, except that one stride always stays.
    """
    patch = [
        math.ceil(length / stride) * stride
        for length, stride in zip(size, total_stride, strict=True)
    ]
    while math.prod(patch) > budget_voxels:
        loose = [axis for axis in range(3) if patch[axis] > total_stride[axis]]
        if not loose:
            break
        longest = max(loose, key=lambda axis: patch[axis])
        patch[longest] -= total_stride[longest]
    return _size3(patch)


def _size3(values: list[int]) -> Size3:
    depth, height, width = values
    return depth, height, width
