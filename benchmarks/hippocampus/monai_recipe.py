"""The recipe of MONAI's tutorials on Task04_Hippocampus, for `hippocampus` to stand beside.

UNet of 16 to 128 channels, strides 2, two residual units, batch norm; Dice + cross-entropy; AdamW
1e-3 with polynomial decay; patches 48×64×48, which hold any of the scans whole, batch 4; flips and
intensity jitter with the factors of the BraTS tutorial; float32, and MONAI's own transforms, cache,
loader, loss and sliding windows. Two things are kinder to it than the tutorial: nothing validates,
so that all cases train all of the time and the last weights count, and the decay follows the time
spent instead of steps that nobody knows beforehand.

Source: https://github.com/Project-MONAI/tutorials, 3d_segmentation, `brats_segmentation_3d` and
`spleen_segmentation_3d`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, set_track_meta
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    SpatialPadd,
)
from monai.utils import set_determinism
from torch import Tensor, nn

from volunet.datasets.cases import Case

PATCH = (48, 64, 48)
"""Voxels in nibabel's order, (W, H, D)."""

BATCH = 4
LEARNING_RATE = 1e-3
POWER = 0.9
"""Of the polynomial decay."""


def run_monai(
    training: Sequence[Case], held_out: Sequence[Case], minutes: float, seed: int, folder: Path
) -> tuple[int, float, Path]:
    """Train for the minutes, then predict the held-out cases.

    Args:
        training: Cases to train on; all scans of the data set are in RAS at 1 mm, so that nothing
            is turned or resampled.
        held_out: Cases to predict, each on its own grid.
        minutes: Wall-clock budget of caching and training.
        seed: Seed of weights, order and augmentation.
        folder: Folder for ``predictions``.

    Returns:
        Steps, seconds of caching and training, folder of the predictions.
    """
    begin = time.monotonic()

    def spent() -> float:
        return (time.monotonic() - begin) / (60 * minutes)

    set_determinism(seed)
    set_track_meta(False)  # plain tensors: nothing here asks them for their place in space
    network = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=3,
        channels=(16, 32, 64, 128),
        strides=(2, 2, 2),
        num_res_units=2,
        norm="batch",
    )
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    steps = 0
    for batch in _batches(training):
        share = spent()
        if share >= 1.0:
            break
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1.0 - share) ** POWER
        optimizer.zero_grad()
        loss(network(batch["image"]), batch["label"]).backward()
        optimizer.step()
        steps += 1
    seconds = time.monotonic() - begin
    return steps, seconds, _predict(network, held_out, folder / "predictions")


def _batches(cases: Sequence[Case]) -> Iterator[dict[str, Tensor]]:
    """Batches without end; what is not random is computed once and held in memory."""
    both = ["image", "label"]
    transforms = Compose(
        [
            *_preparation(both),
            SpatialPadd(both, spatial_size=PATCH),
            RandSpatialCropd(both, roi_size=PATCH, random_size=False),
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
            RandScaleIntensityd("image", factors=0.1, prob=1.0),
            RandShiftIntensityd("image", offsets=0.1, prob=1.0),
        ]
    )
    files = [{"image": str(case.images[0]), "label": str(case.label)} for case in cases]
    cache = CacheDataset(files, transforms, progress=False)
    # No worker: a batch takes 11 ms of one core where a step takes 700, and a second process would
    # take as much from the step on 2 cores.
    loader = DataLoader(cache, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=0)
    while True:
        yield from loader


def _preparation(keys: Sequence[str]) -> list[Any]:
    # nibabel's reader, as the predictions are written in its order of axes.
    return [
        LoadImaged(keys, reader="NibabelReader"),
        EnsureChannelFirstd(keys, channel_dim="no_channel"),
        NormalizeIntensityd("image", channel_wise=True),
    ]


def _predict(network: nn.Module, cases: Sequence[Case], folder: Path) -> Path:
    """Label maps on the scans' own grids, called as the scans are."""
    folder.mkdir(parents=True)
    read = Compose(_preparation(["image"]))
    network.eval()
    for case in cases:
        image = read({"image": str(case.images[0])})["image"]
        with torch.no_grad():
            # A scan smaller than the window is padded to it, as in training, and cut back.
            logits = sliding_window_inference(image[None], PATCH, 1, network)
        labels = logits.argmax(1)[0].numpy().astype(np.uint8)
        affine = nibabel.load(case.images[0]).affine
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / case.images[0].name)
    return folder
