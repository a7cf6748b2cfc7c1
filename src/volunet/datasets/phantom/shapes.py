"""Signed-distance shapes: the clay that the phantom's bones and skin are made of.

A shape is a function from points to the distance of its surface: negative inside, in mm. Points
are (3, N) float32, so that each coordinate is contiguous. Rods, ellipsoids and blends give
distances that are exact on the surface and nearly so close to it, which is where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Distances = NDArray[np.float32]
Point = tuple[float, float, float]

FAR_MM = 1e4
"""Distance given to points that are outside a shape's box, where it is not worked out."""


def ball(points: Points, centre: Point, radius_mm: float) -> Distances:
    """Distance to a sphere."""
    return np.asarray(np.sqrt(_square(_from(points, centre))) - radius_mm)


def rod(points: Points, start: Point, end: Point, radii_mm: tuple[float, float]) -> Distances:
    """Distance to a rod with round ends whose radius grows evenly from `start` to `end`."""
    offset = _from(points, start)
    axis = [float(b - a) for a, b in zip(start, end, strict=True)]
    length2 = sum(value * value for value in axis)
    along = offset[0] * axis[0] + offset[1] * axis[1] + offset[2] * axis[2]
    share = np.clip(along / length2, 0.0, 1.0)
    square = _square(offset) - 2.0 * share * along + share * share * length2
    radius = radii_mm[0] + share * (radii_mm[1] - radii_mm[0])
    return np.asarray(np.sqrt(np.maximum(square, 0.0)) - radius)


def ellipsoid(points: Points, centre: Point, radii_mm: Point) -> Distances:
    """Distance to an ellipsoid, to first order; an infinite radius makes it a cylinder."""
    offset = _from(points, centre)
    inverse = np.array([[1.0 / radius] for radius in radii_mm], dtype=np.float32)
    scaled = offset * inverse
    level = np.sqrt(_square(scaled))
    slope = np.sqrt(_square(scaled * inverse))
    return np.asarray(level * (level - 1.0) / np.maximum(slope, 1e-6))


def polygon(u: Distances, v: Distances, corners: Sequence[tuple[float, float]]) -> Distances:
    """Distance in the (u, v) plane to the outline of a polygon, negative inside."""
    nearest2 = np.full_like(u, FAR_MM**2)
    inside = np.zeros(u.shape, dtype=bool)
    for (u0, v0), (u1, v1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        du, dv = u1 - u0, v1 - v0
        pu, pv = u - u0, v - v0
        share = np.clip((pu * du + pv * dv) / (du * du + dv * dv), 0.0, 1.0)
        nearest2 = np.minimum(nearest2, (pu - share * du) ** 2 + (pv - share * dv) ** 2)
        if dv != 0.0:
            crosses = ((v >= v0) != (v >= v1)) & (pu < pv * (du / dv))
            inside ^= crosses
    distance = np.sqrt(nearest2)
    return np.asarray(np.where(inside, -distance, distance))


def smooth_union(first: Distances, second: Distances, blend_mm: float) -> Distances:
    """Join two shapes; the crease between them is rounded over `blend_mm`."""
    overlap = np.maximum(blend_mm - np.abs(first - second), 0.0)
    return np.asarray(np.minimum(first, second) - overlap * overlap / (4.0 * blend_mm))


def smooth_cut(first: Distances, second: Distances, blend_mm: float) -> Distances:
    """What two shapes share; the edge between them is rounded over `blend_mm`."""
    return -smooth_union(-first, -second, blend_mm)


def ramp(values: Distances, low: float, high: float) -> Distances:
    """0 below `low`, 1 above `high`, smooth in between."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))


def only_in_box(
    distance: Callable[[Points], Distances], points: Points, low: Point, high: Point
) -> Distances:
    """Work a distance out inside a box only; points outside get `FAR_MM`."""
    inside = np.ones(points.shape[1], dtype=bool)
    for values, least, most in zip(points, low, high, strict=True):
        inside &= (values > least) & (values < most)
    result = np.full(points.shape[1], FAR_MM, dtype=np.float32)
    result[inside] = distance(np.ascontiguousarray(points[:, inside]))
    return result


def _from(points: Points, centre: Point) -> Points:
    return points - np.array(centre, dtype=np.float32)[:, np.newaxis]


def _square(offset: Points) -> Distances:
    return np.asarray(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
