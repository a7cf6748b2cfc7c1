"""Voxels of each class are kept, few and spread, as places to centre patches on."""

from __future__ import annotations

import numpy as np

from volunet.tasks.segmentation.target import VOXELS_A_CLASS, sample_voxels


def test_voxels_of_each_class():
    label = np.zeros((3, 4, 5), np.uint8)
    label[1, 2, 3] = 2
    label[2, 0, 4] = 1
    label[0, 3, 0] = 1
    assert sample_voxels(label, 3).tolist() == [[1, 0, 3, 0], [1, 2, 0, 4], [2, 1, 2, 3]]
    assert sample_voxels(label, 4).tolist() == sample_voxels(label, 3).tolist()
    assert sample_voxels(np.zeros((3, 4, 5), np.uint8), 3).shape == (0, 4)
    assert sample_voxels(label, 1).shape == (0, 4)


def test_voxels_are_few_and_spread():
    label = np.ones((20, 30, 40), np.uint8)
    label[0, 0, :7] = 2
    voxels = sample_voxels(label, 3)
    of_first = voxels[voxels[:, 0] == 1]
    # Every 12th of 23,993 voxels: the smallest step that leaves at most 2000.
    assert len(of_first) == -(-23_993 // 12) <= VOXELS_A_CLASS
    assert len(voxels) - len(of_first) == 7
    np.testing.assert_array_equal(label[tuple(voxels[:, 1:].T)], voxels[:, 0])
    # Evenly: the sample's middle is the class's, within half a step along W and a voxel elsewhere.
    middle = of_first[:, 1:].mean(axis=0)
    assert (np.abs(middle - [9.5, 14.5, 19.5]) <= [1, 1, 6]).all()
