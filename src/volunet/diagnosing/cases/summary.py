"""`CaseSummary`: what is kept of a case once it was read, small enough for a thousand of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.load import read_case
from volunet.datasets.rules import ORIENTATION
from volunet.diagnosing.cases.boundary import BoundaryFit, measure_boundary
from volunet.diagnosing.cases.lost import Losses, measure_losses
from volunet.diagnosing.cases.planes import count_values, slabs
from volunet.diagnosing.cases.raggedness import measure_raggedness
from volunet.diagnosing.cases.thumbnails import shrink_image, shrink_labels, standardise
from volunet.errors import VolumeError
from volunet.tasks.annotations import Annotations
from volunet.tasks.segmentation.annotations import LabelMaps
from volunet.tasks.segmentation.label_values import to_class_indices
from volunet.volumes import Volume, check_finite, reorient
from volunet.volumes.axes import Shape3, Spacing3

PERCENTILES: Final = (0.5, 5.0, 50.0, 95.0, 99.5)

SORTED_VOXELS: Final = 1 << 22
"""Of a larger scan percentiles are those of every n-th voxel along each axis, 500,000 at the least:
the 0.5 percentile of so many is one between 0.48 and 0.52."""


@dataclass(frozen=True, eq=False)
class ChannelSummary:
    """Intensities of one channel of a whole scan, in its own unit.

    Attributes:
        minimum: The smallest.
        maximum: The largest.
        percentiles: Those of `PERCENTILES`.
        mean: Their mean.
        deviation: Their standard deviation.
        at_minimum: Share of the voxels that have the smallest value.
        at_maximum: Share of the voxels that have the largest value.
        class_means: Mean of each class, (K,); NaN for a class that is absent.
    """

    minimum: float
    maximum: float
    percentiles: tuple[float, ...]
    mean: float
    deviation: float
    at_minimum: float
    at_maximum: float
    class_means: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CaseSummary:
    """One case, turned to the plan's orientation and summed up.

    Attributes:
        name: The case's name.
        shape: Size in voxels, (D, H, W).
        spacing_mm: Voxel spacing, (D, H, W).
        channels: The intensities of each channel.
        voxels: Voxels of each class, (K,).
        centres: Mean place of each class in fractions of the scan, (K, 3); NaN where absent.
        touches_edge: Whether each class reaches the first or last voxel of an axis, (K,): the edge
            of the scan may have cut it.
        raggedness: See `measure_raggedness`, (K,).
        boundary: See `measure_boundary`; None where there is no border.
        losses: See `measure_losses`; None where the model's grid has the case's own spacing.
        image: Thumbnail of the standardised channels, (C, d, h, w) float16.
        label: Thumbnail of the class indices, (d, h, w).
    """

    name: str
    shape: Shape3
    spacing_mm: Spacing3
    channels: tuple[ChannelSummary, ...]
    voxels: NDArray[np.int64]
    centres: NDArray[np.float64]
    touches_edge: NDArray[np.bool_]
    raggedness: NDArray[np.float64]
    boundary: BoundaryFit | None
    losses: Losses | None
    image: NDArray[np.float16]
    label: NDArray[np.uint8]

    @property
    def volumes_mm3(self) -> NDArray[np.float64]:
        """Volume of each class, (K,)."""
        return np.asarray(self.voxels * np.prod(self.spacing_mm), np.float64)

    @property
    def foreground(self) -> int:
        """Voxels of all classes but the background."""
        return int(self.voxels[1:].sum())


def summarise_case(
    case: Case, dataset: DataSet, thumbnail: Shape3, spacing_mm: Spacing3
) -> CaseSummary:
    """Read a case once and sum it up.

    Args:
        case: A labelled case.
        dataset: The data set that it belongs to.
        thumbnail: The grid of the thumbnails, see `plan_thumbnail`.
        spacing_mm: Spacing of the model's grid, (D, H, W).

    Raises:
        VolumeError: A file cannot be read, has voxels that are no numbers, undeclared label values
            or another grid than the image; or there is no label map.
        ShapeError: As `read_case`.
    """
    scan, read = read_case(case, dataset)
    if read is None:
        raise VolumeError(
            case.name, "no label", "Each training case has one.", "Add it, or remove the case."
        )
    check_finite(scan)
    label_map = _classes_of(case, dataset, scan, read)
    num_classes = len(declared_labels(dataset.annotations))
    scan, label = reorient(scan, ORIENTATION), reorient(label_map, ORIENTATION)
    classes = np.ascontiguousarray(label.array[0])
    voxels = count_values(classes, num_classes)
    centres, touches_edge = _find_places(classes, num_classes)
    return CaseSummary(
        name=case.name,
        shape=scan.shape,
        spacing_mm=scan.spacing_mm,
        channels=tuple(summarise_channel(channel, classes, voxels) for channel in scan.array),
        voxels=voxels,
        centres=centres,
        touches_edge=touches_edge,
        raggedness=measure_raggedness(classes, num_classes),
        boundary=measure_boundary(scan.array, classes > 0),
        losses=measure_losses(label, num_classes, ORIENTATION, spacing_mm),
        image=standardise(shrink_image(scan.array, thumbnail)).astype(np.float16),
        label=shrink_labels(classes, thumbnail),
    )


def declared_labels(annotations: Annotations) -> Mapping[int, str]:
    """Value in the label maps → class name; of a task without them the background alone."""
    return annotations.labels if isinstance(annotations, LabelMaps) else {0: "background"}


def _classes_of(case: Case, dataset: DataSet, scan: Volume, read: Any) -> Volume:
    """Class indices (1, D, H, W) of a case; of a task without label maps all are background."""
    if not isinstance(dataset.annotations, LabelMaps):
        return scan.with_array(np.zeros((1, *scan.shape), np.uint8))
    check_finite(read)
    values = tuple(dataset.annotations.labels)
    classes: Volume = read.with_array(to_class_indices(read.array, values, case.label or case.name))
    return classes


def summarise_channel(
    channel: NDArray[Any], classes: NDArray[np.uint8], voxels: NDArray[np.int64]
) -> ChannelSummary:
    """Sum up one channel of a scan, a few planes at a time.

    Args:
        channel: Intensities, (D, H, W).
        classes: Class indices, (D, H, W).
        voxels: Voxels of each class, (K,).
    """
    minimum, maximum = channel.min(), channel.max()
    sums = np.zeros(len(voxels))
    at_minimum = at_maximum = 0
    for planes in slabs(channel.shape):
        values = channel[planes]
        sums += np.bincount(classes[planes].reshape(-1), values.reshape(-1), len(voxels))
        at_minimum += int(np.count_nonzero(values == minimum))
        at_maximum += int(np.count_nonzero(values == maximum))
    mean = float(sums.sum() / channel.size)
    squares = sum(
        float(np.square(np.subtract(channel[planes], mean, dtype=np.float64)).sum())
        for planes in slabs(channel.shape)
    )
    return ChannelSummary(
        minimum=float(minimum),
        maximum=float(maximum),
        percentiles=tuple(np.percentile(_sample(channel), PERCENTILES).tolist()),
        mean=mean,
        deviation=math.sqrt(squares / channel.size),
        at_minimum=at_minimum / channel.size,
        at_maximum=at_maximum / channel.size,
        class_means=np.divide(sums, voxels, out=np.full(len(voxels), np.nan), where=voxels > 0),
    )


def _sample(channel: NDArray[Any]) -> NDArray[Any]:
    """All voxels of a small scan, and every n-th along each axis of one above `SORTED_VOXELS`."""
    step = math.ceil((channel.size / SORTED_VOXELS) ** (1 / 3))
    return channel[::step, ::step, ::step]


def _find_places(
    classes: NDArray[np.uint8], num_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mean place of each class, (K, 3), and whether it touches the scan's edge, (K,)."""
    centres = np.full((num_classes, 3), np.nan)
    touches_edge = np.zeros(num_classes, np.bool_)
    for index, box in enumerate(ndimage.find_objects(classes, num_classes - 1), start=1):
        if box is None:
            continue
        mask = classes[box] == index
        for axis, (part, size) in enumerate(zip(box, classes.shape, strict=True)):
            others = tuple(other for other in range(3) if other != axis)
            counts = np.count_nonzero(mask, axis=others)
            middle = counts @ np.arange(len(counts)) / counts.sum()
            centres[index, axis] = (part.start + middle + 0.5) / size
            touches_edge[index] |= part.start == 0 or part.stop == size
    return centres, touches_edge
