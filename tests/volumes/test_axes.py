from __future__ import annotations

import itertools

import numpy as np
import pytest

from volunet.errors import ConfigError
from volunet.volumes.axes import (
    affine_of,
    affine_of_itk,
    array_affine,
    array_steps,
    axes_of_orientation,
    from_nifti_order,
    itk_geometry,
    orientation_of,
    to_nifti_order,
)

CODES = [
    "".join(letters[axis] for axis in order)
    for order in itertools.permutations(range(3))
    for letters in itertools.product("RL", "AP", "SI")
]


def test_nifti_order_and_back_names_every_voxel() -> None:
    array = np.arange(24).reshape(2, 3, 4)  # i, j, k
    volume = from_nifti_order(array)
    assert volume.shape == (1, 4, 3, 2)
    assert volume[0, 3, 2, 1] == array[1, 2, 3]
    np.testing.assert_array_equal(to_nifti_order(volume), array)


@pytest.mark.parametrize("code", CODES)
def test_code_becomes_axes_becomes_the_code(code: str) -> None:
    axes, signs = axes_of_orientation(code)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for index, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, index] = sign * (index + 1.0)
    assert orientation_of(affine) == code


@pytest.mark.parametrize("code", ["RA", "RRS", "RASR", "ras", "XYZ", ""])
def test_a_false_code_is_refused(code: str) -> None:
    with pytest.raises(ConfigError, match="three letters, one of R or L"):
        axes_of_orientation(code)


def test_an_axis_at_45_degrees_still_gets_three_axes() -> None:
    c = np.sqrt(0.5)
    affine = np.array([[c, -c, 0, 0], [c, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert len(set(orientation_of(affine))) == 3


def test_array_affine_takes_d_h_w() -> None:
    affine = affine_of((3.0, 2.0, 1.0), (10.0, 20.0, 30.0))
    np.testing.assert_array_equal(array_affine(affine) @ [1, 1, 1, 1], [11.0, 22.0, 33.0, 1.0])
    np.testing.assert_array_equal(array_affine(affine) @ [1, 0, 0, 1], [10.0, 20.0, 33.0, 1.0])
    np.testing.assert_array_equal(array_affine(array_affine(affine)), affine)


def test_array_steps_from_ras() -> None:
    assert array_steps(np.eye(4), "RAS") == ((0, 1, 2), (False, False, False))
    # i grows to inferior, so W is the old D reversed; k grows to the right, so D is the old W.
    assert array_steps(np.eye(4), "IAR") == ((2, 1, 0), (False, False, True))


def test_itk_geometry_and_back(oblique_affine: np.ndarray) -> None:
    spacing, origin, direction = itk_geometry(oblique_affine)
    # one rounding of a division and a multiplication in float64
    np.testing.assert_allclose(spacing, (0.7, 0.9, 3.0), rtol=1e-14)
    assert origin == (-91.25, 40.5, 1013.125)
    np.testing.assert_allclose(affine_of_itk(spacing, origin, direction), oblique_affine, 1e-14)
