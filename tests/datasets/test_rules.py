"""From a fingerprint to a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from volunet.datasets.cases import DataSet
from volunet.datasets.rules import (
    PRESETS,
    WIDTH,
    choose_augmentation,
    choose_features,
    choose_mirror_axes,
    choose_normalisation,
    plan_from_fingerprint,
    size_on_grid,
)
from volunet.errors import ConfigError
from volunet.plan import Fingerprint, Plan, Regularisation, read_plan
from volunet.requests import TrainingRequest
from volunet.tasks.segmentation.annotations import LabelMaps


def make_dataset(
    channels: tuple[str, ...] = ("MRI",), classes: tuple[str, ...] = ("background", "a", "b")
) -> DataSet:
    return DataSet(
        "Test", Path("d"), channels, LabelMaps(dict(zip((0, 2, 7), classes, strict=False))), ()
    )


def planned(
    dataset: DataSet,
    fingerprint: Fingerprint,
    width: int = WIDTH,
    patch_share: float = 1.0,
    members: int = 1,
    **asked: Any,
) -> Plan:
    return plan_from_fingerprint(
        dataset, fingerprint, TrainingRequest.of(**asked), width=width, patch_share=patch_share,
        members=members,
    )  # fmt: skip


def make_fingerprint(
    size: tuple[int, int, int] = (36, 50, 35),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    channels: int = 1,
    num_cases: int = 4,
) -> Fingerprint:
    return Fingerprint(
        num_cases=num_cases,
        median_spacing_mm=spacing_mm,
        median_size=size,
        largest_size=size,
        intensity_percentiles=((-100.0, 40.0, 300.0),) * channels,
        intensity_mean=(50.0,) * channels,
        intensity_std=(25.0,) * channels,
        class_fractions=(0.9, 0.05, 0.05),
    )


def test_auto():
    plan = planned(make_dataset(), make_fingerprint())
    assert plan.channels == ("MRI",)
    assert plan.orientation == "RAS"
    assert plan.spacing_mm == (1, 1, 1)
    assert plan.task.classes == ("background", "a", "b")
    assert plan.task.label_values == (0, 2, 7)
    assert plan.task.colours[0] == (0, 0, 0)
    assert (plan.patch_size, plan.batch_size) == ((40, 56, 40), 2)
    assert plan.mirror_axes == (2,)
    network = plan.network
    assert network is not None
    assert (network.in_channels, network.out_channels) == (1, 3)
    assert network.features == (16, 32, 64, 128)
    assert (network.kernels, network.strides) == (None, None)
    assert (network.norm, network.activation) == ("batch", "leaky_relu")
    assert (network.upsampling, network.output_activation) == ("transposed", "none")
    assert plan.fingerprint == make_fingerprint()
    assert network.dropout == 0.0
    assert plan.members == 1
    # Of four cases: strongly augmented. Nothing else is on but a little weight decay.
    assert plan.regularisation == Regularisation(l1=0.0, l2=0.01, augmentation="strong", patience=0)


def test_plan_survives_its_file():
    plan = planned(make_dataset(), make_fingerprint((30, 512, 512), (5.0, 0.7, 0.7)))
    assert read_plan(plan.model_dump_json(), "plan.json") == plan


def test_thick_slices_get_flat_levels():
    plan = planned(make_dataset(), make_fingerprint((30, 512, 512), (5.0, 0.7, 0.7)))
    network = plan.network
    assert network is not None
    assert network.strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert network.kernels is not None
    assert network.kernels[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))
    assert network.features == (16, 32, 64, 128, 256)
    assert plan.patch_size == (32, 80, 96)


def test_notes_is_the_notes_network_whatever_the_scans():
    plan = planned(
        make_dataset(), make_fingerprint((30, 512, 512), (5.0, 0.7, 0.7)), preset="notes"
    )
    network = plan.network
    assert network is not None
    assert network.features == (32, 64, 128, 256, 512)
    assert (network.kernels, network.strides) == (None, None)
    assert (network.norm, network.activation) == ("batch", "relu")
    assert (network.upsampling, network.output_activation) == ("transposed_dilated", "none")
    assert all(length % 16 == 0 for length in plan.patch_size)


def test_given_numbers_replace_the_rules():
    plan = planned(
        make_dataset(),
        make_fingerprint(),
        features=(4, 8),
        patch_size=(11, 12, 13),
        batch_size=5,
        spacing_mm=(2.0, 1.0, 1.0),
        norm="group",
        dropout=(0.0, 0.25),
        l1=1e-4,
        l2=0.0,
        augmentation="light",
        patience=7,
        members=3,
    )
    assert plan.network is not None
    assert plan.network.features == (4, 8)
    assert (plan.network.norm, plan.network.dropout) == ("group", (0.0, 0.25))
    assert plan.regularisation == Regularisation(l1=1e-4, l2=0.0, augmentation="light", patience=7)
    assert plan.members == 3
    assert plan.network.strides is None
    assert (plan.patch_size, plan.batch_size) == ((11, 12, 13), 5)
    assert plan.spacing_mm == (2, 1, 1)


@pytest.mark.parametrize(
    ("preset", "norm", "expected"),
    [
        ("auto", None, "batch"), ("auto", "instance", "instance"), ("notes", "none", "none"),
    ],
)  # fmt: skip
def test_norm_replaces_the_presets(preset, norm, expected):
    plan = planned(make_dataset(), make_fingerprint(), preset=preset, norm=norm)
    assert plan.network is not None
    assert plan.network.norm == expected


@pytest.mark.parametrize(
    ("width", "features"), [(8, (8, 16, 32, 64)), (24, (24, 48, 96, 192)), (32, (32, 64, 128, 256))]
)
def test_width_is_of_the_top_level(width, features):
    plan = planned(make_dataset(), make_fingerprint(), width=width)
    assert plan.network is not None
    assert plan.network.features == features
    # What was given counts more, and so does a preset with features of its own.
    given = planned(make_dataset(), make_fingerprint(), width=width, features=(4, 8)).network
    notes = planned(make_dataset(), make_fingerprint(), width=width, preset="notes").network
    assert given is not None
    assert notes is not None
    assert given.features == (4, 8)
    assert notes.features == (32, 64, 128, 256, 512)


@pytest.mark.parametrize(
    ("share", "patch"),
    [(1.0, (64, 64, 64)), (0.5, (48, 48, 56)), (0.25, (40, 40, 40)), (0.125, (32, 32, 32))],
)
def test_a_share_of_the_largest_patch(share, patch):
    plan = planned(make_dataset(), make_fingerprint((200, 200, 200)), patch_share=share)
    assert plan.patch_size == patch
    voxels = patch[0] * patch[1] * patch[2]
    assert voxels <= share * 64**3
    # What was given counts more.
    given = planned(make_dataset(), make_fingerprint(), patch_share=share, patch_size=(40, 40, 40))
    assert given.patch_size == (40, 40, 40)


def test_a_scan_smaller_than_the_share_stays_whole():
    plans = [planned(make_dataset(), make_fingerprint(), patch_share=share) for share in (1.0, 0.5)]
    assert plans[0] == plans[1]
    assert plans[0].patch_size == (40, 56, 40)


@pytest.mark.parametrize(
    ("num_cases", "strength"),
    [(1, "strong"), (29, "strong"), (30, "moderate"), (999, "moderate"), (1000, "light")],
)
def test_augmentation_follows_the_number_of_cases(num_cases, strength):
    assert choose_augmentation(num_cases) == strength
    fingerprint = make_fingerprint(num_cases=num_cases)
    plan = planned(make_dataset(), fingerprint)
    assert plan.regularisation.augmentation == strength
    plan = planned(make_dataset(), fingerprint, augmentation="none")
    assert plan.regularisation.augmentation == "none"


def test_given_spacing_changes_the_size_on_the_grid():
    assert size_on_grid(make_fingerprint((40, 60, 80)), (2.0, 1.0, 0.5)) == (20, 60, 160)
    plan = planned(make_dataset(), make_fingerprint(), spacing_mm=(2.0, 2.0, 2.0))
    # 18 × 25 × 18 voxels: two halvings leave 4.5, so that the patch is whole multiples of 4.
    assert plan.patch_size == (20, 28, 20)


@pytest.mark.parametrize(
    ("keys", "levels"), [({"features": (4, 8, 16)}, 3), ({"preset": "notes"}, 5)],
    ids=["features", "preset"],
)  # fmt: skip
def test_dropout_of_other_levels(keys, levels):
    with pytest.raises(
        ConfigError,
        match=rf"--dropout: 2 numbers for {levels} levels\.\nDropout is one number for all levels, "
        r"or one for each, the lowest included\.\nGive as many as there are features",
    ):
        planned(make_dataset(), make_fingerprint(), dropout=(0.1, 0.2), **keys)


@pytest.mark.parametrize("share", [1.0, 0.125])
def test_dropout_for_each_level_says_how_many_there_are(share):
    plan = planned(make_dataset(), make_fingerprint(), dropout=(0.0, 0.1, 0.2), patch_share=share)
    assert plan.network.features == (16, 32, 64)
    assert plan.network.dropout == (0.0, 0.1, 0.2)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_one_voxel_scans_have_a_plan(preset):
    plan = planned(make_dataset(), make_fingerprint((1, 1, 1)), preset=preset)
    assert isinstance(plan, Plan)


@pytest.mark.parametrize("name", ["CT", "ct", " Ct "])
def test_ct_is_clipped_with_the_data_set_s_numbers(name):
    rule = choose_normalisation(name, make_fingerprint(), 0)
    assert rule.kind == "clip_zscore"
    # The foreground's -100…300 HU, widened to CT_WINDOW; water stays 0.
    assert (rule.low, rule.high, rule.mean, rule.std) == (-200, 300, 0, 25)


def test_a_wide_foreground_keeps_its_own_window():
    wide = make_fingerprint().model_copy(
        update={"intensity_percentiles": ((-900.0, 40.0, 1500.0),) * 2}
    )
    rule = choose_normalisation("CT", wide, 0)
    assert (rule.low, rule.high) == (-900, 1500)


@pytest.mark.parametrize("name", ["MRI", "PET", "CTA", "image"])
def test_other_channels_are_normalised_by_themselves(name):
    assert choose_normalisation(name, make_fingerprint(), 0).kind == "zscore"


def test_each_channel_has_its_rule():
    dataset = make_dataset(("CT", "PET"))
    plan = planned(dataset, make_fingerprint(channels=2))
    assert [rule.kind for rule in plan.normalisation] == ["clip_zscore", "zscore"]
    assert plan.network is not None
    assert plan.network.in_channels == 2


def test_ct_of_one_value_falls_back():
    flat = make_fingerprint().model_copy(
        update={"intensity_percentiles": ((7.0, 7.0, 7.0),), "intensity_std": (0.0,)}
    )
    assert choose_normalisation("CT", flat, 0).kind == "zscore"


def test_features_double_up_to_the_cap():
    assert choose_features(7) == (16, 32, 64, 128, 256, 320, 320)
    assert choose_features(5, 32) == (32, 64, 128, 256, 320)


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("femur", (2,)),
        ("hip_left", ()),
        ("Right hip", ()),
        ("RightHip", ()),
        ("hipLeft", ()),
        ("LEFT", ()),
        ("kidney-right", ()),
        ("leftover", (2,)),
        ("bright spot", (2,)),
    ],
)
def test_mirroring_stops_at_sides(name, axes):
    assert choose_mirror_axes(("background", name)) == axes
