"""SimpleITK images ↔ `Volume`, and the formats that SimpleITK reads and writes: NRRD and MHA."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from volunet.errors import OutputError, VolumeError
from volunet.volumes.axes import Affine, affine_of_itk, itk_geometry
from volunet.volumes.dtypes import storable
from volunet.volumes.grid import Grid, check_affine
from volunet.volumes.payload import check_payload
from volunet.volumes.volume import Volume


def volume_of_image(image: SimpleITK.Image, source: Path | None = None) -> Volume:
    """A SimpleITK image as a volume; its voxels are copied.

    Args:
        image: 2 or 3 axes, one or more components a voxel, or 4 axes, of which the fourth (t)
            is taken as channels. An image of 2 axes is one slice.
        source: The file that it was read from, for messages.

    Raises:
        VolumeError: Complex numbers, components in a 4D image, or no place in space.
    """
    where = source or "image"
    grid = _grid(image, where)
    array = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    return Volume(array.reshape(grid.num_channels, *grid.shape), grid.affine, source)


def image_of_volume(volume: Volume) -> SimpleITK.Image:
    """A volume as a SimpleITK image; channels become the components of a vector image.

    Raises:
        VolumeError: Numbers of a type that SimpleITK images do not hold.
    """
    array = storable(volume.array, volume.source or "volume")
    if volume.num_channels == 1:
        image = SimpleITK.GetImageFromArray(array[0])
    else:
        image = SimpleITK.GetImageFromArray(np.moveaxis(array, 0, -1), isVector=True)
    spacing, origin, direction = itk_geometry(volume.affine)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def read_itk(path: Path, allow_channels: bool) -> Volume:
    """Read an NRRD or MetaImage file, after a look at whether all of it is there.

    Args:
        path: The file; of a header with its voxels in another file, the header.
        allow_channels: Take a fourth axis, or several values a voxel, as channels.

    Raises:
        VolumeError: The file is damaged or cut off, or not what `volume_of_image` takes, or has
            channels that were not allowed.
    """
    reader = _reader(path)
    grid = _grid(reader, path)
    if grid.num_channels > 1 and not allow_channels:
        raise VolumeError(
            path,
            f"{grid.num_channels} values a voxel (or a fourth axis) on a grid of {grid.shape}",
            "A volume has one value a voxel; more are taken only where channels are.",
            "Save each channel, layer or time point as a file of its own, or pass "
            "allow_channels=True.",
        )
    check_payload(path, math.prod(grid.shape) * grid.num_channels * _component_bytes(reader))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return volume_of_image(image, path)


def read_itk_grid(path: Path) -> Grid:
    """Read size and place from the header only.

    Raises:
        VolumeError: The header is damaged, or not what `volume_of_image` takes.
    """
    return _grid(_reader(path), path)


def write_itk(volume: Volume, path: Path) -> None:
    """Write an NRRD or MHA file, compressed without loss.

    Raises:
        OutputError: SimpleITK could not write it.
    """
    image = image_of_volume(volume)
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise OutputError(
            path,
            f"SimpleITK could not write it: {_last_line(error)}",
            f"Up to {volume.array.nbytes:,} bytes must fit there.",
            "Free some space, or choose another folder.",
        ) from error


def _reader(path: Path) -> Any:
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return reader


def _grid(header: Any, where: str | Path) -> Grid:
    """Grid of an image or of a reader that has read its header."""
    kind = SimpleITK.GetPixelIDValueAsString(header.GetPixelID())
    axes = header.GetDimension()
    is_image = isinstance(header, SimpleITK.Image)
    components = (
        header.GetNumberOfComponentsPerPixel() if is_image else header.GetNumberOfComponents()
    )
    if "complex" in kind or axes not in (2, 3, 4) or (axes == 4 and components > 1):
        raise VolumeError(
            where,
            f"{axes} axes, {components} components a voxel, {kind}",
            "A volume has 3 axes of real numbers, and channels as a fourth axis or as components.",
            "Save one volume a file; of complex numbers, the magnitude.",
        )
    size, spacing = tuple(header.GetSize()), tuple(header.GetSpacing())
    origin, direction = tuple(header.GetOrigin()), np.eye(3)
    count = min(axes, 3)
    cosines = np.reshape(header.GetDirection(), (axes, axes))
    direction[:count, :count] = cosines[:count, :count]
    i, j, k = (*size, 1)[:3]
    affine = _affine(spacing, origin, direction, where)
    return Grid((k, j, i), affine, size[3] if axes == 4 else components)


def _affine(
    spacing: tuple[float, ...], origin: tuple[float, ...], direction: Any, where: str | Path
) -> Affine:
    i, j, k = (*spacing, 1.0)[:3]
    x, y, z = (*origin, 0.0)[:3]
    affine = affine_of_itk((i, j, k), (x, y, z), tuple(direction.ravel()))
    check_affine(affine, where)
    return affine


def _component_bytes(reader: Any) -> int:
    bits = re.search(r"(\d+)-bit", SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()))
    return int(bits.group(1)) // 8 if bits else 1


def _unreadable(path: Path, error: RuntimeError) -> VolumeError:
    return VolumeError(
        path,
        f"SimpleITK cannot read it: {_last_line(error)}",
        "An NRRD or MetaImage file begins with its header, and holds or names all voxels.",
        "Copy or download the file again; if it is of another format, give it that ending.",
    )


def _last_line(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
