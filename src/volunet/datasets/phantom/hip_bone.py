"""One half of the pelvis: ilium, acetabulum, ischium and pubis, as one shape.

Coordinates are (lateral, anterior, superior) in mm from the centre of the femoral head, as for
the femur; the body's midline is at lateral = −`midline_mm`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from volunet.datasets.phantom.shapes import (
    Distances,
    Points,
    ball,
    only_in_box,
    polygon,
    ramp,
    rod,
    smooth_cut,
    smooth_union,
)

_WING_POINTS = (
    (32.0, 46.0, 72.0),  # anterior superior iliac spine
    (12.0, 39.0, 36.0),  # anterior inferior iliac spine
    (4.0, 0.0, 32.0),  # roof of the acetabulum
    (52.0, 8.0, 120.0),  # tubercle of the crest
    (40.0, -25.0, 128.0),
    (30.0, 0.0, 75.0),  # bottom of the iliac fossa
    (-4.0, -65.0, 112.0),
    (-46.0, -98.0, 74.0),  # posterior superior iliac spine
    (-40.0, -90.0, 44.0),  # posterior inferior iliac spine
    (-18.0, -48.0, 30.0),  # apex of the greater sciatic notch
)
"""Points (lateral, anterior, superior) that the sheet of the iliac wing passes by."""

_WING_OUTLINE = (
    (42.0, 68.0), (35.0, 54.0), (35.0, 38.0), (22.0, 16.0), (0.0, 6.0), (-26.0, 6.0),
    (-40.0, 20.0), (-50.0, 36.0), (-64.0, 42.0), (-88.0, 46.0), (-93.0, 70.0), (-86.0, 92.0),
    (-66.0, 112.0), (-38.0, 123.0), (-8.0, 124.0), (14.0, 116.0), (32.0, 96.0),
)  # fmt: skip
"""Outline (anterior, superior) of the wing seen from the side, 4 mm inside its edge."""

_RIM_MM = 4.0

_PART_OVERLAP_MM = 15.0
"""How far the parts above and below the socket are worked out past it, to blend there."""


@dataclass(frozen=True)
class HipBone:
    """Dimensions of one half of the pelvis.

    Args:
        midline_mm: From the centre of the femoral head to the body's midline.
        socket_radius_mm: Radius of the acetabulum: the head's radius and the joint gap.
        symphysis_mm: Width of the gap between the halves at the pubis.
        wing_mm: Thickness of the iliac wing where it is thinnest.

    Source:
        Ordinary adult ranges: hip centres 165 to 185 mm apart, crests 270 to 290 mm, height
        200 to 230 mm, cup opening 45° down and 20° forward, symphysis 4 to 6 mm.
    """

    midline_mm: float
    socket_radius_mm: float
    symphysis_mm: float
    wing_mm: float

    cortex_mm = 2.2
    """Thickness of the cortical shell."""

    def distance(self, points: Points) -> Distances:
        """Signed distance in mm of points (3, N), (N,); the socket is not yet hollow."""
        low, high = (-self.midline_mm - 5.0, -125.0, -125.0), (80.0, 75.0, 150.0)
        return only_in_box(self._distance, points, low, high)

    def _distance(self, points: Points) -> Distances:
        upper, lower = -_PART_OVERLAP_MM, 30.0 + _PART_OVERLAP_MM
        wing = only_in_box(self._wing, points, (-200.0, -200.0, upper), (200.0, 200.0, 200.0))
        below = only_in_box(self._below, points, (-200.0, -200.0, -200.0), (200.0, 200.0, lower))
        shape = smooth_union(smooth_union(wing, self._cup(points), 10.0), below, 8.0)
        middle = 0.5 * self.symphysis_mm - self.midline_mm - points[0]
        return np.asarray(np.maximum(shape, middle))

    def _below(self, points: Points) -> Distances:
        return smooth_union(self._ischium(points), self._pubis(points), 9.0)

    def _wing(self, points: Points) -> Distances:
        lateral, anterior, superior = points
        c = _WING_SHEET
        sheet = c[0] + anterior * (c[1] + c[3] * anterior + c[4] * superior)
        sheet += superior * (c[2] + c[5] * superior)
        slope_a = c[1] + 2.0 * c[3] * anterior + c[4] * superior
        slope_s = c[2] + c[4] * anterior + 2.0 * c[5] * superior
        off = np.abs(lateral - sheet) / np.sqrt(1.0 + slope_a**2 + slope_s**2)
        edge = polygon(anterior, superior, _WING_OUTLINE) - _RIM_MM
        thick = 0.5 * self.wing_mm + 3.0 * ramp(edge, -22.0, -3.0)
        thick += 5.0 * (1.0 - ramp(superior, 25.0, 65.0))
        return smooth_cut(off - thick, edge, 6.0)

    def _cup(self, points: Points) -> Distances:
        shell = ball(points, (-1.0, 0.0, 2.0), self.socket_radius_mm + 7.0)
        x, y, z = _CUP_AXIS
        return smooth_cut(shell, points[0] * x + points[1] * y + points[2] * z - 3.0, 4.0)

    def _ischium(self, points: Points) -> Distances:
        tuber = (64.0 - self.midline_mm, -36.0, -74.0)
        body = rod(points, (-14.0, -27.0, 0.0), tuber, (14.0, 13.0))
        knob = rod(points, (tuber[0], -44.0, -64.0), (tuber[0] - 3.0, -36.0, -80.0), (13.0, 12.0))
        spine = rod(points, (-20.0, -36.0, 2.0), (-32.0, -50.0, -12.0), (7.0, 3.5))
        return smooth_union(smooth_union(body, knob, 8.0), spine, 6.0)

    def _pubis(self, points: Points) -> Distances:
        middle = -self.midline_mm
        top, bottom = (middle + 11.0, 45.0, -22.0), (middle + 11.0, 36.0, -44.0)
        upper = rod(points, (-18.0, 16.0, -4.0), top, (12.0, 8.5))
        body = rod(points, top, bottom, (10.5, 9.5))
        lower = rod(points, bottom, (middle + 60.0, -32.0, -86.0), (7.5, 9.0))
        return smooth_union(upper, smooth_union(body, lower, 8.0), 9.0)


def _fit_sheet() -> NDArray[np.float64]:
    """Least-squares lateral = c₀ + c₁a + c₂s + c₃a² + c₄as + c₅s² through the wing's points."""
    lateral, a, s = np.array(_WING_POINTS).T
    terms = np.stack([np.ones_like(a), a, s, a * a, a * s, s * s], axis=1)
    return np.asarray(np.linalg.lstsq(terms, lateral, rcond=None)[0])


_WING_SHEET = tuple(float(value) for value in _fit_sheet())

_CUP_AXIS = (
    math.cos(math.radians(20.0)) * math.sin(math.radians(45.0)),
    math.sin(math.radians(20.0)),
    -math.cos(math.radians(20.0)) * math.cos(math.radians(45.0)),
)
"""Unit vector out of the acetabulum: sideways, a little forward, and down."""
