"""From a data set's fingerprint to a `Plan`: one small rule each, with its reason.

A number that the caller gives replaces the rule's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from volunet.datasets.cases import DataSet
from volunet.datasets.levels import PATCH_VOXELS, Levels, cap_size, plan_levels, plan_patch
from volunet.errors import ConfigError
from volunet.plan import (
    ActivationName,
    Augmentation,
    Fingerprint,
    NetworkPlan,
    Normalisation,
    NormName,
    Plan,
    Regularisation,
    Size3,
    Triple,
    Upsampling,
)
from volunet.requests import Preset as PresetName
from volunet.requests import TrainingRequest

ORIENTATION: Final = "RAS"
"""Every scan is turned to it: one anatomy, one orientation, whatever the scanner wrote."""

BATCH_SIZE: Final = 2
"""Patches are large, and two already mix cases in each step."""

MAX_FEATURES: Final = 320
"""Where doubling stops: weights grow with the square, and the lowest levels hold few voxels."""

WIDTH: Final = 16
"""Channels of the top level where no time says how many."""

FEW_CASES: Final = 30
"""Below it, cases are changed strongly: seen a thousand times each, they are known by heart."""

MANY_CASES: Final = 1000
"""From it on, cases are changed lightly: within a budget of hours each is seen a few times."""

CT_WINDOW: Final = (-200.0, 300.0)
"""HU that a CT network sees at the least: fat, water, muscle, the borders to air and to bone."""

LEFT_RIGHT_AXIS: Final = 2
"""W in (D, H, W): NIfTI's i, which `ORIENTATION` turns along left–right."""


@dataclass(frozen=True)
class Preset:
    """A family of networks.

    Attributes:
        features: Channels of each level, top down; None: `choose_features` follows the scans.
        norm: Normalisation layers.
        activation: Behind each of them.
        upsampling: Of the decoder.
    """

    features: tuple[int, ...] | None
    norm: NormName
    activation: ActivationName
    upsampling: Upsampling


PRESETS: Final[Mapping[PresetName, Preset]] = MappingProxyType(
    {
        # Follows the data set. Batch norm folds into convolutions at inference, and its answer at a
        # voxel depends on the voxel's neighbourhood alone, whatever the size of the volume.
        "auto": Preset(None, "batch", "leaky_relu", "transposed"),
        # The notes' network, whatever the data set; its final ReLU is left out, as it cuts the
        # negative logits that a segmentation's softmax needs.
        "notes": Preset((32, 64, 128, 256, 512), "batch", "relu", "transposed_dilated"),
    }
)


def plan_from_fingerprint(
    dataset: DataSet,
    fingerprint: Fingerprint,
    asked: TrainingRequest | None = None,
    *,
    width: int = WIDTH,
    patch_share: float = 1.0,
    members: int = 1,
) -> Plan:
    """Plan the training of a network.

    Args:
        dataset: The data set.
        fingerprint: Its numbers, taken in `ORIENTATION`.
        asked: What the user asked for, which replaces what the rules say.
        width: Channels of the top level where no features are given; see `choose_features`.
        patch_share: Share of `levels.PATCH_VOXELS` that a patch may have, where none is given.
        members: Networks whose answers are averaged.

    Raises:
        ConfigError: Dropout is given for other levels than there are.
    """
    asked = asked or TrainingRequest()
    check_levels(asked)
    patch_size, dropout = asked.patch_size, asked.dropout
    family = PRESETS[asked.preset]
    features = asked.features or family.features
    spacing_mm = asked.spacing_mm or choose_spacing(fingerprint)
    # Levels follow the patch: training shows the network nothing larger.
    largest = round(patch_share * PATCH_VOXELS)
    size = patch_size or cap_size(size_on_grid(fingerprint, spacing_mm), largest)
    # What is given for each level says how many there are.
    given = features or (None if isinstance(dropout, (int, float)) else dropout)
    levels = choose_levels(family, size, spacing_mm, None if given is None else len(given))
    is_plain = all(kernel == (3, 3, 3) for kernel in levels.kernels) and all(
        stride == (2, 2, 2) for stride in levels.strides
    )
    task = dataset.annotations.task()
    return Plan(
        dataset=dataset.name,
        channels=dataset.channels,
        orientation=ORIENTATION,
        spacing_mm=spacing_mm,
        normalisation=tuple(
            choose_normalisation(name, fingerprint, channel)
            for channel, name in enumerate(dataset.channels)
        ),
        task=task,
        patch_size=patch_size or plan_patch(size, levels.total_stride, largest),
        batch_size=asked.batch_size if isinstance(asked.batch_size, int) else BATCH_SIZE,
        mirror_axes=choose_mirror_axes(task.names),
        network=NetworkPlan(
            in_channels=len(dataset.channels),
            out_channels=task.out_channels,
            features=features or choose_features(len(levels.kernels), width),
            kernels=None if is_plain else levels.kernels,
            strides=None if is_plain else levels.strides,
            upsampling=family.upsampling,
            norm=asked.norm or family.norm,
            activation=family.activation,
            output_activation="none",
            dropout=dropout,
        ),
        regularisation=Regularisation(
            l1=asked.l1,
            l2=asked.weight_decay,
            augmentation=asked.augmentation or choose_augmentation(fingerprint.num_cases),
            patience=asked.patience,
        ),
        members=members,
        fingerprint=fingerprint,
    )


def check_levels(asked: TrainingRequest) -> None:
    """Refuse dropout of other levels than the features or the preset have.

    Raises:
        ConfigError: It is.
    """
    features = asked.features or PRESETS[asked.preset].features
    if isinstance(asked.dropout, float) or features is None:
        return
    if len(features) != len(asked.dropout):
        raise ConfigError(
            "--dropout",
            f"{len(asked.dropout)} numbers for {len(features)} levels",
            "Dropout is one number for all levels, or one for each, the lowest included.",
            "Give as many as there are features, or a single number.",
        )


def choose_normalisation(name: str, fingerprint: Fingerprint, channel: int) -> Normalisation:
    """CT: a window of HU, the same for every scan; anything else: each scan's own mean and std.

    HU mean the same in every scan, and the value itself tells bone from fat; MR's units differ from
    scan to scan. The window holds the foreground's 0.5 to 99.5 percentiles and at least
    `CT_WINDOW`: of a bone, the foreground alone would clip muscle, fat and air to one value, and
    with the body's outline the network would lose where it is. Water, 0 HU, stays 0, which is what
    convolutions pad with. A CT whose foreground has one single value is treated as the others.
    """
    low, _, high = fingerprint.intensity_percentiles[channel]
    std = fingerprint.intensity_std[channel]
    if name.strip().upper() != "CT" or not low < high or not std > 0:
        return Normalisation(kind="zscore")
    return Normalisation(
        kind="clip_zscore",
        low=min(low, CT_WINDOW[0]),
        high=max(high, CT_WINDOW[1]),
        mean=0.0,
        std=std,
    )


def choose_spacing(fingerprint: Fingerprint) -> Triple:
    """The median spacing: the grid on which the fewest scans change much."""
    return fingerprint.median_spacing_mm


def size_on_grid(fingerprint: Fingerprint, spacing_mm: Triple) -> Size3:
    """The median size in voxels, (D, H, W), once a scan is resampled to the model's grid."""
    depth, height, width = (
        max(1, round(length * own / target))
        for length, own, target in zip(
            fingerprint.median_size, fingerprint.median_spacing_mm, spacing_mm, strict=True
        )
    )
    return depth, height, width


def choose_levels(family: Preset, size: Size3, spacing_mm: Triple, count: int | None) -> Levels:
    """Levels that follow spacing and size; plain halvings for a family of fixed features.

    A family with features of its own is a network that exists already, and is not changed.
    """
    if family.features is None:
        return plan_levels(size, spacing_mm, count)
    depth = len(family.features) if count is None else count
    return Levels(((3, 3, 3),) * depth, ((2, 2, 2),) * (depth - 1))


def choose_features(count: int, width: int = WIDTH) -> tuple[int, ...]:
    """`width` channels, doubled on each level, at most `MAX_FEATURES`.

    Halving three axes leaves an eighth of the voxels, so that doubled channels still cost half.
    """
    return tuple(min(width * 2**level, MAX_FEATURES) for level in range(count))


def choose_augmentation(num_cases: int) -> Augmentation:
    """The fewer cases, the more they are changed; with very many, each brings its own variety.

    Example:
        >>> [choose_augmentation(count) for count in (10, 100, 2000)]
        ['strong', 'moderate', 'light']
    """
    if num_cases < FEW_CASES:
        return "strong"
    return "moderate" if num_cases < MANY_CASES else "light"


def choose_mirror_axes(names: Sequence[str]) -> tuple[int, ...]:
    """Mirror left and right, unless something that the model tells apart is called left or right.

    Bodies are nearly symmetric, which doubles the data for free; but a mirrored left hip is
    labelled left and looks right. Other axes are not mirrored: nobody is scanned with the head
    where the feet belong.

    Example:
        >>> choose_mirror_axes(["background", "femur"]), choose_mirror_axes(["hip_left"])
        ((2,), ())
    """
    words = {
        word.lower() for name in names for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    }
    return () if words & {"left", "right"} else (LEFT_RIGHT_AXIS,)
