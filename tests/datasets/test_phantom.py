"""Phantoms as scans: seeds, sides, landmarks, CT numbers, partial volume, sizes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from volunet.datasets.phantom import CLASSES, LANDMARKS, Phantom, make_phantom
from volunet.errors import ConfigError

SEEDS = (0, 1, 2, 3, 4, 5)
FINE_MM = ((3.0, 3.0), (2.0, 2.0), (2.5, 2.5))


@cache
def phantom_of(seed: int) -> Phantom:
    return make_phantom(seed)


@cache
def fine() -> Phantom:
    return make_phantom(1, FINE_MM)


def places_of(phantom: Phantom, mask: np.ndarray) -> np.ndarray:
    """Places (N, 3) in mm, RAS+, of the voxels of a (D, H, W) mask."""
    ijk = np.argwhere(mask)[:, ::-1]
    affine = phantom.image.affine
    return ijk @ affine[:3, :3].T + affine[:3, 3]


def test_the_seed_determines_everything() -> None:
    again = make_phantom(3)
    first = phantom_of(3)
    np.testing.assert_array_equal(again.image.array, first.image.array)
    np.testing.assert_array_equal(again.label.array, first.label.array)
    np.testing.assert_array_equal(again.image.affine, first.image.affine)
    assert again.landmarks_mm == first.landmarks_mm


def test_phantoms_differ_in_size_spacing_origin_and_pose() -> None:
    phantoms = [phantom_of(seed) for seed in SEEDS]
    assert len({phantom.image.shape for phantom in phantoms}) == len(SEEDS)
    assert len({phantom.image.spacing_mm for phantom in phantoms}) == len(SEEDS)
    assert len({tuple(phantom.image.affine[:3, 3]) for phantom in phantoms}) == len(SEEDS)
    assert len({phantom.landmarks_voxel[LANDMARKS[0]] for phantom in phantoms}) == len(SEEDS)
    assert any(size % 2 for phantom in phantoms for size in phantom.image.shape)


@pytest.mark.parametrize("seed", SEEDS)
def test_grid_is_small_anisotropic_and_ras(seed: int) -> None:
    image, label = phantom_of(seed).image, phantom_of(seed).label
    depth, height, width = image.shape
    assert 42 <= depth <= 66
    assert 50 <= height <= 70
    assert 70 <= width <= 96
    spacing = image.spacing_mm
    assert 4.8 <= spacing[0] <= 6.0
    assert spacing[1] == pytest.approx(spacing[2])  # square pixels
    assert spacing[0] != pytest.approx(spacing[1])
    assert image.orientation == "RAS"
    assert image.array.dtype == np.int16
    assert label.array.dtype == np.uint8
    assert image.array.shape == label.array.shape == (1, depth, height, width)
    np.testing.assert_array_equal(image.affine, label.affine)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_label_is_there_with_a_plausible_volume(seed: int) -> None:
    label = phantom_of(seed).label
    assert np.unique(label.array).tolist() == list(range(len(CLASSES)))
    voxel_ml = np.prod(label.spacing_mm) / 1000.0
    volumes = np.bincount(label.array.ravel())[1:] * voxel_ml
    # Adult hip bones are about 300 to 400 ml; the size varies by ±12 % an axis, ±40 % in volume.
    assert ((volumes[:2] > 180.0) & (volumes[:2] < 520.0)).all()
    # The field of view cuts the femur at mid-thigh: 110 to 360 ml of it are inside.
    assert ((volumes[2:] > 110.0) & (volumes[2:] < 360.0)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_each_bone_is_in_one_piece(seed: int) -> None:
    label = phantom_of(seed).label.array[0]
    for value in range(1, 5):
        _, pieces = ndimage.label(label == value, np.ones((3, 3, 3)))
        assert pieces == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_left_has_the_smaller_x_because_ras_grows_to_the_right(seed: int) -> None:
    phantom = phantom_of(seed)
    left, right = (phantom.landmarks_mm[name] for name in LANDMARKS)
    assert left[0] < right[0]
    x = [places_of(phantom, phantom.label.array[0] == v)[:, 0].mean() for v in range(5)]
    assert x[1] < x[2]
    assert x[3] < x[1]  # the left femur is lateral of the left hip
    assert x[2] < x[4]


@pytest.mark.parametrize("seed", SEEDS)
def test_landmark_lies_at_the_centre_of_the_head(seed: int) -> None:
    phantom = phantom_of(seed)
    label = phantom.label.array[0]
    for name, value in zip(LANDMARKS, (3, 4), strict=True):
        i, j, k = (round(index) for index in phantom.landmarks_voxel[name])
        assert label[k, j, i] == value
        place = np.array(phantom.landmarks_mm[name])
        inside = places_of(phantom, label == value)
        head = inside[np.linalg.norm(inside - place, axis=1) < 25.0]
        # The neck fills the ball on one side only, and voxels are 5 mm: a few mm off is right.
        assert np.linalg.norm(head.mean(axis=0) - place) < 4.0


def test_landmark_is_where_a_sphere_fits_the_head_best() -> None:
    phantom = fine()
    label = phantom.label.array[0]
    for name, value, inward in zip(LANDMARKS, (3, 4), (1.0, -1.0), strict=True):
        place = np.array(phantom.landmarks_mm[name])
        shell = (label == value) & ~ndimage.binary_erosion(label == value)
        surface = places_of(phantom, shell) - place
        medial_top = (surface @ (inward, 0.0, 0.6) > 10.0) & (
            np.linalg.norm(surface, axis=1) < 35.0
        )
        cap = surface[medial_top]
        system = np.column_stack([2.0 * cap, np.ones(len(cap))])
        centre = np.linalg.lstsq(system, (cap**2).sum(axis=1), rcond=None)[0][:3]
        # Voxel centres of a shell on a 3×2×2.5 mm grid scatter by about 1 mm.
        assert np.linalg.norm(centre) < 1.5


def test_landmark_indices_are_the_affine_backwards() -> None:
    phantom = phantom_of(2)
    for name in LANDMARKS:
        ijk1 = np.array([*phantom.landmarks_voxel[name], 1.0])
        found = (phantom.image.affine @ ijk1)[:3]
        np.testing.assert_allclose(found, phantom.landmarks_mm[name], atol=1e-6)


def test_tissues_have_their_ct_numbers() -> None:
    phantom = fine()
    hu, label = phantom.image.array[0].astype(float), phantom.label.array[0]
    k, j, i = (round(x) for x in reversed(phantom.landmarks_voxel[LANDMARKS[0]]))
    head = hu[k - 2 : k + 3, j - 3 : j + 4, i - 3 : i + 4]
    assert 200.0 < head.mean() < 400.0
    assert 12.0 < head.std() < 33.0  # noise of 15 to 30 HU, measured on 245 voxels
    assert hu[:, 0, 0].mean() == pytest.approx(-1000.0, abs=8.0)
    body = ndimage.binary_erosion(label == 0, iterations=3) & (hu > -150.0)
    counts, edges = np.histogram(hu[body], bins=np.arange(-150.0, 150.0, 10.0))
    muscle = edges[:-1] > -20.0
    assert 30.0 <= edges[:-1][muscle][counts[muscle].argmax()] <= 60.0
    assert -120.0 <= edges[:-1][~muscle][counts[~muscle].argmax()] <= -80.0
    shaft = label[:6] == 3
    assert np.percentile(hu[:6][shaft], 95) > 1000.0  # cortex
    deep = ndimage.binary_erosion(label == 3, iterations=4)[:6]
    assert -60.0 < np.median(hu[:6][deep]) < 60.0  # marrow


def test_bone_edges_have_partial_volume() -> None:
    phantom = fine()
    hu, label = phantom.image.array[0], phantom.label.array[0]
    femur = label >= 3
    edge = femur & ~ndimage.binary_erosion(femur)
    # Neither soft tissue (about 50, noise 30) nor pure cortex (1100 and more).
    between = (hu[edge] > 200) & (hu[edge] < 1000)
    assert between.mean() > 0.2
    skin = (hu > -900) & (hu < -250)
    assert 0.002 < skin.mean() < 0.1


def test_labels_are_by_majority() -> None:
    coarse = make_phantom(1, ((6.0, 6.0), (6.0, 6.0), (6.0, 6.0))).label
    volumes = [
        np.bincount(label.array.ravel())[1:] * np.prod(label.spacing_mm) / 1000.0
        for label in (coarse, fine().label)
    ]
    # Were one sample enough, or all needed, half a voxel of surface would be off: tens of percent.
    np.testing.assert_allclose(volumes[0], volumes[1], rtol=0.08)


def test_spacing_is_taken_from_its_range() -> None:
    assert fine().image.spacing_mm == pytest.approx((3.0, 2.0, 2.5))
    depth, height, width = fine().image.shape
    assert 87 <= depth <= 104
    assert 131 <= height <= 150
    assert 146 <= width <= 166


@pytest.mark.parametrize(
    ("spacing_mm", "message"),
    [
        (((0.0, 1.0), (1.0, 1.0), (1.0, 1.0)), "spacing_mm, depth: the range 0.0 to 1.0 mm"),
        (((1.0, 1.0), (5.0, 4.0), (1.0, 1.0)), "spacing_mm, height: the range 5.0 to 4.0 mm"),
        (((1.0, 1.0), (1.0, 1.0), (1.0, np.inf)), "spacing_mm, width: the range 1.0 to inf mm"),
        (((1.0, 1.0), (1.0, 1.0), (np.nan, 2.0)), "spacing_mm, width: the range nan to 2.0 mm"),
    ],
    ids=["zero", "reversed", "infinite", "nan"],
)
def test_a_bad_spacing_is_refused(
    spacing_mm: tuple[tuple[float, float], ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_phantom(0, spacing_mm)  # type: ignore[arg-type]
