from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from volunet.errors import ShapeError, VolumeError
from volunet.volumes import Grid, Volume, affine_of, labels_onto, plan_conform, scores_onto
from volunet.volumes.axes import array_affine
from volunet.volumes.sinks import StreamedLabels, StreamedScores

CODES = [
    "".join(letters[axis] for axis in order)
    for order in itertools.permutations(range(3))
    for letters in itertools.product("RL", "AP", "SI")
]
FACTORS = st.sampled_from([0.31, 0.5, 0.8, 1.0, 1.3, 2.0, 3.7])
"""Spacing of the model's grid by the scan's, along each axis."""

AFFINE = np.array([[-0.7, 0.1, 0, 9], [0.1, 0.9, 0, -4], [0, 0.05, -3.0, 7], [0, 0, 0, 1]])
UNIT = (1.0, 1.0, 1.0)


def grids(data: st.DataObject) -> tuple[Grid, Grid]:
    """A model's grid and its scan's, in some cases moved so that either reaches out beyond."""
    shape = data.draw(st.tuples(*[st.integers(1, 11)] * 3), "scan")
    scan = Grid(shape, AFFINE)
    code = data.draw(st.sampled_from(CODES), "code")
    model = plan_conform(scan, code, None)
    if data.draw(st.booleans(), "resampled"):
        factors = data.draw(st.tuples(FACTORS, FACTORS, FACTORS), "factors")
        d, h, w = (float(v) for v in np.multiply(model.spacing_mm, factors))
        model = plan_conform(scan, code, (d, h, w))
    if data.draw(st.integers(0, 3), "moved") == 3:
        steps = np.eye(4)
        steps[:3, 3] = data.draw(st.tuples(*[st.sampled_from([-4.0, -0.4, 2.7])] * 3), "by")
        model = Grid(model.shape, array_affine(array_affine(model.affine) @ steps))
    return model, scan


def pushed(
    data: st.DataObject, sink: StreamedLabels | StreamedScores, scores: NDArray[Any], axis: int
) -> list[tuple[int, NDArray[Any]]]:
    """Everything that comes out, scores being pushed in slabs of any sizes from one buffer."""
    found, start, length = [], 0, scores.shape[1 + axis]
    while start < length:
        stop = min(length, start + data.draw(st.integers(1, 5), "planes"))
        buffer = scores.take(range(start, stop), 1 + axis)
        found += [(at, block.copy()) for at, block in sink.push(buffer)]
        buffer[...] = -1e9  # what is kept for later planes must be a copy
        start = stop
    return found


def assembled(found: list[tuple[int, NDArray[Any]]], axis: int, descending: bool) -> NDArray[Any]:
    """The whole, having checked that the blocks follow each other without gap or overlap."""
    if descending:
        found = found[::-1]
    ends = list(np.cumsum([block.shape[1 + axis] for _, block in found]))
    assert [start for start, _ in found] == [0, *ends[:-1]]
    return np.concatenate([block for _, block in found], 1 + axis)


@given(data=st.data())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_planes_are_those_of_the_whole_bit_for_bit(data: st.DataObject) -> None:
    model, scan = grids(data)
    classes = data.draw(st.integers(1, 5), "classes")
    axis = data.draw(st.integers(0, 2), "axis")
    # few different values, so that ties are common
    rng = np.random.default_rng(data.draw(st.integers(0, 9), "seed"))
    array = rng.integers(-3, 3, (classes, *model.shape)).astype(np.float32) / 3
    scores = Volume(array.copy(), model.affine)
    values = [0, 3, 300, 7, 70000][:classes]
    for sink, expected in (
        (StreamedLabels(model, scan, axis, values), labels_onto(scores, scan, values).array),
        (StreamedScores(model, scan, axis, classes), scores_onto(scores, scan).array),
    ):
        steps = np.linalg.solve(AFFINE, model.affine)  # scan voxels (i, j, k) for each of model's
        assert abs(steps[2 - sink.scan_axis, 2 - axis]) > 0.1
        found = pushed(data, sink, array, axis)
        descending = bool(steps[2 - sink.scan_axis, 2 - axis] < 0)
        got = assembled(found, sink.scan_axis, descending)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_larger_than_a_piece(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Grid((9, 10, 11), AFFINE)
    model = plan_conform(scan, "LAS", (1.0, 0.6, 1.1))
    array = np.random.default_rng(1).normal(size=(3, *model.shape)).astype(np.float32)
    whole = Volume(array, model.affine)
    labels, full = labels_onto(whole, scan, [0, 1, 2]), scores_onto(whole, scan)
    monkeypatch.setattr("volunet.volumes.sampling._SLAB_VOXELS", 200)
    ((start, block),) = StreamedLabels(model, scan, axis, [0, 1, 2]).push(array)
    assert start == 0
    np.testing.assert_array_equal(block, labels.array)
    ((_, block),) = StreamedScores(model, scan, axis, 3).push(array)
    np.testing.assert_array_equal(block, full.array)


def test_planes_come_as_soon_as_nothing_is_missing() -> None:
    scan = Grid((10, 2, 2), affine_of(UNIT))
    model = plan_conform(scan, "RAS", (2.0, 1.0, 1.0))
    sink = StreamedLabels(model, scan, 0, [0, 1])
    plane = np.zeros((2, 1, 2, 2), np.float32)
    spans = [[(a, b.shape[1]) for a, b in sink.push(plane)] for _ in range(5)]
    # scan plane p lies at (p − 0.5) / 2; plane 0 needs the model's planes 0 and 1
    assert spans == [[], [(0, 3)], [(3, 2)], [(5, 2)], [(7, 3)]]
    against = StreamedLabels(plan_conform(scan, "RAI", (2.0, 1.0, 1.0)), scan, 0, [0, 1])
    spans = [[(a, b.shape[1]) for a, b in against.push(plane)] for _ in range(5)]
    assert spans == [[], [(7, 3)], [(5, 2)], [(3, 2)], [(0, 3)]]


def test_equal_planes_wait_for_nothing_and_are_not_copied() -> None:
    scan = Grid((6, 5, 4), AFFINE)
    model = plan_conform(scan, "RAS", None)
    array = np.random.default_rng(2).normal(size=(3, *model.shape)).astype(np.float32)
    before = array.copy()
    sink, labels = StreamedScores(model, scan, 0, 3), StreamedLabels(model, scan, 0, [0, 1, 2])
    for start in range(0, 6, 2):
        slab = array[:, start : start + 2]
        ((at, block),) = sink.push(slab)
        assert np.shares_memory(block, slab)
        ((same, classes),) = labels.push(slab)
        assert at == same == 4 - start  # the scan's k runs down
        np.testing.assert_array_equal(classes[0], block.argmax(0))
    np.testing.assert_array_equal(array, before)


def test_a_scan_of_one_plane() -> None:
    scan = Grid((1, 4, 3), affine_of((5.0, 1.0, 1.0)))
    model = plan_conform(scan, "RAS", (1.0, 1.0, 1.0))
    array = np.zeros((2, 5, 4, 3), np.float32)
    array[1, 2] = 1.0
    sink = StreamedLabels(model, scan, 0, [0, 9])
    found = [list(sink.push(array[:, plane : plane + 1])) for plane in range(5)]
    # its centre is the middle of the model's five planes
    assert [len(blocks) for blocks in found] == [0, 0, 1, 0, 0]
    start, block = found[2][0]
    assert (start, block.shape, block.dtype) == (0, (1, 1, 4, 3), np.uint8)
    assert set(block.ravel()) == {9}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 1, 4, 5), r"shape \(3, 1, 4, 5\) after 2 .*\n.*\(2, 1…4, 4, 5\)"),
        ((2, 1, 4, 6), r"shape \(2, 1, 4, 6\)"),
        ((2, 0, 4, 5), r"shape \(2, 0, 4, 5\)"),
        ((2, 5, 4, 5), r"shape \(2, 5, 4, 5\)"),
        ((1, 4, 5), r"shape \(1, 4, 5\)"),
    ],
    ids=["classes", "size", "no plane", "too many", "axes"],
)
def test_planes_that_do_not_fit_are_refused(shape: tuple[int, ...], message: str) -> None:
    grid = Grid((6, 4, 5), affine_of(UNIT))
    for sink in (StreamedLabels(grid, grid, 0, [0, 1]), StreamedScores(grid, grid, 0, 2)):
        sink.push(np.zeros((2, 2, 4, 5), np.float32))
        with pytest.raises(ShapeError, match=message):
            sink.push(np.zeros(shape, np.float32))
        ((start, _),) = sink.push(np.zeros((2, 4, 4, 5), np.float32))
        assert start == 2  # what was refused has changed nothing
        with pytest.raises(ShapeError, match=r"\(2, none, 4, 5\)"):
            sink.push(np.zeros((2, 1, 4, 5), np.float32))


def test_values_beyond_32_bits_are_refused() -> None:
    grid = Grid((2, 2, 2), affine_of(UNIT))
    with pytest.raises(VolumeError, match="fit in 32 bits"):
        StreamedLabels(grid, grid, 0, [0, 1 << 31])


def test_grids_that_are_not_parallel_are_refused() -> None:
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    with pytest.raises(VolumeError, match="drift apart"):
        StreamedScores(Grid((9, 9, 9), np.eye(4)), Grid((9, 9, 9), turned), 0, 2)
