"""Crops and pads are exact for every difference, which the notes' own crop is not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from volunet.errors import ShapeError
from volunet.nets.alignment import center_crop, center_pad, crop_end, pad_end

SIZES = st.tuples(*[st.integers(1, 12)] * 3)


def numbered(*size: int) -> torch.Tensor:
    """(2, 3, *size), every element another number above 0."""
    count = 6 * size[0] * size[1] * size[2]
    return torch.arange(1.0, count + 1).reshape(2, 3, *size)


def notes_center_crop(skip: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The crop of the notes: half of the difference, towards zero, off both sides."""
    half = [int((have - want) / 2) for have, want in zip(skip.shape[2:], x.shape[2:], strict=True)]
    return F.pad(skip, [-h for h in reversed(half) for _ in range(2)])


def test_the_notes_example_is_cropped_to_its_very_middle() -> None:
    x = numbered(10, 20, 30)
    assert torch.equal(center_crop(x, (6, 14, 12)), x[:, :, 2:8, 3:17, 9:21])


def test_of_an_odd_difference_the_smaller_half_comes_off_in_front() -> None:
    x = numbered(9, 10, 5)
    assert torch.equal(center_crop(x, (6, 9, 5)), x[:, :, 1:7, 0:9, :])


def test_the_notes_way_leaves_odd_differences_one_voxel_apart() -> None:
    skip, decoder = numbered(9, 11, 8), torch.zeros(2, 3, 8, 8, 8)
    assert notes_center_crop(skip, decoder).shape[2:] == (9, 9, 8)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        torch.cat([notes_center_crop(skip, decoder), decoder], dim=1)
    assert torch.cat([center_crop(skip, (8, 8, 8)), decoder], dim=1).shape == (2, 6, 8, 8, 8)


def test_where_the_difference_is_even_both_ways_are_one() -> None:
    skip, decoder = numbered(10, 20, 30), torch.zeros(2, 3, 6, 14, 12)
    assert torch.equal(notes_center_crop(skip, decoder), center_crop(skip, (6, 14, 12)))


@given(SIZES, SIZES)
def test_a_crop_takes_the_middle_for_every_difference(
    a: tuple[int, int, int], b: tuple[int, int, int]
) -> None:
    size = [max(pair) for pair in zip(a, b, strict=True)]
    want = [min(pair) for pair in zip(a, b, strict=True)]
    x = numbered(*size)
    front = [(have - keep) // 2 for have, keep in zip(size, want, strict=True)]
    d, h, w = (slice(f, f + keep) for f, keep in zip(front, want, strict=True))
    assert torch.equal(center_crop(x, want), x[:, :, d, h, w])


@given(SIZES, SIZES)
def test_a_pad_surrounds_with_zeros_and_a_crop_undoes_it(
    a: tuple[int, int, int], b: tuple[int, int, int]
) -> None:
    small = [min(pair) for pair in zip(a, b, strict=True)]
    large = [max(pair) for pair in zip(a, b, strict=True)]
    x = numbered(*small)
    padded = center_pad(x, large)
    assert list(padded.shape[2:]) == large
    assert torch.equal(center_crop(padded, small), x)
    assert int((padded > 0).sum()) == x.numel()


@given(SIZES, SIZES)
def test_padding_behind_keeps_the_first_voxel_first(
    a: tuple[int, int, int], b: tuple[int, int, int]
) -> None:
    small = [min(pair) for pair in zip(a, b, strict=True)]
    large = [max(pair) for pair in zip(a, b, strict=True)]
    x = numbered(*small)
    padded = pad_end(x, large)
    assert list(padded.shape[2:]) == large
    assert torch.equal(padded[:, :, : small[0], : small[1], : small[2]], x)
    assert torch.equal(crop_end(padded, small), x)
    assert int((padded > 0).sum()) == x.numel()


def test_a_crop_to_more_than_there_is_says_so() -> None:
    with pytest.raises(ShapeError) as caught:
        center_crop(numbered(4, 5, 6), (4, 6, 6))
    assert str(caught.value) == (
        "center_crop: a tensor of size (4, 5, 6) to crop to (4, 6, 6).\n"
        "A crop is on no axis larger than the tensor.\n"
        "Pad instead (center_pad)."
    )


def test_a_pad_to_less_than_there_is_says_so() -> None:
    with pytest.raises(ShapeError, match=r"center_pad: a tensor of size \(4, 5, 6\) to pad to"):
        center_pad(numbered(4, 5, 6), (4, 4, 6))
