"""Distances to boundaries against a search of all voxels, and the gradients of single voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from volunet.tasks.segmentation.loss_terms import (
    BoundaryDistance,
    Truth,
    VoxelMean,
    absolute_error,
    cross_entropy,
    focal,
    signed_distance,
    squared_error,
)


def searched_distance(mask: np.ndarray) -> np.ndarray:
    """To the nearest voxel of the other side, less half a voxel; negative inside."""
    places = np.indices(mask.shape).reshape(mask.ndim, -1).T
    flat = mask.ravel()
    answer = np.empty(flat.size)
    for index, place in enumerate(places):
        other = places[flat != flat[index]]
        nearest = np.sqrt(((other - place) ** 2).sum(axis=1)).min()
        answer[index] = (0.5 - nearest) if flat[index] else (nearest - 0.5)
    return answer.reshape(mask.shape)


def box(shape: tuple[int, ...], part: tuple[slice, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[part] = True
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.random.default_rng(0).random((4, 5, 6)) < 0.3, id="scattered"),
        pytest.param(np.random.default_rng(1).random((4, 5, 6)) < 0.9, id="holes"),
        pytest.param(box((6, 7, 8), np.s_[2:5, 1:5, 3:7]), id="within"),
        pytest.param(box((6, 7, 8), np.s_[:3, :, 4:]), id="at the border"),
        pytest.param(box((3, 3, 3), np.s_[1:2, 1:2, 1:2]), id="voxel"),
        pytest.param(box((1, 4, 4), np.s_[:, 1:3, :2]), id="slice"),
    ],
)
def test_signed_distance(mask):
    np.testing.assert_allclose(signed_distance(mask), searched_distance(mask), atol=1e-12)


@pytest.mark.parametrize("value", [False, True])
def test_no_boundary(value):
    assert np.array_equal(signed_distance(np.full((2, 3, 4), value)), np.zeros((2, 3, 4)))


def test_truth():
    label = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 0]]).reshape(2, 1, 1, 1, 4)
    truth = Truth(label, num_classes=3)
    assert truth.one_hot.shape == (2, 3, 1, 1, 4)
    assert truth.one_hot[0, :, 0, 0].tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert truth.distances.dtype == torch.float32
    # Case 0 has class 1 alone; case 1 is all background.
    assert truth.distances[:, :, 0, 0].tolist() == [
        [[0.5, -0.5, -0.5, 0.5], [0.0] * 4],
        [[0.0] * 4, [0.0] * 4],
    ]


def test_boundary_counts_what_is_far_more():
    label = torch.zeros(1, 1, 1, 1, 9, dtype=torch.int64)
    label[..., 0] = 1
    truth = Truth(label, num_classes=2)
    certain = 40.0 * truth.one_hot
    losses = []
    for place in (1, 8):
        wrong = certain.clone()
        wrong[..., place] = wrong[..., place].flip(1)
        losses.append(float(BoundaryDistance()(wrong, truth)))
    # One voxel too many, half a voxel and seven and a half away from the boundary.
    assert losses == pytest.approx([0.5 / 9, 7.5 / 9], rel=1e-5)


def single_gradient(per_voxel, logit: float) -> float:
    """Derivative by the true class' logit, at a voxel whose other class has logit 0."""
    logits = torch.tensor([0.0, logit]).reshape(1, 2, 1, 1, 1).requires_grad_()
    truth = Truth(torch.ones(1, 1, 1, 1, 1, dtype=torch.int64), num_classes=2)
    VoxelMean(per_voxel, None)(logits, truth).backward()
    return float(logits.grad[0, 1, 0, 0, 0])


@pytest.mark.parametrize("logit", [-8.0, -1.0, 0.0, 3.0])
def test_gradient_of_a_voxel(logit):
    p = softmax([0.0, logit])[1]
    expected = {
        cross_entropy: p - 1,
        squared_error: -4 * p * (1 - p) ** 2,
        absolute_error: -2 * p * (1 - p),
        focal: (1 - p) ** 2 * (2 * p * np.log(p) - (1 - p)),
    }
    for per_voxel, derivative in expected.items():
        # float32: 1 − p of a logit of −8 has five digits.
        assert single_gradient(per_voxel, logit) == pytest.approx(derivative, rel=1e-4)
