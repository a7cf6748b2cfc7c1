"""Scans that do not fit in memory, on a model's grid and normalised slab by slab.

`conform`, `normalise` and `check_finite` with the same numbers, for volumes of which some planes at
a time are read. `volunet.volumes.sinks` is the way back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from volunet.plan import Normalisation
from volunet.volumes.axes import Spacing3
from volunet.volumes.grid import Grid
from volunet.volumes.normalise import Moments, moments_of, needs_moments, normalise_channel
from volunet.volumes.read import count_not_finite, refuse_not_finite
from volunet.volumes.resample import plan_conform
from volunet.volumes.sampling import plan_sampling

Progress = Callable[[int, int], None]
"""Called with the planes done and their number."""

_READ_VOXELS = 1 << 22
"""Values of one read of a pass over a whole scan: 16 MiB as float32."""


class Slabs(Protocol):
    """A volume that is read some planes at a time."""

    @property
    def grid(self) -> Grid:
        """Size, channels and place of the whole volume."""

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Planes [start, stop), at least one, along an array axis.

        Args:
            axis: 0 for D, 1 for H, 2 for W.
            start: The first plane.
            stop: The plane after the last.

        Returns:
            (C, D', H', W'), of the volume's size except along the axis.
        """


class ConformedSlabs:
    """A scan on a model's grid, of which each slab is computed when it is read.

    Args:
        source: The scan.
        orientation: See `plan_conform`.
        spacing_mm: See `plan_conform`.

    Attributes:
        grid: The model's grid, of `plan_conform`.

    Raises:
        ConfigError: The orientation or a spacing is not one.
    """

    def __init__(self, source: Slabs, orientation: str, spacing_mm: Spacing3 | None) -> None:
        self.grid = plan_conform(source.grid, orientation, spacing_mm)
        self._source = source
        self._sampling = plan_sampling(source.grid, self.grid)

    def source_axis(self, axis: int) -> int:
        """Array axis of the scan that is read where slabs are along `axis` of the model's grid."""
        return self._sampling.order[axis]

    def read(self, axis: int, start: int, stop: int) -> NDArray[np.float32]:
        """The same planes as of `conform`'s array, float32; see `Slabs.read`."""
        slab, old = slice(start, stop), self._sampling.order[axis]
        needed = self._sampling.source_planes(axis, slab)
        first, last = needed.start, needed.stop
        if self._sampling.flipped[axis]:
            length = self._source.grid.shape[old]
            first, last = length - last, length - first
        block = self._sampling.aligned(self._source.read(old, first, last))
        sizes = list(self.grid.shape)
        sizes[axis] = stop - start
        result = np.empty((len(block), *sizes), np.float32)
        self._sampling.carry(block, result, axis, slab)
        return result


class NormalisedSlabs:
    """A scan as the network sees it.

    Args:
        source: The scan on the model's grid.
        rules: One rule a channel.
        moments: What `measure` answers for the same scan and rules.

    Attributes:
        grid: The grid of the source.

    Raises:
        ConfigError: A rule needs the moments of its channel and there are none.
    """

    def __init__(
        self, source: Slabs, rules: Sequence[Normalisation], moments: Sequence[Moments | None]
    ) -> None:
        self.grid = source.grid
        self._source = source
        self._channels = list(zip(rules, moments, strict=True))
        for rule, of_channel in self._channels:
            normalise_channel(np.zeros(0, np.float32), rule, of_channel)

    def read(self, axis: int, start: int, stop: int) -> NDArray[np.float32]:
        """The same planes as of `normalise`'s array, float32; see `Slabs.read`."""
        block = self._source.read(axis, start, stop)
        result = np.empty(block.shape, np.float32)
        for x, into, (rule, moments) in zip(block, result, self._channels, strict=True):
            into[...] = normalise_channel(x.astype(np.float32, copy=False), rule, moments)
        return result


def measure(
    slabs: Slabs, axis: int, rules: Sequence[Normalisation], progress: Progress | None = None
) -> tuple[Moments | None, ...]:
    """Take the moments that rules need, in one pass over the scan; without one if none does.

    Args:
        slabs: The scan on the model's grid, every voxel finite.
        axis: Axis along which it is read.
        rules: One rule a channel.
        progress: Called with the planes done and their number.

    Returns:
        For each channel the moments of all its voxels, None where the rule needs none.

    Source:
        Merging of means and squared deviations: Chan, Golub and LeVeque, Updating Formulae and a
        Pairwise Algorithm for Computing Sample Variances, Stanford STAN-CS-79-773, 1979.
    """
    merged = {channel: (0, 0.0, 0.0) for channel, rule in enumerate(rules) if needs_moments(rule)}
    for block in _pass_over(slabs, axis, progress) if merged else ():
        for channel, (count, mean, squares) in merged.items():
            x = block[channel].astype(np.float32, copy=False)
            part = moments_of(x)
            total, gap = count + x.size, part.mean - mean
            merged[channel] = (
                total,
                mean + gap * (x.size / total),
                squares + part.std**2 * x.size + gap**2 * (count * (x.size / total)),
            )
    found = {
        channel: Moments(mean, math.sqrt(squares / count))
        for channel, (count, mean, squares) in merged.items()
    }
    return tuple(found.get(channel) for channel in range(len(rules)))


def check_finite_slabs(
    slabs: Slabs, axis: int, where: str | Path, progress: Progress | None = None
) -> None:
    """Refuse a scan with voxels that are no numbers, as `check_finite` does.

    The scan is read once, to its end, so that all of them are counted; one of integers is not.

    Args:
        slabs: The scan on its own grid.
        axis: Axis along which it is read.
        where: The file, for the message.
        progress: Called with the planes done and their number.

    Raises:
        VolumeError: Some are NaN or infinite.
    """
    num_nan = num_infinite = num_voxels = 0
    for block in _pass_over(slabs, axis, progress):
        if block.dtype.kind != "f":
            return
        here = count_not_finite(block)
        num_nan, num_infinite = num_nan + here[0], num_infinite + here[1]
        num_voxels += block.size
    refuse_not_finite(num_nan, num_infinite, num_voxels, where)


def _pass_over(slabs: Slabs, axis: int, progress: Progress | None) -> Iterator[NDArray[Any]]:
    length = slabs.grid.shape[axis]
    values = slabs.grid.num_channels * math.prod(slabs.grid.shape)
    planes = max(1, _READ_VOXELS * length // values)
    for start in range(0, length, planes):
        stop = min(start + planes, length)
        yield slabs.read(axis, start, stop)
        if progress is not None:
            progress(stop, length)
