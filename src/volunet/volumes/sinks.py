"""Scores of a scan that does not fit in memory, brought back onto its own grid as they come.

`labels_onto` and `scores_onto` with the same numbers: slabs of the model's planes are pushed, and
the scan's own planes come out as soon as nothing that they need is missing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ShapeError
from volunet.volumes.dtypes import smallest_label_dtype
from volunet.volumes.grid import Grid
from volunet.volumes.resample import carry_labels
from volunet.volumes.sampling import plan_sampling, planes_of

_Run = tuple[slice, NDArray[Any]]
"""Planes of the scan's grid, and the planes of the aligned scores that they need."""


class _Streamed(ABC):
    """Planes of scores in, finished planes of the scan's grid out.

    Attributes:
        scan_axis: Array axis of the scan's grid along which finished planes come.
    """

    def __init__(self, model: Grid, scan: Grid, axis: int, num_classes: int) -> None:
        self._sampling = plan_sampling(model, scan)
        self.scan_axis = self._sampling.order.index(axis)
        self._axis = axis
        self._flipped = self._sampling.flipped[self.scan_axis]
        self._num_classes = num_classes
        self._model, self._scan = model, scan
        self._pushed = 0
        self._held: NDArray[Any] | None = None

    def push(self, scores: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Take the next planes of the model's scores and give what they finish.

        Use up the answer before the next call: it reads `scores`, which are not copied except for
        one plane that later ones need.

        Args:
            scores: (K, D', H', W'), of the model's size except along the streamed axis, any real
                type. Each call goes on where the one before it ended.

        Returns:
            One pair (start, block), the scan's planes from `start` on along `scan_axis`, or none.
            Starts descend where the scan runs against the model's axis. After the model's last
            plane every plane of the scan has been given, once.

        Raises:
            ShapeError: Planes of another size, or more than the model's grid has.
        """
        self._check(scores)
        axis, size = self.scan_axis, scores.shape[1 + self._axis]
        start = self._pushed
        self._pushed += size
        if self._flipped:  # of the aligned scores the last planes come first
            start = self._model.shape[self._axis] - self._pushed
        stop = start + size
        behind, ahead = (stop, start) if self._flipped else (start, stop)
        aligned = self._sampling.aligned(scores)

        def beside(seam: int) -> NDArray[Any]:
            plane = 0 if seam == start else size - 1
            return planes_of(aligned, axis, plane, plane + 1)

        runs: list[_Run] = []
        across = self._sampling.planes_across(axis, behind)
        if self._held is not None:
            pair = (self._held, beside(behind))
            runs.append((across, np.concatenate(pair[::-1] if self._flipped else pair, 1 + axis)))
        inside = self._sampling.planes_within(axis, start, stop)
        if inside.start < inside.stop:
            needed = self._sampling.source_planes(axis, inside)
            block = planes_of(aligned, axis, needed.start - start, needed.stop - start)
            runs.append((inside, block))
        later = self._sampling.planes_across(axis, ahead)
        # a copy, or one plane would keep the whole slab
        self._held = beside(ahead).copy() if later.start < later.stop else None
        return self._finished(runs)

    @abstractmethod
    def _empty(self, sizes: Sequence[int]) -> NDArray[Any]:
        """A block to be filled, its sizes being (D', H', W')."""

    @abstractmethod
    def _fill(self, source: NDArray[Any], target: NDArray[Any], slab: slice) -> None:
        """Compute the planes of one run."""

    def _block(self, slab: slice, runs: Sequence[_Run]) -> NDArray[Any]:
        sizes = list(self._scan.shape)
        sizes[self.scan_axis] = slab.stop - slab.start
        block = self._empty(sizes)
        for run, source in runs:
            start, stop = run.start - slab.start, run.stop - slab.start
            self._fill(source, planes_of(block, self.scan_axis, start, stop), run)
        return block

    def _finished(self, runs: Sequence[_Run]) -> Iterator[tuple[int, NDArray[Any]]]:
        if runs:  # they touch each other
            slab = slice(min(run.start for run, _ in runs), max(run.stop for run, _ in runs))
            yield slab.start, self._block(slab, runs)

    def _check(self, scores: NDArray[Any]) -> None:
        left = self._model.shape[self._axis] - self._pushed
        wanted: list[Any] = [self._num_classes, *self._model.shape]
        wanted[1 + self._axis] = scores.shape[1 + self._axis] if scores.ndim == 4 else 0
        if list(scores.shape) == wanted and 1 <= wanted[1 + self._axis] <= left:
            return
        wanted[1 + self._axis] = f"1…{left}" if left else "none"
        raise ShapeError(
            "scores",
            f"planes of shape {scores.shape} after {self._pushed} along axis {self._axis}",
            f"The next planes are ({', '.join(map(str, wanted))}): classes, then the model's grid.",
            "Push the model's planes once each, in increasing order.",
        )


class StreamedScores(_Streamed):
    """Scores or probabilities on the scan's own grid: `scores_onto` for planes as they come.

    Blocks are float32, (K, D', H', W'). Where the grids differ in axis order and direction only
    they are views of what was pushed.

    Args:
        model: The model's grid.
        scan: The scan's grid.
        axis: Array axis of the model's grid along which scores come.
        num_classes: Channels of the scores, K.

    Attributes:
        scan_axis: Array axis of the scan's grid along which finished planes come.

    Raises:
        VolumeError: The grids are not parallel.
    """

    def _empty(self, sizes: Sequence[int]) -> NDArray[Any]:
        return np.empty((self._num_classes, *sizes), np.float32)

    def _fill(self, source: NDArray[Any], target: NDArray[Any], slab: slice) -> None:
        self._sampling.carry(source, target, self.scan_axis, slab)

    def _block(self, slab: slice, runs: Sequence[_Run]) -> NDArray[Any]:
        if self._sampling.only_turns:
            return runs[0][1].astype(np.float32, copy=False)
        return super()._block(slab, runs)


class StreamedLabels(_Streamed):
    """A label map on the scan's own grid: `labels_onto` for planes as they come.

    Blocks are (1, D', H', W') of the first of uint8, uint16 and int32 that holds every value. Two
    maps of one class are held beside the scores, each of about 2 million voxels or of one plane.

    Args:
        model: The model's grid.
        scan: The scan's grid.
        axis: Array axis of the model's grid along which scores come.
        values: Value in the label map of each class, (K,).

    Attributes:
        scan_axis: Array axis of the scan's grid along which finished planes come.
        dtype: Type of the label map.

    Raises:
        VolumeError: The grids are not parallel, or a value is beyond int32.
    """

    def __init__(self, model: Grid, scan: Grid, axis: int, values: Sequence[int]) -> None:
        self.dtype = smallest_label_dtype(tuple(values))
        super().__init__(model, scan, axis, len(values))
        self._numbers = np.array(values, self.dtype)

    def _empty(self, sizes: Sequence[int]) -> NDArray[Any]:
        return np.empty((1, *sizes), self.dtype)

    def _fill(self, source: NDArray[Any], target: NDArray[Any], slab: slice) -> None:
        carry_labels(self._sampling, source, target, self.scan_axis, slab, self._numbers)
