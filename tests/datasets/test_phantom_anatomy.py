"""The bones as shapes: angles, lengths and gaps that an anatomist would measure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from volunet.datasets.phantom.femur import Femur
from volunet.datasets.phantom.hip_bone import HipBone
from volunet.datasets.phantom.patient import Patient, draw_patient

SEEDS = (0, 1, 2, 3)


def patient_of(seed: int) -> Patient:
    return draw_patient(np.random.default_rng(seed), np.zeros(3))


def grid(low: tuple[int, int, int], high: tuple[int, int, int], step: float) -> np.ndarray:
    axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
    return np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")]).astype(np.float32)


@pytest.mark.parametrize("angle", [120.0, 135.0])
def test_neck_meets_the_shaft_at_the_angle_asked_for(angle: float) -> None:
    femur = Femur(24.0, 52.0, angle, 12.0)
    cosine = float(femur.neck_direction @ femur.shaft_direction)
    assert np.degrees(np.arccos(cosine)) == pytest.approx(angle)
    assert np.linalg.norm(femur.neck_base) == pytest.approx(52.0)
    assert femur.neck_direction[0] < 0 < femur.neck_direction[1]  # medial and forward
    assert femur.neck_base[0] > 25.0  # the shaft is lateral of the head


def test_head_is_a_sphere_and_the_canal_lies_in_the_shaft() -> None:
    femur = Femur(24.0, 52.0, 127.0, 12.0)
    medial = np.array([[-24.0, 0, 0], [0, 0, 24.0], [0, 24.0, 0], [0, -24.0, 0]], np.float32)
    # The neck's blend may move the surface where it begins, not by a tenth of the radius.
    np.testing.assert_allclose(femur.distance(medial.T), 0.0, atol=1.0)
    place = femur.neck_base + 120.0 * femur.shaft_direction
    shaft = place.astype(np.float32)[:, None]
    assert femur.distance(shaft)[0] == pytest.approx(-14.0, abs=0.7)
    assert femur.cortex_mm(shaft)[0] == pytest.approx(6.0)
    assert femur.marrow_share(shaft)[0] == 1.0
    head = np.zeros((3, 1), dtype=np.float32)
    assert femur.marrow_share(head)[0] == 0.0
    assert femur.cortex_mm(head)[0] == pytest.approx(2.0)


def test_greater_trochanter_is_lateral_and_reaches_the_level_of_the_head_centre() -> None:
    points = grid((20, -60, -100), (100, 50, 40), 2.0)
    bone = points[:, Femur(24.0, 52.0, 127.0, 12.0).distance(points) < 0]
    tip = bone[:, bone[0] > 38.0]
    assert -14.0 < tip[2].max() < 10.0


def test_hip_bone_has_the_size_of_an_adults() -> None:
    points = grid((-100, -125, -125), (80, 75, 150), 2.5)
    hip = HipBone(midline_mm=87.0, socket_radius_mm=28.0, symphysis_mm=5.0, wing_mm=8.0)
    inside = hip.distance(points) < 0
    bone = points[:, inside]
    height, depth = np.ptp(bone[2]), np.ptp(bone[1])
    assert 200.0 < height < 235.0
    assert 135.0 < depth < 175.0
    assert bone[0].min() == pytest.approx(-87.0 + 2.5, abs=2.6)  # the symphysis, one step wide
    _, pieces = ndimage.label(inside.reshape(72, 80, 110))
    assert pieces == 1


def test_obturator_foramen_is_a_hole_through_the_hip_bone() -> None:
    points = grid((-100, -125, -125), (80, 75, 0), 2.5)
    hip = HipBone(midline_mm=87.0, socket_radius_mm=28.0, symphysis_mm=5.0, wing_mm=8.0)
    shadow = (hip.distance(points) < 0).reshape(72, 80, 50).any(axis=0)
    holes, count = ndimage.label(ndimage.binary_fill_holes(shadow) & ~shadow)
    assert count >= 1
    assert np.bincount(holes.ravel())[1:].max() * 2.5**2 > 400.0  # mm², seen from the side


@pytest.mark.parametrize("seed", SEEDS)
def test_joint_gap_is_thin_and_never_closed(seed: int) -> None:
    patient = patient_of(seed)
    for side in patient.sides:
        u = np.random.default_rng(seed).normal(size=(3, 4000))
        u /= np.linalg.norm(u, axis=0)
        for share, expected in ((0.5, 0), (1.2, side.hip_label)):
            radius = side.femur.head_radius_mm + share * side.joint_mm
            sphere = patient.scale * radius * u + patient.head_centre_mm(side)[:, None]
            found = set(np.unique(patient.tissue(sphere.astype(np.float32)).label))
            if expected == 0:
                assert found <= {0, side.femur_label}  # gap, or the neck that passes through it
            else:
                assert expected in found


@pytest.mark.parametrize("seed", SEEDS)
def test_tissue_has_the_densities_that_were_drawn(seed: int) -> None:
    patient = patient_of(seed)
    left = patient.sides[0]
    head = patient.head_centre_mm(left).astype(np.float32)[:, None]
    found = patient.tissue(head)
    assert found.hu[0] == pytest.approx(patient.densities.trabecular, abs=1e-3)
    assert found.label[0] == left.femur_label == 3
    air = patient.tissue(np.array([[900.0], [0.0], [0.0]], dtype=np.float32))
    assert air.hu[0] == -1000.0
    assert air.label[0] == 0
    assert air.margin_mm[0] > 500.0


def test_margin_is_no_larger_than_the_distance_to_another_tissue() -> None:
    patient = patient_of(5)
    points = grid((-160, -120, -100), (160, 110, 120), 16.0)
    here = patient.tissue(points)
    reach = 6.0
    deep = here.margin_mm > 1.15 * reach
    rng = np.random.default_rng(0)
    for _ in range(8):
        step = rng.normal(size=(3, 1))
        near = patient.tissue(points + (reach * step / np.linalg.norm(step)).astype(np.float32))
        assert np.array_equal(near.label[deep], here.label[deep])
    assert 0.2 < deep.mean() < 0.95
