"""From a fingerprint to a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from volunet.datasets.cases import DataSet
from volunet.datasets.rules import (
    PRESETS,
    choose_features,
    choose_mirror_axes,
    choose_normalisation,
    plan_from_fingerprint,
    size_on_grid,
)
from volunet.errors import ConfigError
from volunet.plan import Fingerprint, Plan, read_plan


def make_dataset(
    channels: tuple[str, ...] = ("MRI",), classes: tuple[str, ...] = ("background", "a", "b")
) -> DataSet:
    return DataSet("Test", Path("d"), channels, dict(zip((0, 2, 7), classes, strict=False)), ())


def make_fingerprint(
    size: tuple[int, int, int] = (36, 50, 35),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    channels: int = 1,
) -> Fingerprint:
    return Fingerprint(
        num_cases=4,
        median_spacing_mm=spacing_mm,
        median_size=size,
        largest_size=size,
        intensity_percentiles=((-100.0, 40.0, 300.0),) * channels,
        intensity_mean=(50.0,) * channels,
        intensity_std=(25.0,) * channels,
        class_fractions=(0.9, 0.05, 0.05),
    )


def test_auto():
    plan = plan_from_fingerprint(make_dataset(), make_fingerprint())
    assert plan.channels == ("MRI",)
    assert plan.orientation == "RAS"
    assert plan.spacing_mm == (1, 1, 1)
    assert plan.classes == ("background", "a", "b")
    assert plan.label_values == (0, 2, 7)
    assert plan.colours[0] == (0, 0, 0)
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


def test_plan_survives_its_file():
    plan = plan_from_fingerprint(make_dataset(), make_fingerprint((30, 512, 512), (5.0, 0.7, 0.7)))
    assert read_plan(plan.model_dump_json(), "plan.json") == plan


def test_thick_slices_get_flat_levels():
    plan = plan_from_fingerprint(make_dataset(), make_fingerprint((30, 512, 512), (5.0, 0.7, 0.7)))
    network = plan.network
    assert network is not None
    assert network.strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert network.kernels is not None
    assert network.kernels[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))
    assert network.features == (16, 32, 64, 128, 256)
    assert plan.patch_size == (32, 80, 96)


def test_notes_is_the_notes_network_whatever_the_scans():
    plan = plan_from_fingerprint(
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
    plan = plan_from_fingerprint(
        make_dataset(),
        make_fingerprint(),
        features=(4, 8),
        patch_size=(11, 12, 13),
        batch_size=5,
        spacing_mm=(2.0, 1.0, 1.0),
    )
    assert plan.network is not None
    assert plan.network.features == (4, 8)
    assert plan.network.strides is None
    assert (plan.patch_size, plan.batch_size) == ((11, 12, 13), 5)
    assert plan.spacing_mm == (2, 1, 1)


def test_given_spacing_changes_the_size_on_the_grid():
    assert size_on_grid(make_fingerprint((40, 60, 80)), (2.0, 1.0, 0.5)) == (20, 60, 160)
    plan = plan_from_fingerprint(make_dataset(), make_fingerprint(), spacing_mm=(2.0, 2.0, 2.0))
    # 18 × 25 × 18 voxels: two halvings leave 4.5, so that the patch is whole multiples of 4.
    assert plan.patch_size == (20, 28, 20)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"preset": "huge"}, r"preset: 'huge'\.\nPresets are auto, notes\."),
        ({"features": ()}, r"features: nothing"),
        ({"features": (8, 0)}, r"features: 8 × 0"),
        ({"patch_size": (8, -8, 8)}, r"patch_size: 8 × -8 × 8"),
        ({"batch_size": 0}, r"batch_size: 0"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, r"spacing_mm: 1\.0 × 0\.0 × 1\.0"),
        ({"spacing_mm": (1.0, float("nan"), 1.0)}, r"spacing_mm: 1\.0 × nan × 1\.0"),
    ],
    ids=["preset", "no-features", "zero-features", "patch", "batch", "spacing", "nan"],
)
def test_wrong_choices(keys, message):
    with pytest.raises(ConfigError, match=message):
        plan_from_fingerprint(make_dataset(), make_fingerprint(), **keys)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_one_voxel_scans_have_a_plan(preset):
    plan = plan_from_fingerprint(make_dataset(), make_fingerprint((1, 1, 1)), preset=preset)
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
    plan = plan_from_fingerprint(dataset, make_fingerprint(channels=2))
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
