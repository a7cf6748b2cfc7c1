"""Milliseconds that each loss and its gradient take on one batch, beside MONAI's Hausdorff loss.

A part of `losses`. The batch is two real labels and the logits of a middling network: what is
right plus noise. One thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from monai.losses import HausdorffDTLoss
from torch import Tensor
from torch.nn.functional import one_hot

from benchmarks.losses.steepness import BATCH_SIZE, PATCH_SIZE
from benchmarks.measuring.hippocampus_cases import find_data, training_and_test
from benchmarks.measuring.report import markdown_table
from benchmarks.measuring.rows import Row
from volunet.datasets.load import read_case
from volunet.datasets.patches import cut_patch
from volunet.tasks.segmentation.losses import SegmentationLoss
from volunet.tasks.segmentation.plan import LossName
from volunet.tasks.segmentation.target import cut_labels

CLASSES = 3
REPEATS = 10
HAUSDORFF = "MONAI's HausdorffDTLoss"


def measure_cost(settings: Row, data: Path) -> Row:
    """The quickest of some repeats of each loss, by turns, in milliseconds."""
    torch.set_num_threads(1)
    label = read_labels(data)
    noise = torch.randn(BATCH_SIZE, CLASSES, *PATCH_SIZE, generator=_generator(settings["seed"]))
    right = one_hot(label[:, 0], CLASSES).movedim(-1, 1)
    logits = (5.0 * right + 3.0 * noise).requires_grad_()
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        name: SegmentationLoss(name) for name in get_args(LossName)
    }
    losses[HAUSDORFF] = HausdorffDTLoss(softmax=True, to_onehot_y=True)
    taken: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(REPEATS + 1):
        for name, loss in losses.items():
            begin = time.perf_counter()
            torch.autograd.grad(loss(logits, label), logits)
            taken[name].append(time.perf_counter() - begin)
    return {"milliseconds": {name: 1000 * min(seconds[1:]) for name, seconds in taken.items()}}


def read_labels(data: Path) -> Tensor:
    """Labels of the first training cases, cut to the patch, (N, 1, D, H, W)."""
    dataset = find_data(data)
    cases, _ = training_and_test(dataset)
    labels = []
    for case in cases[:BATCH_SIZE]:
        image, label = read_case(case, dataset)
        if label is None:
            raise ValueError(f"{case.name} has no label map")
        array = label.array[0].astype(np.uint8)
        centre = np.asarray(array.shape) // 2
        labels.append(cut_patch(image.array, array, centre, PATCH_SIZE, cut_labels)["target"])
    return torch.stack(labels)


def cost_section(rows: Sequence[Row]) -> str:
    """Heading and table, Markdown."""
    patch = "×".join(map(str, PATCH_SIZE))
    cells = [
        [name, f"{milliseconds:.0f}"]
        for row in rows
        for name, milliseconds in row["milliseconds"].items()
    ]
    return "\n\n".join(
        [
            "## Time",
            f"A loss and its gradient by the logits, {BATCH_SIZE} patches of {patch} voxels, "
            f"{CLASSES} classes, one thread, the quickest of {REPEATS} by turns.",
            markdown_table(["loss", "ms"], cells),
        ]
    )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
