"""Faults that `benchmarks/doctor` plants into short trainings.

Where an argument of `volunet.train` makes the fault, that makes it. The others are patched in while
the run is trained, as a mistake in the code would be; the doctor then sees the run folder alone.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import nn

import volunet
from benchmarks.measuring.hippocampus_cases import write_table
from volunet.datasets.cases import Case
from volunet.datasets.patches import TrainingPatches
from volunet.errors import TrainingError
from volunet.nets import UNet3d
from volunet.tasks.segmentation.losses import SegmentationLoss
from volunet.training import start
from volunet.training.fitting import network as training_network

MINUTES = 0.75
"""Of each training, reading and preparing included."""

WAITING_S = 0.5
"""Of each patch, for `slow_loader`."""

LAST_GOOD_STEP = 40
"""Behind it `loss_without_a_number` answers none."""

Patching = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes:
        arguments: Of `volunet.train`, instead of its own.
        patches: What is changed in volunet while it trains.
        training_cases: How many train, by a split of the data set's own; the others validate.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    patches: Sequence[Patching] = ()
    training_cases: int | None = None


def train(cases: Sequence[Case], folder: Path, training: Training) -> Path:
    """Train on cases, with the fault; the run folder."""
    table = write_table(cases, folder / "cases.csv")
    if training.training_cases is not None:
        names = [case.name for case in cases]
        few, others = names[: training.training_cases], names[training.training_cases :]
        splits = [{"train": few, "val": others}, {"train": others, "val": few}]
        (folder / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")
    arguments = {"minutes": MINUTES, "patience": 0, **training.arguments}
    with contextlib.ExitStack() as stack:
        for patching in training.patches:
            stack.enter_context(patching())
        # A loss that is no number ends the training; the run folder is there.
        with contextlib.suppress(TrainingError):
            volunet.train(table, folder / "run", **arguments)
    return folder / "run"


def softmax_in_the_network() -> AbstractContextManager[Any]:
    """Plan a network that ends in a softmax."""
    original = start.plan_from_fingerprint

    def planned(*arguments: Any, **keys: Any) -> Any:
        plan = original(*arguments, **keys)
        network = plan.network.model_copy(update={"output_activation": "softmax"})
        return plan.model_copy(update={"network": network})

    return patch.object(start, "plan_from_fingerprint", planned)


def frozen_encoder() -> AbstractContextManager[Any]:
    """Freeze the encoder, as for fine-tuning, of a network that has nothing to fine-tune."""

    def freeze(network: UNet3d) -> None:
        for parameter in network.encoders.parameters():
            parameter.requires_grad_(False)

    return _changed_network(freeze)


def dead_units() -> AbstractContextManager[Any]:
    """Push the units of the two lowest levels so far below 0 that no input brings them above."""

    def kill(network: UNet3d) -> None:
        for block in list(network.encoders)[-2:]:
            for norm in (block.norm1, block.norm2):
                nn.init.constant_(norm.bias, -8.0)

    return _changed_network(kill)


def corner_patches() -> AbstractContextManager[Any]:
    """Cut every training patch out of a scan's corner; other processes would not know of it."""

    def corner(self: TrainingPatches, *_: object) -> Any:
        return np.asarray(self._plan.patch_size) // 2

    return patch.object(TrainingPatches, "_choose_centre", corner)


def slow_loader() -> AbstractContextManager[Any]:
    """Let each patch wait, as for a slow disk; other processes would not know of it."""
    original = TrainingPatches.__getitem__

    def wait(self: TrainingPatches, index: int) -> Any:
        time.sleep(WAITING_S)
        return original(self, index)

    return patch.object(TrainingPatches, "__getitem__", wait)


def loss_without_a_number() -> AbstractContextManager[Any]:
    """Divide by 0 in the loss from some step on."""
    original = SegmentationLoss.forward
    calls = iter(range(10**9))

    def divide(self: SegmentationLoss, logits: Any, label: Any) -> Any:
        loss = original(self, logits, label)
        trains = loss.requires_grad
        return loss * math.nan if trains and next(calls) >= LAST_GOOD_STEP else loss

    return patch.object(SegmentationLoss, "forward", divide)


def _changed_network(change: Callable[[UNet3d], None]) -> AbstractContextManager[Any]:
    original = training_network.member_of

    def build(plan: Any) -> UNet3d:
        network = original(plan)
        change(network)
        return network

    return patch.object(training_network, "member_of", build)
