"""One patient: dimensions, pose and densities, drawn at random, and the tissue at every point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from volunet.datasets.phantom.femur import Femur
from volunet.datasets.phantom.hip_bone import HipBone
from volunet.datasets.phantom.shapes import Distances, Points, smooth_union
from volunet.datasets.phantom.trunk import Trunk

_SACRUM_CORTEX_MM = 1.8
_SACROILIAC_GAP_MM = 2.5


@dataclass(frozen=True)
class Densities:
    """Mean CT number of each tissue in HU.

    Source:
        Ordinary adult ranges: cortical bone 1000 to 1500, trabecular bone 200 to 400, marrow of
        the shaft −50 to 50, muscle 40 to 60, fat −110 to −90, urine 0 to 15, air −1000.
    """

    cortex: float
    trabecular: float
    marrow: float
    muscle: float
    fat: float
    urine: float
    air: float = -1000.0


@dataclass(frozen=True)
class Side:
    """The bones of one side and the joint between them.

    Args:
        sign: −1 for the patient's left, +1 for the right: x in RAS+ grows to the right.
        hip_label: Value of the hip bone in the label map.
        femur_label: Value of the femur in the label map.
        joint_mm: Width of the gap between femoral head and acetabulum.
        hip: The hip bone.
        femur: The femur.
        thigh_mm: Radius of the thigh at its upper end.
    """

    sign: int
    hip_label: int
    femur_label: int
    joint_mm: float
    hip: HipBone
    femur: Femur
    thigh_mm: float

    def own_points(self, points: Points) -> Points:
        """Turn body points (3, N) into (lateral, anterior, superior) from the head's centre."""
        return np.stack([self.sign * points[0] - self.hip.midline_mm, points[1], points[2]])


@dataclass(frozen=True)
class Tissue:
    """What stands at each of N points.

    Attributes:
        hu: CT number, (N,).
        label: Value in the label map, (N,).
        margin_mm: No border of a tissue is nearer than about this, (N,).
    """

    hu: NDArray[np.float32]
    label: NDArray[np.uint8]
    margin_mm: Distances


@dataclass(frozen=True)
class Patient:
    """A body in its pose.

    Args:
        scale: Size relative to the average adult.
        rotation: 3×3, body → world.
        centre_mm: World place of the point midway between the femoral heads, (x, y, z).
        sides: Left and right.
        trunk: What surrounds them.
        densities: CT numbers.
    """

    scale: float
    rotation: NDArray[np.float64]
    centre_mm: NDArray[np.float64]
    sides: tuple[Side, Side]
    trunk: Trunk
    densities: Densities

    def head_centre_mm(self, side: Side) -> NDArray[np.float64]:
        """World place of the centre of a femoral head, RAS+ (x, y, z)."""
        body = np.array([side.sign * side.hip.midline_mm, 0.0, 0.0])
        return np.asarray(self.rotation @ (self.scale * body) + self.centre_mm)

    def tissue(self, world_points: Points) -> Tissue:
        """What stands at points (3, N), world mm, RAS+.

        The femurs are carved out of the hip bones, and the hip bones out of the sacrum, each with
        the width of its joint: so no pose of a femur makes bones overlap.
        """
        turn = (self.rotation.T / self.scale).astype(np.float32)
        points = turn @ (world_points - self.centre_mm.astype(np.float32)[:, np.newaxis])
        d = self.densities
        canvas = _Canvas(points.shape[1], d.air)
        skin = self.trunk.skin(points)
        sides = [(side, side.own_points(points)) for side in self.sides]
        legs = [(side, own, side.femur.own_points(own)) for side, own in sides]
        for side, _, leg in legs:
            skin = smooth_union(skin, side.femur.thigh(leg, side.thigh_mm), 15.0)
        canvas.fill(skin, d.fat)
        canvas.fill(skin + self.trunk.fat_mm, d.muscle)
        cavity = np.maximum(self.trunk.cavity(points), skin + self.trunk.fat_mm + 10.0)
        canvas.fill(cavity, d.fat + 15.0)
        canvas.fill(self.trunk.bladder(points), d.urine)
        spine = self.trunk.spine(points)
        for side, own, leg in legs:
            femur = side.femur.distance(leg)
            hip = np.maximum(side.hip.distance(own), side.joint_mm - femur)
            spine = np.maximum(spine, _SACROILIAC_GAP_MM - hip)
            canvas.fill(hip, d.cortex, side.hip_label)
            canvas.fill(hip + side.hip.cortex_mm, d.trabecular, side.hip_label)
            canvas.fill(femur, d.cortex, side.femur_label)
            inside = d.trabecular + side.femur.marrow_share(leg) * (d.marrow - d.trabecular)
            canvas.fill(femur + side.femur.cortex_mm(leg), inside, side.femur_label)
        canvas.fill(spine, d.cortex)
        canvas.fill(spine + _SACRUM_CORTEX_MM, 0.8 * d.trabecular)
        return Tissue(canvas.hu, canvas.label, canvas.margin * self.scale)


class _Canvas:
    """Paints one tissue over another and keeps how near the nearest border is."""

    def __init__(self, num_points: int, background_hu: float) -> None:
        self.hu = np.full(num_points, background_hu, dtype=np.float32)
        self.label = np.zeros(num_points, dtype=np.uint8)
        self.margin = np.full(num_points, np.inf, dtype=np.float32)

    def fill(self, distance: Distances, hu: float | Distances, label: int = 0) -> None:
        inside = distance < 0.0
        self.hu = np.where(inside, np.float32(hu), self.hu)
        self.label[inside] = label
        self.margin = np.minimum(self.margin, np.abs(distance))


def draw_patient(rng: np.random.Generator, centre_mm: NDArray[np.float64]) -> Patient:
    """Draw a patient whose femoral heads lie about `centre_mm` in the world.

    Args:
        rng: The source of every number.
        centre_mm: World place of the middle between the femoral heads, before a random shift.
    """
    scale = rng.uniform(0.88, 1.12)
    turn = Rotation.from_euler("xyz", rng.uniform(-12.0, 12.0, size=3), degrees=True)
    shift = rng.uniform(-1.0, 1.0, size=3) * (14.0, 10.0, 10.0)
    midline = rng.uniform(84.0, 91.0)
    radius = rng.uniform(22.0, 26.0)
    joint = rng.uniform(3.5, 4.5)
    symphysis = rng.uniform(4.0, 6.0)
    wing = rng.uniform(7.0, 10.0)
    thigh = rng.uniform(80.0, 90.0)
    hip = HipBone(midline, radius + joint, symphysis, wing)
    sides = [
        Side(sign, hip_label, femur_label, joint, hip, _draw_femur(rng, radius), thigh)
        for sign, hip_label, femur_label in ((-1, 1, 3), (1, 2, 4))
    ]
    trunk = Trunk(
        half_width_mm=rng.uniform(168.0, 184.0),
        half_depth_mm=rng.uniform(106.0, 118.0),
        fat_mm=rng.uniform(10.0, 22.0),
        bladder_mm=rng.uniform(22.0, 34.0),
    )
    densities = Densities(
        cortex=rng.uniform(1100.0, 1400.0),
        trabecular=rng.uniform(220.0, 380.0),
        marrow=rng.uniform(-40.0, 40.0),
        muscle=rng.uniform(42.0, 58.0),
        fat=rng.uniform(-110.0, -92.0),
        urine=rng.uniform(0.0, 15.0),
    )
    left, right = sides
    return Patient(scale, turn.as_matrix(), centre_mm + shift, (left, right), trunk, densities)


def _draw_femur(rng: np.random.Generator, head_radius_mm: float) -> Femur:
    flexion, rotation, abduction = rng.uniform(-1.0, 1.0, size=3) * (15.0, 10.0, 8.0)
    pose = Rotation.from_euler("yzx", [abduction, rotation, flexion], degrees=True)
    return Femur(
        head_radius_mm=head_radius_mm,
        neck_length_mm=rng.uniform(49.0, 57.0),
        neck_shaft_deg=rng.uniform(121.0, 134.0),
        anteversion_deg=rng.uniform(6.0, 18.0),
        rotation=pose.as_matrix(),
    )
