from __future__ import annotations

import tracemalloc

import numpy as np

from volunet.diagnosing.cases.planes import count_values, slabs


def test_slabs_cover_each_plane_once(monkeypatch):
    monkeypatch.setattr("volunet.diagnosing.cases.planes.PIECE_VOXELS", 100)
    assert list(slabs((5, 7, 7))) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(slabs((2, 20, 20))) == [slice(0, 1), slice(1, 2)]  # a plane at least


def test_counts_are_those_of_bincount(monkeypatch):
    monkeypatch.setattr("volunet.diagnosing.cases.planes.PIECE_VOXELS", 100)
    array = np.random.default_rng(0).integers(0, 4, (9, 8, 7)).astype(np.uint8)
    turned = array.transpose(2, 0, 1)[:, ::-1]
    expected = np.bincount(array.ravel(), minlength=6).tolist()
    assert count_values(array, 6).tolist() == count_values(turned, 6).tolist() == expected


def test_counting_needs_no_second_map():
    array = np.ones((64, 256, 256), np.uint8)
    tracemalloc.start()
    count_values(array, 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * array.size  # of one slab of a million voxels 8 bytes each; else 8 × the size
