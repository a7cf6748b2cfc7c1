from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from volunet.errors import VolumeError
from volunet.volumes import Grid, affine_of
from volunet.volumes.axes import array_affine
from volunet.volumes.sampling import plan_sampling


def carried(array: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    sampling = plan_sampling(source, target)
    aligned = sampling.aligned(array[np.newaxis])[0]
    slabs = [sampling.sample(aligned[sampling.source_planes(s)], s) for s in sampling.slabs()]
    return np.concatenate(slabs)


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
    slabs = list(plan_sampling(source, target).slabs())
    assert [slab.start for slab in slabs] == list(range(0, 17, 2))
    assert slabs[-1].stop == 17
    in_slabs = carried(array, source, target)
    monkeypatch.undo()
    np.testing.assert_array_equal(in_slabs, carried(array, source, target))


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
