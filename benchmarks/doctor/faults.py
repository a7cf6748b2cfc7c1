"""The faults that `benchmarks/doctor` plants, each by its name, and the healthy beside them.

A fault is planted into a data set or into a run; what the doctor then has to say first is the
fault's own name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.doctor import data_faults as data
from benchmarks.doctor import run_faults as runs
from benchmarks.doctor.data_faults import Edit
from benchmarks.doctor.run_faults import Training
from volunet.datasets.cases import Case

Plant = Callable[[Sequence[Case], Path], Path]
"""Cases of the hippocampus set and a new folder → the data set or run that the doctor looks at."""


@dataclass(frozen=True)
class Planted:
    """A data set or run with a fault, or a healthy one.

    Attributes:
        name: Unique name.
        text: What was done, as the table says it.
        expected: Names of the findings that name it right; none of a healthy one.
        plant: Makes it.
    """

    name: str
    text: str
    expected: tuple[str, ...]
    plant: Plant


def _edited(name: str, text: str, expected: str, edit: Edit) -> Planted:
    return Planted(
        name, text, tuple(expected.split("|")), lambda c, f: data.write_edited(c, f, edit)
    )


def _trained(name: str, text: str, expected: str, training: Training) -> Planted:
    return Planted(name, text, tuple(expected.split("|")), lambda c, f: runs.train(c, f, training))


def _healthy(name: str, text: str, plant: Plant) -> Planted:
    return Planted(name, text, (), plant)


FAULTS: tuple[Planted, ...] = (
    _edited("flipped", "labels mirrored along the longest axis in 20 %", "label-flipped",
            data.flip),
    _edited("shifted", "labels shifted by 5 voxels in 20 %", "label-shifted", data.shift_some),
    _edited("shifted-all", "labels shifted by 5 voxels in all", "label-shifted", data.shift_all),
    _edited("swapped", "the two classes swapped in 20 %", "classes-swapped", data.swap),
    Planted(
        "duplicates",
        "4 cases twice under another name, some across the split",
        ("duplicate-cases",),
        data.write_duplicates,
    ),
    _edited("nan", "not-a-number voxels in one image", "unreadable-case", data.put_nan),
    _edited("saturated", "bright half of the intensities cut off in 20 %", "intensity-saturated",
            data.saturate),
    Planted("units", "CT scaled to 0…1 (phantoms)", ("intensity-units",),
            data.write_scaled_phantoms),
    _edited("empty", "labels emptied in 10 %", "label-empty", data.empty),
    _edited("dilated", "one label dilated by 3 voxels", "label-volume-outlier", data.dilate),
    _edited("noise", "a third of the labels' border voxels at random in 20 %", "label-noise",
            data.add_noise),
    Planted(
        "lost",
        "a sheet of 1 mm in scans of 1 mm, most others of 3 mm",
        ("tiny-object-lost",),
        data.write_tiny_objects,
    ),
    _trained("rate-high", "learning rate × 1000", "learning-rate-too-high",
             Training(arguments={"learning_rate": 3.0})),
    _trained("rate-low", "learning rate ÷ 1000", "learning-rate-too-low",
             Training(arguments={"learning_rate": 3e-6})),
    _trained("one-patch", "batch of 1 with batch norm", "batch-too-small",
             Training(arguments={"batch_size": 1})),
    _trained("softmax", "softmax in the network under a loss with softmax", "loss-does-not-fit",
             Training(patches=(runs.softmax_in_the_network,))),
    _trained("decay", "weight decay 1", "weight-decay-too-strong", Training(arguments={"l2": 1.0})),
    _trained("few", "5 training cases without augmentation", "overfitting",
             Training(arguments={"augmentation": "none", "fold": "1/2"}, training_cases=5)),
    _trained("background", "patches of background alone", "no-foreground",
             Training(arguments={"patch_size": (8, 8, 8), "workers": 0},
                      patches=(runs.corner_patches,))),
    _trained("frozen", "encoder frozen", "frozen-layers", Training(patches=(runs.frozen_encoder,))),
    _trained("dead", "ReLUs dead in two levels", "dead-activations",
             Training(arguments={"preset": "notes", "features": (8, 16, 32, 64)},
                      patches=(runs.dead_units,))),
    _trained("early", "stopped after 2 epochs", "stopped-too-early",
             Training(arguments={"minutes": None, "epochs": 2})),
    _trained("starved", "patches that take 0.5 s each, and no other process", "loading-starved",
             Training(arguments={"workers": 0}, patches=(runs.slow_loader,))),
    _trained("nan-loss", "a loss that is no number from step 40 on", "divergence",
             Training(patches=(runs.loss_without_a_number,))),
)  # fmt: skip
"""24 faults, 12 of data and 12 of training."""

HEALTHY: tuple[Planted, ...] = (
    _healthy("healthy-data-0", "40 hippocampus cases", data.write_subset),
    _healthy("healthy-data-1", "40 other hippocampus cases", data.write_subset),
    _healthy("healthy-data-2", "40 other hippocampus cases", data.write_subset),
    _healthy("healthy-phantoms", "16 phantoms", data.write_phantoms),
    _healthy("healthy-run-0", "as volunet trains by itself",
             lambda c, f: runs.train(c, f, Training())),
    _healthy("healthy-run-1", "other cases, another seed",
             lambda c, f: runs.train(c, f, Training(arguments={"seed": 1}))),
    _healthy("healthy-run-2", "instance norm, dropout, strong augmentation",
             lambda c, f: runs.train(c, f, Training(arguments={
                 "norm": "instance", "dropout": 0.1, "augmentation": "strong"}))),
    _healthy("healthy-run-3", "Dice loss, batch of 4",
             lambda c, f: runs.train(c, f, Training(arguments={"loss": "dice", "batch_size": 4}))),
)  # fmt: skip
"""4 healthy data sets and 4 healthy runs."""

ALL = {planted.name: planted for planted in (*FAULTS, *HEALTHY)}
