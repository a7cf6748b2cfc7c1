"""Signed distances: values that geometry gives, and the promises that rendering relies on."""

from __future__ import annotations

import numpy as np
import pytest

from volunet.datasets.phantom.shapes import (
    FAR_MM,
    ball,
    ellipsoid,
    only_in_box,
    polygon,
    ramp,
    rod,
    smooth_cut,
    smooth_union,
)

# float32 at distances of up to 100 mm: a thousandth of a millimetre is ample.
TOLERANCE_MM = 1e-3


def points(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32).T


def test_ball_is_exact() -> None:
    found = ball(points((1, 2, 3), (1, 2, 13), (4, 2, 7)), (1, 2, 3), 5.0)
    np.testing.assert_allclose(found, [-5.0, 5.0, 0.0], atol=TOLERANCE_MM)
    assert found.dtype == np.float32


def test_rod_is_round_at_its_ends_and_tapers_between() -> None:
    there = points((0, 0, -7), (3, 0, 0), (10, 0, 50), (0, 4, 100), (0, 0, 110))
    found = rod(there, (0, 0, 0), (0, 0, 100), (3.0, 5.0))
    np.testing.assert_allclose(found, [4.0, 0.0, 6.0, -1.0, 5.0], atol=TOLERANCE_MM)


def test_ellipsoid_is_zero_on_its_surface_and_has_slope_one_there() -> None:
    radii = (10.0, 20.0, 40.0)
    u = np.random.default_rng(0).normal(size=(3, 200))
    surface = (u / np.linalg.norm(u, axis=0) * np.array(radii)[:, None]).astype(np.float32)
    normal = surface / np.array(radii)[:, None] ** 2
    normal /= np.linalg.norm(normal, axis=0)
    outside = (surface + 0.1 * normal).astype(np.float32)
    np.testing.assert_allclose(ellipsoid(surface, (0, 0, 0), radii), 0.0, atol=TOLERANCE_MM)
    # First order: at 0.1 mm the second order is below 1 % (smallest radius of curvature 2.5 mm).
    np.testing.assert_allclose(ellipsoid(outside, (0, 0, 0), radii), 0.1, atol=5e-3)


def test_ellipsoid_with_an_infinite_radius_is_a_cylinder() -> None:
    found = ellipsoid(points((0, 30, 5), (0, 30, 500)), (0, 0, 0), (20.0, 20.0, np.inf))
    np.testing.assert_allclose(found, [10.0, 10.0], atol=TOLERANCE_MM)


def test_polygon_has_the_sign_of_its_inside_also_where_it_is_hollow() -> None:
    corners = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (5.0, 3.0), (0.0, 10.0))
    u = np.array([2.0, 5.0, 13.0, 5.0], dtype=np.float32)
    v = np.array([1.0, 8.0, 14.0, 1.0], dtype=np.float32)
    hollow = 5.0 * 5.0 / np.hypot(5.0, 7.0)  # (5, 8) to either edge that meets at (5, 3)
    found = polygon(u, v, corners)
    np.testing.assert_allclose(found, [-1.0, hollow, 5.0, -1.0], atol=TOLERANCE_MM)


def test_smooth_union_only_adds_and_only_near_the_crease() -> None:
    first = np.array([0.0, 2.0, -1.0, 9.0], dtype=np.float32)
    second = np.array([0.0, 3.0, 9.0, -4.0], dtype=np.float32)
    np.testing.assert_allclose(smooth_union(first, second, 8.0), [-2.0, 2 - 49 / 32, -1.0, -4.0])
    np.testing.assert_allclose(smooth_cut(first, second, 8.0), [2.0, 3 + 49 / 32, 9.0, 9.0])


def test_ramp_is_flat_outside_and_half_way_in_the_middle() -> None:
    values = np.array([-5.0, 0.0, 5.0, 10.0, 20.0], dtype=np.float32)
    np.testing.assert_allclose(ramp(values, 0.0, 10.0), [0.0, 0.0, 0.5, 1.0, 1.0])


def test_only_in_box_works_out_nothing_outside() -> None:
    seen: list[int] = []

    def distance(inside: np.ndarray) -> np.ndarray:
        seen.append(inside.shape[1])
        return ball(inside, (0, 0, 0), 1.0)

    found = only_in_box(distance, points((0, 0, 0), (9, 0, 0)), (-2, -2, -2), (2, 2, 2))
    assert seen == [1]
    assert found.tolist() == pytest.approx([-1.0, FAR_MM])
