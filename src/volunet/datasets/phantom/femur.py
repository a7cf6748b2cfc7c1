"""The proximal femur: head, neck, both trochanters and the upper shaft, as one shape.

Coordinates are (lateral, anterior, superior) in mm from the centre of the femoral head, so that
one description serves the left and the right side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from volunet.datasets.phantom.shapes import (
    Distances,
    Point,
    Points,
    ball,
    only_in_box,
    ramp,
    rod,
    smooth_union,
)

_SHAFT_LENGTH_MM = 300.0
_VALGUS = math.radians(6.0)
"""Angle of the shaft's axis to the vertical: the knee is nearer to the midline than the hip."""


@dataclass(frozen=True)
class Femur:
    """Dimensions and pose of one femur.

    Args:
        head_radius_mm: Radius of the head, a sphere.
        neck_length_mm: From the centre of the head to the axis of the shaft.
        neck_shaft_deg: Angle between the neck and the shaft.
        anteversion_deg: Angle by which the neck points forward, about the shaft's axis.
        rotation: 3×3, turns the neutral femur into its pose about the head's centre.

    Source:
        Ordinary adult ranges: head diameter 40 to 54 mm, neck-shaft angle 120° to 135°,
        anteversion 5° to 20°, shaft diameter 26 to 30 mm, its cortex 5 to 7 mm.
    """

    head_radius_mm: float
    neck_length_mm: float
    neck_shaft_deg: float
    anteversion_deg: float
    rotation: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    @property
    def shaft_direction(self) -> NDArray[np.float64]:
        """Unit vector down the shaft of the neutral femur."""
        return np.array([-math.sin(_VALGUS), 0.0, -math.cos(_VALGUS)])

    @property
    def neck_direction(self) -> NDArray[np.float64]:
        """Unit vector from the shaft up the neck to the head of the neutral femur."""
        angle = math.radians(self.neck_shaft_deg)
        return math.cos(angle) * self.shaft_direction + math.sin(angle) * self._medial

    @property
    def neck_base(self) -> NDArray[np.float64]:
        """Where the neck's axis meets the shaft's axis, neutral femur."""
        return -self.neck_length_mm * self.neck_direction

    def own_points(self, points: Points) -> Points:
        """Turn points (3, N) back into the neutral femur's frame."""
        return np.asarray(self.rotation.T.astype(np.float32) @ points)

    def distance(self, own_points: Points) -> Distances:
        """Signed distance in mm of points (3, N) in the neutral femur's frame, (N,)."""
        low, high = (-60.0, -70.0, -400.0), (110.0, 60.0, 50.0)
        return only_in_box(self._distance, own_points, low, high)

    def cortex_mm(self, own_points: Points) -> Distances:
        """Thickness of the cortical shell: thin round the head, thick round the shaft."""
        return np.asarray(2.0 + 4.0 * ramp(self._depth(own_points), 0.0, 75.0))

    def marrow_share(self, own_points: Points) -> Distances:
        """0 where the inside is trabecular bone, 1 in the shaft's canal."""
        return ramp(self._depth(own_points), 25.0, 80.0)

    def thigh(self, own_points: Points, radius_mm: float) -> Distances:
        """Distance to the skin of the thigh, which follows the shaft."""
        base, down = self.neck_base, self.shaft_direction
        start, end = base - 25.0 * down, base + _SHAFT_LENGTH_MM * down
        inward = np.array([-26.0, -2.0, 0.0])
        radii = (radius_mm, 0.78 * radius_mm)
        return rod(own_points, _point(start + inward), _point(end + 0.5 * inward), radii)

    @property
    def _medial(self) -> NDArray[np.float64]:
        turn = math.radians(self.anteversion_deg)
        across = np.array([-math.cos(_VALGUS), 0.0, math.sin(_VALGUS)])
        return math.cos(turn) * across + math.sin(turn) * np.array([0.0, 1.0, 0.0])

    def _depth(self, own_points: Points) -> Distances:
        down, base = self.shaft_direction, self.neck_base
        x, y, z = (float(value) for value in down)
        along = own_points[0] * x + own_points[1] * y + own_points[2] * z
        return np.asarray(along - float(down @ base))

    def _distance(self, points: Points) -> Distances:
        base, down, medial = self.neck_base, self.shaft_direction, self._medial
        back = np.array([0.0, -1.0, 0.0])
        radius, middle = self.head_radius_mm, base + 60.0 * down

        neck = rod(points, (0.0, 0.0, 0.0), _point(base), (0.62 * radius, 0.78 * radius))
        shape = smooth_union(ball(points, (0.0, 0.0, 0.0), radius), neck, 5.0)
        flare = rod(points, _point(base), _point(middle), (19.0, 14.5))
        shaft = rod(points, _point(middle), _point(base + _SHAFT_LENGTH_MM * down), (14.5, 13.0))
        shape = smooth_union(shape, np.minimum(flare, shaft), 10.0)
        foot = base - 9.0 * medial + 4.0 * down
        tip = base - 12.0 * medial - 21.0 * down + 7.0 * back
        shape = smooth_union(shape, rod(points, _point(foot), _point(tip), (16.0, 11.5)), 8.0)
        lesser = base + 36.0 * down + 13.0 * medial + 9.0 * back
        return smooth_union(shape, ball(points, _point(lesser), 9.0), 10.0)


def _point(vector: NDArray[np.float64]) -> Point:
    x, y, z = (float(value) for value in vector)
    return x, y, z
