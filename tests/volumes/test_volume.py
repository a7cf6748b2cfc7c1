from __future__ import annotations

import numpy as np
import pytest

from volunet.errors import ShapeError
from volunet.volumes import Volume


def test_three_axes_become_one_channel() -> None:
    volume = Volume.of_array(np.zeros((4, 5, 6)), (3.0, 2.0, 1.0))
    assert volume.array.shape == (1, 4, 5, 6)
    assert (volume.num_channels, volume.shape) == (1, (4, 5, 6))
    assert (volume.spacing_mm, volume.orientation) == ((3.0, 2.0, 1.0), "RAS")


def test_grid_says_the_same(scan: Volume) -> None:
    grid = scan.grid
    assert (grid.shape, grid.num_channels) == ((9, 10, 11), 1)
    assert grid.spacing_mm == scan.spacing_mm
    assert grid.orientation == scan.orientation == "LPS"
    np.testing.assert_array_equal(grid.affine, scan.affine)


@pytest.mark.parametrize("shape", [(4, 5), (1, 1, 4, 5, 6), (0, 4, 5)])
def test_other_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="each axis at least 1"):
        Volume(np.zeros(shape), np.eye(4))


@pytest.mark.parametrize("affine", [np.eye(3), np.full((4, 4), np.nan)], ids=["3x3", "nan"])
def test_a_false_affine_is_refused(affine: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="4×4 and finite"):
        Volume(np.zeros((2, 2, 2)), affine)
