"""One file ↔ one `Volume`: reading, writing, axes and resampling of scans."""

from volunet.volumes.atomic import atomic_path, check_output_folder
from volunet.volumes.axes import affine_of, orientation_of, spacing_of
from volunet.volumes.grid import Grid, check_same_grid
from volunet.volumes.itk import image_of_volume, volume_of_image
from volunet.volumes.read import check_finite, read_grid, read_volume
from volunet.volumes.resample import (
    conform,
    conform_labels,
    labels_onto,
    plan_conform,
    reorient,
    scores_onto,
)
from volunet.volumes.volume import Volume
from volunet.volumes.write import write_volume

__all__ = [
    "Grid",
    "Volume",
    "affine_of",
    "atomic_path",
    "check_finite",
    "check_output_folder",
    "check_same_grid",
    "conform",
    "conform_labels",
    "image_of_volume",
    "labels_onto",
    "orientation_of",
    "plan_conform",
    "read_grid",
    "read_volume",
    "reorient",
    "scores_onto",
    "spacing_of",
    "volume_of_image",
    "write_volume",
]
