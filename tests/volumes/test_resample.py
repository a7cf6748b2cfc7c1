from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.errors import ConfigError, ShapeError, VolumeError
from volunet.volumes import (
    Grid,
    Volume,
    affine_of,
    conform,
    conform_labels,
    labels_onto,
    plan_conform,
    reorient,
    scores_onto,
)
from volunet.volumes.axes import array_affine

CODES = [
    "".join(letters[axis] for axis in order)
    for order in itertools.permutations(range(3))
    for letters in itertools.product("RL", "AP", "SI")
]
UNIT = (1.0, 1.0, 1.0)


def one_hot(labels: Volume, values: list[int]) -> Volume:
    return labels.with_array(np.stack([labels.array[0] == v for v in values]).astype(np.float32))


def points(grid: Grid) -> np.ndarray:
    """Where each voxel lies, (D, H, W, 3) in mm."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    affine = array_affine(grid.affine)
    return index @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize("code", CODES)
def test_reorient_moves_no_voxel_and_copies_none(scan: Volume, code: str) -> None:
    turned = reorient(scan, code)
    assert turned.orientation == code
    assert np.shares_memory(turned.array, scan.array)
    # every value still lies at its own point: sort both lists of points by value
    order, same = np.argsort(scan.array, axis=None), np.argsort(turned.array, axis=None)
    unique = np.diff(np.sort(scan.array, axis=None)) > 0
    keep = np.r_[True, unique] & np.r_[unique, True]
    before, after = points(scan.grid).reshape(-1, 3), points(turned.grid).reshape(-1, 3)
    # float64 sums of terms of about 1000 mm
    np.testing.assert_allclose(before[order][keep], after[same][keep], atol=1e-9)
    back = reorient(turned, scan.orientation)
    np.testing.assert_array_equal(back.array, scan.array)
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-9)


@pytest.mark.parametrize("code", CODES)
def test_label_maps_come_back_identical_from_all_48_orientations(
    oblique_affine: np.ndarray, code: str
) -> None:
    values = [0, 2, 300, 7]
    noise = np.random.default_rng(5).choice(values, (5, 6, 7)).astype(np.int16)
    labels = Volume(noise, oblique_affine)
    there = conform_labels(labels, code, None)
    assert (there.orientation, there.array.dtype) == (code, np.int16)
    np.testing.assert_array_equal(there.array, reorient(labels, code).array)
    back = labels_onto(one_hot(there, values), labels.grid, values)
    assert back.array.dtype == np.uint16
    np.testing.assert_array_equal(back.array, labels.array)
    np.testing.assert_array_equal(back.affine, labels.affine)


@pytest.mark.parametrize("code", CODES)
def test_big_structures_come_back_from_another_spacing(
    oblique_affine: np.ndarray, code: str
) -> None:
    labels = np.zeros((12, 24, 30), np.uint8)
    labels[2:9, 4:15, 5:24] = 1
    labels[3:7, 7:12, 9:17] = 2
    volume = Volume(labels, oblique_affine)
    model = conform_labels(volume, code, UNIT)
    np.testing.assert_allclose(model.spacing_mm, UNIT, rtol=1e-12)
    back = labels_onto(one_hot(model, [0, 1, 2]), volume.grid, [0, 1, 2])
    for value in (1, 2):
        here, there = labels == value, back.array[0] == value
        overlap = 2 * (here & there).sum() / (here.sum() + there.sum())
        # boxes lose some voxels at edges and corners, half a voxel of surface at most
        assert overlap > 0.9


def test_labels_onto_a_grid_of_equal_spacing_is_argmax(oblique_affine: np.ndarray) -> None:
    rng = np.random.default_rng(6)
    scan = Volume(np.zeros((4, 5, 6), np.int16), oblique_affine)
    scores = reorient(scan, "RAS").with_array(rng.normal(size=(3, 4, 5, 6)).astype(np.float16))
    labels = labels_onto(scores, scan.grid, [0, 1, 2])
    expected = reorient(scores.with_array(scores.array.argmax(0)), scan.orientation)
    assert labels.array.dtype == np.uint8
    np.testing.assert_array_equal(labels.array, expected.array)


def test_the_first_class_wins_a_tie() -> None:
    scores = Volume.of_array(np.ones((3, 2, 2, 2), np.float32), UNIT)
    assert set(labels_onto(scores, scores.grid, [4, 5, 6]).array.ravel()) == {4}


def test_labels_onto_leaves_the_scores_as_they_were() -> None:
    array = np.random.default_rng(6).normal(size=(3, 4, 5, 6)).astype(np.float32)
    scores = Volume.of_array(array.copy(), UNIT)
    labels_onto(scores, scores.grid, [0, 1, 2])
    np.testing.assert_array_equal(scores.array, array)


def test_labels_onto_is_argmax_of_scores_onto(oblique_affine: np.ndarray) -> None:
    scan = Grid((7, 21, 25), oblique_affine)
    model = plan_conform(scan, "RAS", (1.5, 1.5, 1.5))
    noise = np.random.default_rng(7).normal(size=(4, *model.shape)).astype(np.float32)
    scores = Volume(noise, model.affine)
    full = scores_onto(scores, scan)
    assert (full.array.shape, full.array.dtype) == ((4, 7, 21, 25), np.float32)
    labels = labels_onto(scores, scan, [0, 1, 2, 3])
    np.testing.assert_array_equal(labels.array[0], full.array.argmax(0))


@given(
    spacing=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    code=st.sampled_from(CODES),
    shape=st.tuples(*[st.integers(1, 14)] * 3),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_ramp_in_space_stays_that_ramp(
    spacing: tuple[float, float, float], code: str, shape: tuple[int, int, int]
) -> None:
    affine = np.eye(4)
    c, s = np.cos(0.4), np.sin(0.4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([-0.7, 0.9, 3.0])
    affine[:3, 3] = (-20.0, 30.0, 10.0)
    grid = Grid(shape, affine)
    slope = np.array([1.5, -0.5, 0.25])
    ramp = Volume((points(grid) @ slope).astype(np.float32), affine)
    new = conform(ramp, code, spacing)
    for read, wanted, got in zip(spacing, new.spacing_mm, new.shape, strict=True):
        assert wanted == pytest.approx(read, rel=1.1e-3)  # spacings within 0.1 % are left
        assert got >= 1
    where = points(new.grid)
    inverse = np.linalg.inv(array_affine(affine))
    index = where @ inverse[:3, :3].T + inverse[:3, 3]
    inside = ((index >= 0) & (index <= np.subtract(shape, 1))).all(-1)
    # values of up to 100 in float32, three interpolations: 100 × 6e-8 × 3, doubled
    np.testing.assert_allclose(new.array[0][inside], (where @ slope)[inside], atol=4e-5)
    back = scores_onto(new, grid)
    assert back.shape == shape
    assert np.isfinite(back.array).all()


def test_the_outer_face_stays_and_the_size_is_rounded() -> None:
    grid = Grid((10, 7, 5), affine_of((3.0, 1.0, 2.0), (100.0, 200.0, 300.0)))
    new = plan_conform(grid, "RAS", (1.0, 2.0, 0.8))
    assert new.shape == (30, 4, 12)  # 30, 3.5 to even, 12.5 to even
    np.testing.assert_allclose(new.affine[:3, 3], (100 - 1 + 0.4, 200 - 0.5 + 1, 300 - 1.5 + 0.5))


def test_outside_the_centres_the_edge_goes_on() -> None:
    volume = Volume.of_array(np.arange(4, dtype=np.int16).reshape(1, 1, 4), UNIT)
    new = conform(volume, "RAS", (1.0, 1.0, 0.5))
    assert new.array.dtype == np.float32
    assert new.array.ravel().tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("step", [0.4, 1.0, 3.0])
def test_an_axis_of_one_voxel(axis: int, step: float, oblique_affine: np.ndarray) -> None:
    shape = [6, 6, 6]
    shape[axis] = 1
    labels = Volume(np.full(shape, 3, np.uint8), oblique_affine)
    spacing = (step, step, step)
    model = conform_labels(labels, "any", spacing)
    assert model.shape == plan_conform(labels.grid, "any", spacing).shape
    assert set(model.array.ravel()) == {3}
    back = labels_onto(one_hot(model, [0, 3]), labels.grid, [0, 3])
    np.testing.assert_array_equal(back.array, labels.array)


def test_equal_spacing_changes_no_number(scan: Volume) -> None:
    d, h, w = scan.spacing_mm
    same = conform(scan, "any", (d * 1.0009, h, w * 0.9992))
    np.testing.assert_array_equal(same.array, scan.array)
    np.testing.assert_allclose(same.affine, scan.affine, rtol=1e-14)
    assert same.array.flags.c_contiguous
    other = conform(scan, "any", (d * 1.002, h, w))
    assert not np.array_equal(other.array, scan.array)
    assert other.spacing_mm[0] == pytest.approx(d * 1.002, rel=1e-12)


def test_labels_are_never_in_between() -> None:
    labels = np.zeros((1, 1, 6), np.float32)
    labels[..., 3:] = 10
    new = conform_labels(Volume.of_array(labels, UNIT), "RAS", (1.0, 1.0, 0.25))
    assert new.array.ravel().tolist() == [0] * 12 + [10] * 12
    assert new.array.dtype == np.float32


def test_three_labels_that_meet_are_weighed_together() -> None:
    row = np.array([1, 5, 9], np.int32).reshape(1, 1, 3)
    new = conform_labels(Volume.of_array(row, UNIT), "RAS", (1.0, 1.0, 1.5))
    # centres at 0.25 and 1.75: three quarters of 1 and of 9
    assert new.array.ravel().tolist() == [1, 9]


def test_a_sheared_scan_comes_back(oblique_affine: np.ndarray) -> None:
    sheared = oblique_affine.copy()
    sheared[0, 2] += 0.05
    labels = Volume(np.random.default_rng(8).integers(0, 3, (5, 6, 7)).astype(np.uint8), sheared)
    there = conform_labels(labels, "RAS", None)
    back = labels_onto(one_hot(there, [0, 1, 2]), labels.grid, [0, 1, 2])
    np.testing.assert_array_equal(back.array, labels.array)


def test_an_axis_at_45_degrees_comes_back() -> None:
    c = np.sqrt(0.5)
    affine = np.array([[c, -c, 0, 0], [c, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    labels = Volume(np.random.default_rng(9).integers(0, 3, (5, 6, 7)).astype(np.uint8), affine)
    for code in CODES:
        there = conform_labels(labels, code, None)
        back = labels_onto(one_hot(there, [0, 1, 2]), labels.grid, [0, 1, 2])
        np.testing.assert_array_equal(back.array, labels.array)


@pytest.mark.parametrize("spacing", [(1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (np.nan, 1.0, 1.0)])
def test_false_spacings_are_refused(scan: Volume, spacing: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match=r"spacing_mm: .*\n.*above 0"):
        conform(scan, "RAS", spacing)


def test_a_false_orientation_is_refused(scan: Volume) -> None:
    with pytest.raises(ConfigError, match="'RAX'"):
        conform(scan, "RAX", None)


def test_values_and_channels_must_be_as_many() -> None:
    scores = Volume.of_array(np.ones((3, 2, 2, 2), np.float32), UNIT)
    with pytest.raises(ShapeError, match="3 channels of scores, 2 label values"):
        labels_onto(scores, scores.grid, [0, 1])


def test_scores_of_another_scan_are_refused(scan: Volume) -> None:
    scores = Volume.of_array(np.ones((2, 9, 10, 11), np.float32), UNIT)
    with pytest.raises(VolumeError, match="drift apart"):
        labels_onto(scores, scan.grid, [0, 1])
