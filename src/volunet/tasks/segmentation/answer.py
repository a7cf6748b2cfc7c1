"""From a network's scores of classes to labels or probabilities on the scan's own grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from volunet.errors import VolumeError
from volunet.plan import Plan
from volunet.tasks.segmentation.plan import segmentation_of
from volunet.volumes import Volume, labels_onto, scores_onto, write_volume
from volunet.volumes.axes import Shape3
from volunet.volumes.dtypes import smallest_label_dtype
from volunet.volumes.grid import Grid
from volunet.volumes.sampling import planes_of
from volunet.volumes.sinks import StreamedLabels, StreamedScores
from volunet.volumes.slab_writer import open_slab_writer, write_slabs

ENDING: Final = ".nii.gz"
"""Ending of predictions, whatever the scan's: every viewer reads it."""

ZARR_ENDING: Final = ".zarr"
"""Ending of the predictions of OME-Zarr scans."""

Write = Callable[[int, NDArray[Any]], None]
"""Takes finished planes of the scan's own grid: the first one, and (C, …) of them."""

_CERTAIN_LOGIT: Final = 30.0
"""Logit of the background where the network has no answer; e^−60 is nothing in float32."""


def make_answer(plan: Plan, *, probabilities: bool) -> SegmentationAnswer:
    """See `volunet.tasks.answer.answer_of`."""
    return SegmentationAnswer(plan, probabilities=probabilities)


class SegmentationAnswer:
    """Labels (1, D, H, W) with the plan's label values, or probabilities (K, D, H, W), float32.

    Implements `volunet.tasks.answer.Answer`, which documents the methods.

    Args:
        plan: The plan of a segmentation.
        probabilities: A probability for each class instead of labels.
    """

    def __init__(self, plan: Plan, *, probabilities: bool) -> None:
        self._plan = plan
        self._task = segmentation_of(plan)
        self._probabilities = probabilities

    @property
    def num_scores(self) -> int:
        """One a class."""
        return len(self._task.classes)

    @property
    def num_channels(self) -> int:
        """One of labels, or one a class."""
        return self.num_scores if self._probabilities else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32, or the smallest that holds the label values."""
        if self._probabilities:
            return np.dtype(np.float32)
        return np.dtype(smallest_label_dtype(self._task.label_values))

    def check(self, where: str) -> None:
        """A model that answers labels has no probabilities."""
        if self._probabilities and self._task.answer == "labels":
            raise VolumeError(
                where,
                "probabilities asked of a model that answers labels",
                "A model exported with --answer logits or probabilities has them.",
                "Export the run again, or leave out --probabilities.",
            )

    def scores(self, output: NDArray[Any]) -> NDArray[np.float32]:
        """One score a class: logits or probabilities, whichever there are or are asked for."""
        classes = self._task.classes
        second_only = self._is_second_class_only(output)
        network = self._plan.network
        is_done = (
            second_only
            or self._task.answer == "probabilities"
            or (network is not None and network.gives_probabilities)
        )
        if self._task.answer == "labels":
            # Equal scores but for the class itself: resampling then votes, as it does for a label
            # map.
            indices = np.arange(len(classes))[:, None, None, None]
            output = (output == indices).astype(np.float32)
        elif second_only:
            output = np.concatenate([1 - output, output])
        if output.shape[0] != len(classes):
            raise VolumeError(
                self._plan.dataset,
                f"the model answers {output.shape[0]} channels",
                f"One channel a class: {', '.join(classes)}.",
                "Name as many classes as the model has output channels (--classes).",
            )
        scores = output.astype(np.float32, copy=False)
        if self._probabilities and not is_done:
            return softmax(scores, axis=0).astype(np.float32)
        return scores

    def outside(self, size: Shape3) -> NDArray[np.float32]:
        """Nothing but background."""
        certain = self._probabilities or self._task.answer != "logits"
        low, high = (0.0, 1.0) if certain else (-_CERTAIN_LOGIT, _CERTAIN_LOGIT)
        scores = np.full((self.num_scores, *size), low, np.float32)
        scores[0] = high
        return scores

    def onto(self, scores: Volume, grid: Grid) -> Volume:
        """Scores are interpolated, and of them the highest class taken."""
        if self._probabilities:
            return scores_onto(scores, grid)
        return labels_onto(scores, grid, self._task.label_values)

    @contextmanager
    def receive(
        self, on_grid: Grid, grid: Grid, axis: int, scratch: Path, path: Path | None
    ) -> Iterator[_Planes]:
        """Planes of the scan's grid are written as soon as they are known."""
        sink: StreamedLabels | StreamedScores
        if self._probabilities:
            sink = StreamedScores(on_grid, grid, axis, self.num_scores)
        else:
            sink = StreamedLabels(on_grid, grid, axis, self._task.label_values)
        grid = Grid(grid.shape, grid.affine, self.num_channels)
        if path is None:
            array = np.empty((self.num_channels, *grid.shape), self.dtype)
            yield _Planes(sink, _into(array, sink.scan_axis), Volume(array, grid.affine))
            return
        with open_slab_writer(path, grid, self.dtype, sink.scan_axis, scratch) as writer:
            yield _Planes(sink, writer.write, None)

    def file_name(self, name: str, *, as_zarr: bool) -> str:
        """NIfTI, which every viewer reads, or OME-Zarr of an OME-Zarr."""
        return f"{name}{ZARR_ENDING if as_zarr else ENDING}"

    def write(self, result: Volume, path: Path, scratch: Path) -> None:
        """NIfTI or OME-Zarr, by the name."""
        if path.name.endswith(ZARR_ENDING):
            write_slabs(result, path, scratch)
        else:
            write_volume(result, path)

    def _is_second_class_only(self, output: NDArray[Any]) -> bool:
        """One channel for two classes: the probability of the second one."""
        has_two = self._task.answer != "labels" and len(self._task.classes) == 2
        return has_two and output.shape[0] == 1


class _Planes:
    """Writes planes of the scan's own grid as a sink gives them."""

    def __init__(
        self, sink: StreamedLabels | StreamedScores, write: Write, volume: Volume | None
    ) -> None:
        self._sink = sink
        self._write = write
        self._volume = volume

    def push(self, scores: NDArray[np.float32]) -> None:
        """See `volunet.tasks.answer.Receiver`."""
        for start, block in self._sink.push(scores):
            self._write(start, block)

    def result(self) -> Volume | None:
        """The volume; None of a file."""
        return self._volume


def _into(array: NDArray[Any], axis: int) -> Write:
    def write(start: int, block: NDArray[Any]) -> None:
        planes_of(array, axis, start, start + block.shape[1 + axis])[...] = block

    return write
