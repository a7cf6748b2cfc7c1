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
from volunet.datasets.colours import choose_colours
from volunet.datasets.levels import Levels, cap_size, plan_levels, plan_patch
from volunet.errors import ConfigError
from volunet.plan import (
    ActivationName,
    Fingerprint,
    NetworkPlan,
    Normalisation,
    NormName,
    Plan,
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
    patch_size: Size3 | None = None,
    batch_size: int | None = None,
    spacing_mm: Triple | None = None,
) -> Plan:
    """Plan the training of a segmentation network.

    Args:
        dataset: The data set.
        fingerprint: Its numbers, taken in `ORIENTATION`.
        preset: A key of `PRESETS`.
        features: Channels of each level, top down, the lowest included; instead of the rule's.
        patch_size: Size of training patches in voxels, (D, H, W); instead of the rule's.
        batch_size: Patches in a batch; instead of `BATCH_SIZE`.
        spacing_mm: Spacing of the model's grid in mm, (D, H, W); instead of the median.

    Raises:
        ConfigError: The preset is unknown, or a number that was given is not positive.
    """
    if preset not in PRESETS:
        raise ConfigError(
            "preset", f"{preset!r}", f"Presets are {', '.join(PRESETS)}.", "Choose one of them."
        )
    _check_positive("features", features)
    _check_positive("patch_size", patch_size)
    _check_positive("batch_size", None if batch_size is None else (batch_size,))
    _check_positive("spacing_mm", spacing_mm)
    family = PRESETS[preset]
    features = features or family.features
    spacing_mm = spacing_mm or choose_spacing(fingerprint)
    # Levels follow the patch: training shows the network nothing larger.
    size = patch_size or cap_size(size_on_grid(fingerprint, spacing_mm))
    levels = choose_levels(family, size, spacing_mm, None if features is None else len(features))
    is_plain = all(kernel == (3, 3, 3) for kernel in levels.kernels) and all(
        stride == (2, 2, 2) for stride in levels.strides
    )
    num_classes = len(dataset.labels)
    return Plan(
        dataset=dataset.name,
        channels=dataset.channels,
        orientation=ORIENTATION,
        spacing_mm=spacing_mm,
        normalisation=tuple(
            choose_normalisation(name, fingerprint, channel)
            for channel, name in enumerate(dataset.channels)
        ),
        classes=tuple(dataset.labels.values()),
        label_values=tuple(dataset.labels),
        colours=choose_colours(num_classes),
        patch_size=patch_size or plan_patch(size, levels.total_stride),
        batch_size=batch_size or BATCH_SIZE,
        mirror_axes=choose_mirror_axes(tuple(dataset.labels.values())),
        network=NetworkPlan(
            in_channels=len(dataset.channels),
            out_channels=num_classes,
            features=features or choose_features(len(levels.kernels)),
            kernels=None if is_plain else levels.kernels,
            strides=None if is_plain else levels.strides,
            upsampling=family.upsampling,
            norm=family.norm,
            activation=family.activation,
            output_activation="none",
        ),
        fingerprint=fingerprint,
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


def choose_features(count: int) -> tuple[int, ...]:
    """16 channels, doubled on each level, at most `MAX_FEATURES`.

    Halving three axes leaves an eighth of the voxels, so that doubled channels still cost half.
    """
    return tuple(min(16 * 2**level, MAX_FEATURES) for level in range(count))


def choose_mirror_axes(classes: Sequence[str]) -> tuple[int, ...]:
    """Mirror left and right, unless a class is called left or right.

    Bodies are nearly symmetric, which doubles the data for free; but a mirrored left hip is
    labelled left and looks right. Other axes are not mirrored: nobody is scanned with the head
    where the feet belong.

    Example:
        >>> choose_mirror_axes(["background", "femur"]), choose_mirror_axes(["hip_left"])
        ((2,), ())
    """
    words = {
        word.lower()
        for name in classes
        for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    }
    return () if words & {"left", "right"} else (LEFT_RIGHT_AXIS,)


def _check_positive(name: str, values: Sequence[float] | None) -> None:
    if values is not None and (not values or not all(value > 0 for value in values)):
        raise ConfigError(
            name,
            " × ".join(str(value) for value in values) or "nothing",
            "Each number must be larger than 0.",
            f"Give other numbers, or leave {name} to the rule.",
        )
