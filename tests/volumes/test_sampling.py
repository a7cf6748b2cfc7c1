from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from volunet.errors import VolumeError
from volunet.volumes import Grid, affine_of
from volunet.volumes.axes import array_affine
from volunet.volumes.sampling import plan_sampling, planes_of


def carried(array: np.ndarray, source: Grid, target: Grid, axis: int = 0) -> np.ndarray:
    sampling = plan_sampling(source, target)
    aligned = sampling.aligned(array[np.newaxis])
    slabs = []
    for slab in sampling.slabs(axis):
        needed = sampling.source_planes(axis, slab)
        block = planes_of(aligned, axis, needed.start, needed.stop)[0]
        slabs.append(sampling.sample(block, axis, slab))
    return np.concatenate(slabs, axis)


@pytest.mark.parametrize(
    ("spacing", "shape", "origin"),
    [
        ((1.0, 1.0, 1.0), (9, 13, 8), (0.3, -0.2, 0.1)),
        ((2.5, 0.4, 1.7), (5, 30, 6), (-1.0, 2.0, 0.5)),
        ((0.3, 3.1, 0.9), (40, 4, 11), (0.0, 0.0, -3.0)),
    ],
)
def test_the_numbers_are_scipys(
    spacing: tuple[float, float, float], shape: tuple[int, int, int], origin: tuple
) -> None:
    array = np.random.default_rng(0).normal(size=(12, 11, 10))
    source = Grid(array.shape, affine_of((1.1, 0.9, 1.2)))
    target = Grid(shape, affine_of(spacing, origin))
    steps = np.linalg.solve(array_affine(source.affine), array_affine(target.affine))
    expected = ndimage.affine_transform(array, steps, output_shape=shape, order=1, mode="nearest")
    # three float32 interpolations of values of size 3
    np.testing.assert_allclose(carried(array, source, target), expected, atol=3e-6)


def test_slabs_cover_every_plane_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volunet.volumes.sampling._SLAB_VOXELS", 200)
    array = np.random.default_rng(0).normal(size=(12, 11, 10)).astype(np.float32)
    source = Grid(array.shape, affine_of((1.0, 1.0, 1.0)))
    target = Grid((17, 9, 8), affine_of((0.7, 1.2, 1.3)))
    slabs = list(plan_sampling(source, target).slabs(0))
    assert [slab.start for slab in slabs] == list(range(0, 17, 2))
    assert slabs[-1].stop == 17
    in_slabs = carried(array, source, target)
    monkeypatch.undo()
    np.testing.assert_array_equal(in_slabs, carried(array, source, target))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("voxels", [1, 150, 700])
def test_slabs_along_any_axis_give_the_same_bits(
    axis: int, voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.random.default_rng(0).normal(size=(12, 11, 10)).astype(np.float32)
    source = Grid(array.shape, affine_of((1.0, 1.0, 1.0)))
    against = affine_of((0.7, 1.2, 2.3), (0.3, 0.0, 13.0))
    against[2, 2] *= -1
    target = Grid((17, 9, 5), against)
    whole = carried(array, source, target)
    monkeypatch.setattr("volunet.volumes.sampling._SLAB_VOXELS", voxels)
    planes = max(1, voxels * target.shape[axis] // whole.size)
    slabs = list(plan_sampling(source, target).slabs(axis))
    assert [slab.start for slab in slabs] == list(range(0, target.shape[axis], planes))
    np.testing.assert_array_equal(carried(array, source, target, axis), whole)


def test_pieces_are_cut_from_a_slab_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volunet.volumes.sampling._SLAB_VOXELS", 400)
    array = np.random.default_rng(0).normal(size=(2, 12, 11, 10)).astype(np.float32)
    source = Grid((12, 11, 10), affine_of((1.0, 1.0, 1.0)))
    target = Grid((12, 20, 10), affine_of((1.0, 0.55, 1.0), (0.0, -0.2, 0.0)))
    sampling = plan_sampling(source, target)
    slab = slice(7, 16)
    needed = sampling.source_planes(1, slab)
    assert (needed.start, needed.stop) == (3, 10)  # planes at 0.55 p − 0.2: 3.65 to 8.05
    result = np.empty((2, 12, 9, 10), np.float32)
    block = planes_of(array, 1, needed.start, needed.stop)
    cuts = [piece for piece, _, _ in sampling.pieces(block, result, 1, slab)]
    assert cuts == [slice(7, 10), slice(10, 13), slice(13, 16)]
    sampling.carry(block, result, 1, slab)
    for channel, got in zip(array, result, strict=True):
        np.testing.assert_array_equal(got, carried(channel, source, target)[:, slab])


@pytest.mark.parametrize(
    ("spacing", "length", "origin"),
    [(0.4, 20, 0.1), (2.7, 3, 0.0), (1.0, 9, 0.3), (1.0, 8, 0.0), (1.0, 14, -3.0), (0.7, 1, 2.2)],
)
def test_each_target_plane_is_within_a_run_or_across_its_seam(
    spacing: float, length: int, origin: float
) -> None:
    source = Grid((8, 2, 2), affine_of((1.0, 1.0, 1.0)))
    target = Grid((length, 2, 2), affine_of((spacing, 1.0, 1.0), (0.0, 0.0, origin)))
    sampling = plan_sampling(source, target)
    for seam in range(1, 8):
        below, above = sampling.planes_within(0, 0, seam), sampling.planes_within(0, seam, 8)
        across = sampling.planes_across(0, seam)
        assert (below.start, below.stop) == (0, across.start)
        assert (across.stop, above.stop) == (above.start, length)
        for planes, allowed in (
            (below, (0, seam)),
            (across, (seam - 1, seam + 1)),
            (above, (seam, 8)),
        ):
            if planes.start < planes.stop:
                needed = sampling.source_planes(0, planes)
                assert allowed[0] <= needed.start < needed.stop <= allowed[1]
    assert sampling.planes_across(0, 0) == slice(0, 0)
    assert sampling.planes_across(0, 8) == slice(length, length)


@pytest.mark.parametrize(
    ("shape", "spacing", "origin", "turns"),
    [
        ((4, 5, 6), 1.0, (0.0, 0.0, 0.0), True),
        ((4, 5, 5), 1.0, (0.0, 0.0, 0.0), False),
        ((4, 5, 6), 1.0, (1.0, 0.0, 0.0), False),
        ((4, 5, 6), 1.0, (0.3, 0.0, 0.0), False),
        ((4, 5, 6), 1.1, (0.0, 0.0, 0.0), False),
    ],
    ids=["same", "smaller", "a voxel aside", "between", "wider"],
)
def test_only_equal_grids_need_no_interpolation(
    shape: tuple[int, int, int], spacing: float, origin: tuple, turns: bool
) -> None:
    source = Grid((4, 5, 6), affine_of((1.0, 1.0, 1.0)))
    target = Grid(shape, affine_of((spacing,) * 3, origin))
    assert plan_sampling(source, target).only_turns is turns


def test_whole_voxels_are_copied_even_beside_infinity() -> None:
    array = np.full((4, 4, 4), np.inf)
    array[1, 2, 3] = 1.0
    source = Grid((4, 4, 4), affine_of((1.0, 1.0, 1.0)))
    target = Grid((3, 3, 3), affine_of((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)))
    assert carried(array, source, target)[0, 1, 2] == 1.0


def test_grids_that_are_not_parallel_are_refused() -> None:
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    with pytest.raises(VolumeError, match=r"drift apart by 0\.899 voxels"):
        plan_sampling(Grid((10, 10, 10), np.eye(4)), Grid((10, 10, 10), turned))
