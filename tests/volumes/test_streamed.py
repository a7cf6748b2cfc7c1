from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from volunet.errors import ConfigError, VolumeError
from volunet.plan import Normalisation
from volunet.volumes import Grid, Volume, check_finite, conform
from volunet.volumes.normalise import Moments, normalise
from volunet.volumes.streamed import (
    ConformedSlabs,
    NormalisedSlabs,
    Slabs,
    check_finite_slabs,
    measure,
)

CODES = [
    "".join(letters[axis] for axis in order)
    for order in itertools.permutations(range(3))
    for letters in itertools.product("RL", "AP", "SI")
]
FACTORS = st.sampled_from([0.31, 0.5, 0.8, 1.0, 1.3, 2.0, 3.7])
"""Spacing of the model's grid by the scan's, along each axis."""

ZSCORE = Normalisation(kind="zscore")
CLIP = Normalisation(kind="clip_zscore", low=-500.0, high=900.0, mean=100.0, std=250.0)
NONE = Normalisation(kind="none")


class ArraySlabs:
    """A volume in memory that keeps which planes were asked for."""

    def __init__(self, volume: Volume) -> None:
        self.grid: Grid = volume.grid
        self.array = volume.array
        self.asked: list[tuple[int, int, int]] = []

    def read(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        assert 0 <= start < stop <= self.grid.shape[axis]
        self.asked.append((axis, start, stop))
        return self.array.take(range(start, stop), 1 + axis)


def in_slabs(slabs: Slabs, axis: int, planes: int) -> NDArray[Any]:
    length = slabs.grid.shape[axis]
    blocks = [slabs.read(axis, a, min(a + planes, length)) for a in range(0, length, planes)]
    return np.concatenate(blocks, 1 + axis)


def noise(shape: tuple[int, ...], kind: str, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).normal(200, 400, shape).astype(kind)


@given(data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_slabs_are_the_planes_of_conform(data: st.DataObject) -> None:
    affine = np.array([[-0.7, 0.1, 0, 9], [0.1, 0.9, 0, -4], [0, 0.05, -3.0, 7], [0, 0, 0, 1]])
    shape = data.draw(st.tuples(st.integers(1, 2), *[st.integers(1, 11)] * 3), "shape")
    array = noise(shape, data.draw(st.sampled_from(["i2", "u1", "f4", "f8"]), "type"))
    scan = Volume(array, affine)
    code = data.draw(st.sampled_from(["any", *CODES]), "code")
    turned = ConformedSlabs(ArraySlabs(scan), code, None).grid
    factors = data.draw(st.none() | st.tuples(FACTORS, FACTORS, FACTORS), "factors")
    spacing = None
    if factors is not None:
        d, h, w = (float(v) for v in np.multiply(turned.spacing_mm, factors))
        spacing = (d, h, w)
    expected = conform(scan, code, spacing)
    source = ArraySlabs(scan)
    slabs = ConformedSlabs(source, code, spacing)
    assert slabs.grid.shape == expected.shape
    np.testing.assert_array_equal(slabs.grid.affine, expected.affine)
    axis = data.draw(st.integers(0, 2), "axis")
    got = in_slabs(slabs, axis, data.draw(st.integers(1, expected.shape[axis]), "planes"))
    assert (got.dtype, got.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(got, expected.array)
    assert {asked[0] for asked in source.asked} == {slabs.source_axis(axis)}


@pytest.mark.parametrize(
    ("code", "axis", "planes", "asked"),
    [
        # i, j, k grow right, anterior, superior: D, H, W of the scan are S, A, R
        ("RAS", 0, (2, 4), (0, 2, 4)),
        ("RAI", 0, (2, 4), (0, 6, 8)),
        ("SAR", 0, (0, 3), (2, 0, 3)),
        ("IPR", 2, (0, 1), (0, 9, 10)),
    ],
    ids=["as it is", "flipped", "permuted", "both"],
)
def test_only_the_planes_needed_are_read(
    code: str, axis: int, planes: tuple[int, int], asked: tuple[int, int, int]
) -> None:
    source = ArraySlabs(Volume.of_array(noise((10, 8, 9), "i2"), (3.0, 1.0, 2.0)))
    slabs = ConformedSlabs(source, code, None)
    assert slabs.source_axis(axis) == asked[0]
    slabs.read(axis, *planes)
    assert source.asked == [asked]


def test_between_planes_both_neighbours_are_read_and_no_more() -> None:
    source = ArraySlabs(Volume.of_array(noise((10, 3, 3), "f4"), (1.0, 1.0, 1.0)))
    slabs = ConformedSlabs(source, "RAS", (0.5, 1.0, 1.0))
    # centres of new planes 5 to 8: 2.25, 2.75, 3.25, 3.75
    slabs.read(0, 5, 9)
    assert source.asked == [(0, 2, 5)]


def test_a_false_orientation_is_refused(scan: Volume) -> None:
    with pytest.raises(ConfigError, match="'RAX'"):
        ConformedSlabs(ArraySlabs(scan), "RAX", None)


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    axis=st.integers(0, 2),
    planes=st.integers(1, 12),
    read_voxels=st.integers(1, 3000),
    kind=st.sampled_from(["i2", "f4", "f8"]),
    offset=st.sampled_from([0.0, -1e4, 2e4]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_slabs_are_the_planes_of_normalise(
    shape: tuple[int, int, int], axis: int, planes: int, read_voxels: int, kind: str, offset: float
) -> None:
    array = noise((4, *shape), "f8") + offset
    array[3] = offset  # a flat channel
    array = array.astype(kind)
    rules = [ZSCORE, CLIP, NONE, ZSCORE]
    source = ArraySlabs(Volume.of_array(array, (1.0, 1.0, 1.0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("volunet.volumes.streamed._READ_VOXELS", read_voxels)
        moments = measure(source, axis, rules)
    assert (moments[1], moments[2]) == (None, None)
    for channel in (0, 3):
        x = array[channel].astype(np.float32)
        found = moments[channel]
        assert found is not None
        # float64 sums of at most 1728 values: 1728 × 1e-16, and the mean's share of the deviation
        assert found.mean == pytest.approx(x.mean(dtype=np.float64), rel=1e-12, abs=1e-12)
        assert found.std == pytest.approx(x.std(dtype=np.float64), rel=1e-9, abs=1e-9)
    slabs = NormalisedSlabs(source, rules, moments)
    got = in_slabs(slabs, axis, planes)
    assert (got.shape, got.dtype) == ((4, *shape), np.float32)
    np.testing.assert_allclose(got, normalise(array, rules), rtol=1e-6, atol=1e-6)


def test_the_scan_is_measured_once_in_reads_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("volunet.volumes.streamed._READ_VOXELS", 200)
    source = ArraySlabs(Volume.of_array(noise((2, 5, 7, 6), "f4"), (1.0, 1.0, 1.0)))
    told: list[tuple[int, int]] = []
    measure(source, 1, [ZSCORE, ZSCORE], lambda done, total: told.append((done, total)))
    # 60 values a plane of both channels
    assert source.asked == [(1, 0, 3), (1, 3, 6), (1, 6, 7)]
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_nothing_is_read_where_no_rule_needs_it(scan: Volume) -> None:
    source = ArraySlabs(scan)
    assert measure(source, 0, [CLIP]) == (None,)
    assert source.asked == []


def test_moments_far_from_zero_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    # a sum of squares in place of merged deviations would lose all but 2 digits of the variance
    monkeypatch.setattr("volunet.volumes.streamed._READ_VOXELS", 1)
    array = 1e7 + np.arange(48, dtype=np.float64).reshape(1, 12, 2, 2)
    (found,) = measure(ArraySlabs(Volume.of_array(array, (1.0, 1.0, 1.0))), 0, [ZSCORE])
    assert found == Moments(pytest.approx(1e7 + 23.5, rel=1e-15), pytest.approx(13.853399, 1e-7))


def test_a_rule_without_its_moments_is_refused(scan: Volume) -> None:
    with pytest.raises(ConfigError, match="zscore without the scan's mean"):
        NormalisedSlabs(ArraySlabs(scan), [ZSCORE], [None])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_that_are_no_numbers_are_counted_over_the_whole_scan(
    axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volunet.volumes.streamed._READ_VOXELS", 50)
    array = noise((2, 6, 7, 5), "f4")
    path = Path("case_07.nii.gz")
    check_finite_slabs(ArraySlabs(Volume.of_array(array, (1.0, 1.0, 1.0))), axis, path)
    array[0, 0, 0, :3] = np.nan
    array[1, 5, 6, 4] = np.nan
    array[1, 2, 3, 4] = -np.inf
    volume = Volume(array, np.eye(4), path)
    with pytest.raises(VolumeError) as whole:
        check_finite(volume)
    with pytest.raises(VolumeError, match="4 voxels are NaN and 1 infinite, of 420") as slabs:
        check_finite_slabs(ArraySlabs(volume), axis, path)
    assert str(slabs.value) == str(whole.value)


def test_of_integers_one_read_is_enough(scan: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volunet.volumes.streamed._READ_VOXELS", 1)
    source = ArraySlabs(scan)
    check_finite_slabs(source, 0, "scan")
    assert source.asked == [(0, 0, 1)]


def test_the_way_in_is_that_of_a_whole_volume(oblique_affine: NDArray[np.float64]) -> None:
    scan = Volume(noise((1, 9, 13, 8), "i2"), oblique_affine)
    on_grid = ConformedSlabs(ArraySlabs(scan), "LPS", (1.1, 1.3, 0.9))
    slabs = NormalisedSlabs(on_grid, [ZSCORE], measure(on_grid, 1, [ZSCORE]))
    expected = normalise(conform(scan, "LPS", (1.1, 1.3, 0.9)).array, [ZSCORE])
    np.testing.assert_allclose(in_slabs(slabs, 1, 4), expected, rtol=1e-6, atol=1e-6)
