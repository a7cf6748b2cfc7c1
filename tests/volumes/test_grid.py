from __future__ import annotations

import numpy as np
import pytest

from volunet.errors import ShapeError, VolumeError
from volunet.volumes import Grid, affine_of, check_same_grid
from volunet.volumes.grid import check_affine

AFFINE = affine_of((5.0, 0.7, 0.7))


def test_the_same_grid_passes_with_other_channels_and_rounding() -> None:
    rounded = AFFINE.astype(np.float32).astype(np.float64)
    rounded[0, 3] = 9e-4
    check_same_grid(Grid((4, 5, 6), AFFINE), Grid((4, 5, 6), rounded, num_channels=3), "case_07")


def test_spacing_in_the_message() -> None:
    other = Grid((4, 5, 6), affine_of((2.5, 0.7, 0.7)))
    with pytest.raises(VolumeError) as error:
        check_same_grid(Grid((4, 5, 6), AFFINE), other, "case_07.nii.gz")
    assert str(error.value) == (
        "case_07.nii.gz: image spacing (5, 0.7, 0.7) mm, label spacing (2.5, 0.7, 0.7) mm.\n"
        "Image and label must share one voxel grid "
        "(tolerance 0.001 mm; sizes and spacings are D, H, W).\n"
        "Resample the label onto the image, or remove the case."
    )


def test_size_comes_first() -> None:
    other = Grid((4, 5, 7), affine_of((2.5, 0.7, 0.7)))
    with pytest.raises(VolumeError, match=r"image size \(4, 5, 6\), label size \(4, 5, 7\)"):
        check_same_grid(Grid((4, 5, 6), AFFINE), other, "case_07")


def test_direction_and_its_angle() -> None:
    turned = AFFINE.copy()
    c, s = np.cos(np.radians(2.0)), np.sin(np.radians(2.0))
    turned[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ AFFINE[:3, :3]
    with pytest.raises(VolumeError, match=r"image direction RAS, label direction RAS; .* by 2°"):
        check_same_grid(Grid((4, 5, 6), AFFINE), Grid((4, 5, 6), turned), "case_07")


def test_origin_and_its_distance() -> None:
    moved = affine_of((5.0, 0.7, 0.7), (60.0, 80.0, 0.0))
    with pytest.raises(VolumeError, match="image and reference origins differ by 100 mm"):
        check_same_grid(
            Grid((4, 5, 6), AFFINE), Grid((4, 5, 6), moved), "c", names=("image", "reference")
        )
    check_same_grid(Grid((4, 5, 6), AFFINE), Grid((4, 5, 6), moved), "c", tolerance_mm=101.0)


def test_nan_never_passes() -> None:
    broken = AFFINE.copy()
    broken[0, 3] = np.nan
    with pytest.raises(VolumeError, match="origins differ by nan mm"):
        check_same_grid(Grid((4, 5, 6), AFFINE), Grid((4, 5, 6), broken), "c")


@pytest.mark.parametrize(
    ("row", "column", "value", "found"),
    [
        (0, 0, np.nan, "NaN or infinite"),
        (2, 3, np.inf, "NaN or infinite"),
        (0, 0, 0.0, r"spacing of 0 mm: 5, 0\.7, 0 mm"),
        (1, 0, 1e6, "two axes of the volume are parallel"),
    ],
)
def test_affines_without_a_place_are_refused(
    row: int, column: int, value: float, found: str
) -> None:
    affine = AFFINE.copy()
    affine[row, column] = value
    with pytest.raises(VolumeError, match=found):
        check_affine(affine, "case_07")


def test_sheared_and_tiny_affines_pass() -> None:
    sheared = affine_of((1e-4, 2e-4, 1e-4))
    sheared[0, 1] = 5e-5
    check_affine(sheared, "case_07")


def test_false_size() -> None:
    with pytest.raises(ShapeError, match="three sizes of at least 1"):
        Grid((4, 0, 6), AFFINE)
