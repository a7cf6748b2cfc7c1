"""Making a skip connection and the decoder's tensor one size: exact for every difference.

Pooling floors, so going down and up again loses up to ``stride − 1`` voxels a level. Each function
here takes the difference exactly: of an odd one, the smaller half comes off (or on) in front.
Halving it towards zero on both sides, as an often-copied center crop does, leaves the two tensors
one voxel apart whenever the difference is odd.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from volunet.errors import ShapeError


def center_crop(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Crop the spatial axes of a tensor to a size, around its centre.

    Args:
        tensor: (N, C, D, H, W).
        size: Size wanted, (D, H, W), on no axis larger than the tensor's.

    Returns:
        (N, C, *size).

    Raises:
        ShapeError: The size is larger than the tensor on some axis.

    Example:
        >>> tuple(center_crop(torch.zeros(1, 1, 10, 20, 30), (6, 14, 12)).shape)
        (1, 1, 6, 14, 12)
    """
    if not torch.compiler.is_compiling() and any(
        have < want for have, want in zip(tensor.shape[2:], size, strict=True)
    ):
        raise ShapeError(
            "center_crop",
            f"a tensor of size {tuple(tensor.shape[2:])} to crop to {tuple(size)}",
            "A crop is on no axis larger than the tensor.",
            "Pad instead (center_pad).",
        )
    for axis, want in enumerate(size, start=2):
        tensor = tensor.narrow(axis, (tensor.shape[axis] - want) // 2, want)
    return tensor


def center_pad(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Pad the spatial axes of a tensor with zeros to a size, around its centre.

    Args:
        tensor: (N, C, D, H, W).
        size: Size wanted, (D, H, W), on no axis smaller than the tensor's.

    Returns:
        (N, C, *size).

    Raises:
        ShapeError: The size is smaller than the tensor on some axis.

    Example:
        >>> tuple(center_pad(torch.zeros(1, 1, 6, 14, 12), (9, 14, 13)).shape)
        (1, 1, 9, 14, 13)
    """
    if not torch.compiler.is_compiling() and any(
        have > want for have, want in zip(tensor.shape[2:], size, strict=True)
    ):
        raise ShapeError(
            "center_pad",
            f"a tensor of size {tuple(tensor.shape[2:])} to pad to {tuple(size)}",
            "A padded tensor is on no axis smaller than before.",
            "Crop instead (center_crop).",
        )
    missing = [want - have for have, want in zip(tensor.shape[2:], size, strict=True)]
    padding = [side for gap in reversed(missing) for side in (gap // 2, gap - gap // 2)]
    return F.pad(tensor, padding)


def pad_end(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Pad the spatial axes of a tensor with zeros behind the last voxel.

    Behind rather than around, so that voxel (0, 0, 0) stays voxel (0, 0, 0).

    Args:
        tensor: (N, C, D, H, W).
        size: Size wanted, (D, H, W), on no axis smaller than the tensor's.

    Returns:
        (N, C, *size).
    """
    depth, height, width = (want - have for have, want in zip(tensor.shape[2:], size, strict=True))
    return F.pad(tensor, [0, width, 0, height, 0, depth])


def crop_end(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Take the first voxels of each spatial axis: `pad_end` undone.

    Args:
        tensor: (N, C, D, H, W).
        size: Size wanted, (D, H, W), on no axis larger than the tensor's.

    Returns:
        (N, C, *size).
    """
    return tensor[:, :, : size[0], : size[1], : size[2]]
