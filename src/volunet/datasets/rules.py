"""From a data set's fingerprint to a `Plan`: one small rule each, with its reason.

A number that the caller gives replaces the rule's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

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


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
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
    *,
    preset: str = "auto",
    features: tuple[int, ...] | None = None,
    width: int = WIDTH,
    patch_size: Size3 | None = None,
    patch_share: float = 1.0,
    batch_size: int | None = None,
    spacing_mm: Triple | None = None,
    norm: NormName | None = None,
    dropout: float | tuple[float, ...] = 0.0,
    l1: float = 0.0,
    l2: float | None = None,
    augmentation: Augmentation | None = None,
    patience: int = 0,
    members: int = 1,
) -> Plan:
    """Plan the training of a network.

    Args:
        dataset: The data set.
        fingerprint: Its numbers, taken in `ORIENTATION`.
        preset: A key of `PRESETS`.
        features: Channels of each level, top down, the lowest included; instead of the rule's.
        width: Channels of the top level where no features are given; see `choose_features`.
        patch_size: Size of training patches in voxels, (D, H, W); instead of the rule's.
        patch_share: Share of `levels.PATCH_VOXELS` that a patch may have, where none is given.
        batch_size: Patches in a batch; instead of `BATCH_SIZE`.
        spacing_mm: Spacing of the model's grid in mm, (D, H, W); instead of the median.
        norm: Norm layers; instead of the preset's.
        dropout: Probability with which a block's channels are dropped; a number, or one a level,
            of which there are then as many.
        l1: See `Regularisation.l1`.
        l2: See `Regularisation.l2`; its default where not given.
        augmentation: Its strength; instead of `choose_augmentation`.
        patience: See `Regularisation.patience`.
        members: Networks whose answers are averaged.

    Raises:
        ConfigError: The preset is unknown, or a number that was given is out of its range.
    """
    check_choices(
        preset=preset,
        features=features,
        patch_size=patch_size,
        batch_size=batch_size,
        spacing_mm=spacing_mm,
        norm=norm,
        dropout=dropout,
        l1=l1,
        l2=l2,
        augmentation=augmentation,
        patience=patience,
    )
    family = PRESETS[preset]
    features = features or family.features
    spacing_mm = spacing_mm or choose_spacing(fingerprint)
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
        batch_size=batch_size or BATCH_SIZE,
        mirror_axes=choose_mirror_axes(task.names),
        network=NetworkPlan(
            in_channels=len(dataset.channels),
            out_channels=task.out_channels,
            features=features or choose_features(len(levels.kernels), width),
            kernels=None if is_plain else levels.kernels,
            strides=None if is_plain else levels.strides,
            upsampling=family.upsampling,
            norm=norm or family.norm,
            activation=family.activation,
            output_activation="none",
            dropout=dropout,
        ),
        regularisation=Regularisation(
            l1=l1,
            l2=Regularisation().l2 if l2 is None else l2,
            augmentation=augmentation or choose_augmentation(fingerprint.num_cases),
            patience=patience,
        ),
        members=members,
        fingerprint=fingerprint,
    )


def check_choices(
    *,
    preset: str = "auto",
    features: Sequence[int] | None = None,
    patch_size: Size3 | None = None,
    batch_size: int | None = None,
    spacing_mm: Triple | None = None,
    norm: str | None = None,
    dropout: float | Sequence[float] = 0.0,
    l1: float = 0.0,
    l2: float | None = None,
    augmentation: str | None = None,
    patience: int = 0,
) -> None:
    """Refuse arguments of `plan_from_fingerprint` that no data set makes right.

    Raises:
        ConfigError: One is out of its range or no choice, or two do not fit together.
    """
    _check_choice("preset", preset, tuple(PRESETS))
    _check_positive("features", features)
    _check_positive("patch_size", patch_size)
    _check_positive("batch_size", None if batch_size is None else (batch_size,))
    _check_positive("spacing_mm", spacing_mm)
    _check_choice("norm", norm, get_args(NormName))
    _check_choice("augmentation", augmentation, get_args(Augmentation))
    for name, value in (("l1", l1), ("l2", l2), ("patience", patience)):
        _check_range(name, value, math.inf)
    if isinstance(dropout, (int, float)):
        _check_range("dropout", dropout, 1.0)
        return
    for probability in dropout:
        _check_range("dropout", probability, 1.0)
    features = features or PRESETS[preset].features
    if features is not None and len(features) != len(dropout):
        raise ConfigError(
            "dropout",
            f"{len(dropout)} numbers for {len(features)} levels",
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


def _check_choice(name: str, value: str | None, choices: Sequence[str]) -> None:
    if value is not None and value not in choices:
        raise ConfigError(
            name, f"{value!r}", f"Choices are {', '.join(choices)}.", "Take one of these."
        )


def _check_range(name: str, value: float | None, limit: float) -> None:
    # Written so that a NaN fails.
    if value is not None and not 0 <= value < limit:
        below = "finite" if limit == math.inf else f"below {limit:g}"
        raise ConfigError(
            name, f"{value}", f"{name} is 0 or more and {below}.", "Give another number."
        )


def _check_positive(name: str, values: Sequence[float] | None) -> None:
    if values is not None and (not values or not all(value > 0 for value in values)):
        raise ConfigError(
            name,
            " × ".join(str(value) for value in values) or "nothing",
            "Each number must be larger than 0.",
            f"Give other numbers, or leave {name} to the rule.",
        )
