"""One scan through a model: the answer lies on the scan's own grid and means what the plan says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from volunet.errors import VolumeError
from volunet.inference import Model, open_engine, open_model, predict_volume
from volunet.inference.predict import model_grid_shape
from volunet.plan import NetworkPlan, Normalisation, Plan
from volunet.volumes import Volume, conform
from volunet.volumes.axes import affine_of

MakePlan = Callable[..., Plan]


class Function:
    """An engine that is one line of NumPy, and keeps what it was given."""

    name = "function"

    def __init__(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self.function = function
        self.given: list[NDArray[np.float32]] = []

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        self.given.append(x)
        return self.function(x)


def threshold(x: NDArray[Any]) -> NDArray[np.float32]:
    """Logits of three classes: below 0, from 0 to 100, above 100."""
    return np.concatenate([-x, 50 - abs(x - 50), x - 100], axis=1).astype(np.float32)


@pytest.fixture
def oblique() -> NDArray[np.float64]:
    """Spacing (i, j, k) 0.7, 0.9, 3.0 mm, 20° about x and 10° about z, i and k flipped."""
    a, b = np.radians([20, 10])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([-0.7, 0.9, -3.0])
    affine[:3, 3] = (91.25, -40.5, 1013.125)
    return affine


@pytest.fixture
def blocks(oblique: NDArray[np.float64]) -> Volume:
    """Air with a box of 50 and a box of 200 in it, (12, 40, 48), no symmetry."""
    array = np.full((12, 40, 48), -100, np.int16)
    array[2:7, 6:21, 9:30] = 50
    array[7:11, 22:38, 3:17] = 200
    return Volume(array, oblique, Path("blocks.nii.gz"))


def test_on_the_scans_own_spacing_labels_are_exact(blocks: Volume, tiny_plan: MakePlan) -> None:
    plan = tiny_plan(spacing_mm=None, orientation="SLA")
    engine = Function(threshold)
    labels = predict_volume(Model(plan, engine), blocks)
    expected = np.select([blocks.array > 100, blocks.array > 0], [300, 5], 0)
    assert np.array_equal(labels.array, expected)
    assert labels.array.shape == (1, 12, 40, 48)
    assert labels.array.dtype == np.uint16
    assert np.array_equal(labels.affine, blocks.affine)
    # The scan is LAI: its axes come as S, L, A for i, j, k.
    assert blocks.orientation == "LAI"
    (x,) = engine.given
    assert (x.shape, x.dtype) == ((1, 1, 40, 48, 12), np.float32)
    assert x.flags.c_contiguous


def test_on_another_spacing_labels_come_back_onto_the_scan(
    blocks: Volume, tiny_plan: MakePlan
) -> None:
    plan = tiny_plan(spacing_mm=(1.0, 0.9, 0.7), orientation="RAS")
    engine = Function(threshold)
    labels = predict_volume(Model(plan, engine), blocks)
    assert engine.given[0].shape == (1, 1, *model_grid_shape(blocks, plan)) == (1, 1, 36, 40, 48)
    assert np.array_equal(labels.affine, blocks.affine)
    assert labels.shape == blocks.shape
    expected = np.select([blocks.array > 100, blocks.array > 0], [300, 5], 0)
    # Where the boxes' faces cross slices, interpolation passes through the classes in between:
    # only voxels that have another label beside them may differ.
    wrong = labels.array != expected
    inside = np.ones_like(wrong)
    for axis in (1, 2, 3):
        for step in (1, -1):
            inside &= np.roll(expected, step, axis) == expected
    assert not (wrong & inside).any()
    assert wrong.mean() < 0.03


@pytest.mark.parametrize("spacing", [None, (2.0, 1.5, 1.0), (5.0, 0.5, 3.0)], ids=str)
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 17, 11)], ids=str)
def test_a_real_network_answers_on_an_oblique_grid(
    tiny_onnx: Path,
    oblique: NDArray[np.float64],
    spacing: tuple[float, float, float] | None,
    size: tuple[int, int, int],
) -> None:
    opened = open_model(tiny_onnx, threads=1)
    plan = opened.plan.model_copy(update={"spacing_mm": spacing})
    noise = np.random.default_rng(0).normal(50, 120, size)
    labels = predict_volume(Model(plan, opened.engine), Volume(noise, oblique))
    assert labels.array.shape == (1, *size)
    assert labels.array.dtype == np.uint16
    assert set(np.unique(labels.array)) <= {0, 5, 300}
    assert np.array_equal(labels.affine, oblique)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_turning_a_scan_on_disk_changes_nothing(
    tiny_onnx: Path, engine: str, oblique: NDArray[np.float64]
) -> None:
    """The same head, stored in another order: the same labels, in that order."""
    opened = open_model(tiny_onnx, engine, threads=1)
    model = Model(opened.plan.model_copy(update={"spacing_mm": None}), opened.engine)
    noise = np.random.default_rng(0).normal(50, 120, (4, 9, 7)).astype(np.float32)
    scan = Volume(noise, oblique)
    turned = conform(scan, "PSR", None)
    straight = predict_volume(model, scan)
    assert turned.shape != scan.shape
    labels = predict_volume(model, turned)
    assert np.array_equal(labels.affine, turned.affine)
    assert np.array_equal(conform(labels, "LAI", None).array, straight.array)
    assert len(np.unique(straight.array)) > 1


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 5, 300), (7, 0, 70000)], ids=str)
def test_labels_have_the_plans_values_in_the_smallest_type(
    blocks: Volume, tiny_plan: MakePlan, values: tuple[int, int, int]
) -> None:
    plan = tiny_plan(spacing_mm=None, label_values=values)
    labels = predict_volume(Model(plan, Function(threshold)), blocks)
    expected = np.select([blocks.array > 100, blocks.array > 0], [values[2], values[1]], values[0])
    assert np.array_equal(labels.array, expected)
    kinds = {2: np.uint8, 300: np.uint16, 70000: np.int32}
    assert labels.array.dtype == kinds[max(values)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused(tiny_onnx: Path, bad: float) -> None:
    array = np.zeros((3, 4, 5), np.float32)
    array[1, 2, 3] = bad
    scan = Volume(array, np.eye(4), Path("broken.nii.gz"))
    nan, infinite = (1, 0) if np.isnan(bad) else (0, 1)
    with pytest.raises(VolumeError) as caught:
        predict_volume(open_model(tiny_onnx), scan)
    assert caught.value.where == "broken.nii.gz"
    assert caught.value.found == f"{nan} voxels are NaN and {infinite} infinite, of 60"


def test_other_channels_are_refused(tiny_onnx: Path, labels_onnx: Path) -> None:
    scan = Volume(np.zeros((2, 3, 4, 5), np.float32), np.eye(4), Path("two.nii.gz"))
    with pytest.raises(VolumeError, match=r"two\.nii\.gz: 2 channels\.\nThe model takes 1: CT\."):
        predict_volume(open_model(tiny_onnx), scan)
    one = Volume(np.zeros((3, 4, 5), np.float32), np.eye(4))
    with pytest.raises(VolumeError, match=r"volume: 1 channels\.\nThe model takes 2: CT, PET\."):
        predict_volume(open_model(labels_onnx), one)


def test_probabilities_are_the_softmax_and_sum_to_1(
    tiny_onnx: Path, oblique: NDArray[np.float64]
) -> None:
    opened = open_model(tiny_onnx, threads=1)
    noise = np.random.default_rng(0).normal(50, 120, (6, 9, 7)).astype(np.float32)
    scan = Volume(noise, oblique)
    for spacing in (None, (2.0, 1.5, 1.0)):
        plan = opened.plan.model_copy(update={"spacing_mm": spacing})
        model = Model(plan, opened.engine)
        answer = predict_volume(model, scan, probabilities=True)
        assert answer.array.shape == (3, 6, 9, 7)
        assert answer.array.dtype == np.float32
        assert np.array_equal(answer.affine, oblique)
        assert np.abs(answer.array.sum(axis=0) - 1).max() <= 1e-5  # float32, interpolated
        assert answer.array.min() >= 0
    unturned = Model(opened.plan.model_copy(update={"spacing_mm": None, "orientation": "any"}),
                     opened.engine)  # fmt: skip
    logits = opened.engine.run(noise[None, None])[0]
    got = predict_volume(unturned, scan, probabilities=True).array
    np.testing.assert_allclose(got, softmax(logits, axis=0), atol=1e-6)
    labels = predict_volume(unturned, scan).array[0]
    assert np.array_equal(labels, np.array([0, 5, 300])[got.argmax(axis=0)])


def as_given(tiny_plan: MakePlan, **keys: Any) -> Plan:
    """A plan that takes a scan as it is."""
    rule = Normalisation(kind="none")
    return tiny_plan(spacing_mm=None, orientation="any", normalisation=(rule,), **keys)


@pytest.mark.parametrize(
    ("keys", "activated"),
    [
        ({"answer": "logits"}, False),
        ({"answer": "logits", "output_activation": "relu"}, False),
        ({"answer": "logits", "output_activation": "softmax"}, True),
        ({"answer": "logits", "output_activation": "sigmoid"}, True),
        ({"answer": "probabilities"}, True),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_softmax_is_applied_exactly_once(
    tiny_plan: MakePlan, keys: dict[str, str], activated: bool
) -> None:
    given = np.random.default_rng(0).dirichlet((1, 1, 1), (2, 3, 4)).transpose(3, 0, 1, 2)
    model = Model(as_given(tiny_plan, **keys), Function(lambda x: given[None].astype(np.float32)))
    scan = Volume.of_array(np.zeros((2, 3, 4)), (1, 1, 1))
    got = predict_volume(model, scan, probabilities=True).array
    np.testing.assert_allclose(got, given if activated else softmax(given, axis=0), atol=1e-6)


def test_one_channel_for_two_classes_is_the_second_ones_probability(tiny_plan: MakePlan) -> None:
    p = np.array([0.0, 0.2, 0.49, 0.51, 1.0], np.float32).reshape(1, 1, 1, 1, 5)
    plan = as_given(tiny_plan, classes=2).model_copy(update={"network": None})
    model = Model(plan, Function(lambda x: p))
    scan = Volume.of_array(np.zeros((1, 1, 5)), (1, 1, 1))
    assert predict_volume(model, scan).array.ravel().tolist() == [0, 0, 0, 5, 5]
    got = predict_volume(model, scan, probabilities=True).array
    np.testing.assert_allclose(got[1].ravel(), p.ravel())
    np.testing.assert_allclose(got.sum(axis=0), 1)


def test_a_model_that_answers_labels(labels_onnx: Path, oblique: NDArray[np.float64]) -> None:
    model = open_model(labels_onnx, threads=1)
    noise = np.random.default_rng(0).normal(50, 120, (2, 5, 9, 7)).astype(np.float32)
    scan = Volume(noise, oblique, Path("pair.nii.gz"))
    labels = predict_volume(model, scan)
    assert labels.array.shape == (1, 5, 9, 7)
    assert set(np.unique(labels.array)) <= {0, 5, 300}
    unturned = model.plan.model_copy(update={"spacing_mm": None, "orientation": "any"})
    got = predict_volume(Model(unturned, model.engine), scan).array
    indices = model.engine.run(noise[None])[0]
    assert np.array_equal(got, np.array([0, 5, 300], np.uint16)[indices])
    assert len(np.unique(got)) > 1
    with pytest.raises(VolumeError, match=r"pair\.nii\.gz: probabilities asked of a model that"):
        predict_volume(model, scan, probabilities=True)


def test_normalisation_happens_once(tiny_plan: MakePlan) -> None:
    plan = tiny_plan(spacing_mm=None, orientation="any")
    scan = Volume.of_array(np.full((2, 3, 4), 170.0), (1, 1, 1))
    inside, outside = Function(threshold), Function(threshold)
    predict_volume(Model(plan, inside), scan)
    predict_volume(Model(plan, outside, normalises=False), scan)
    assert inside.given[0].max() == inside.given[0].min() == 170.0
    assert outside.given[0].max() == outside.given[0].min() == 1.0  # (170 − 50) / 120


def test_a_smaller_answer_lies_in_the_middle_of_background(tiny_plan: MakePlan) -> None:
    """As the skip alignment ``crop`` leaves it: of 3 lost voxels, 1 in front."""
    middle = np.full((1, 3, 4, 2, 4), -1.0, np.float32)
    middle[:, 2] = 3.0
    model = Model(as_given(tiny_plan), Function(lambda x: middle))
    labels = predict_volume(model, Volume.of_array(np.zeros((7, 2, 5)), (1, 1, 1))).array[0]
    expected = np.zeros((7, 2, 5))
    expected[1:5, :, 0:4] = 300
    assert np.array_equal(labels, expected)


def test_a_larger_answer_and_other_channels_are_refused(tiny_plan: MakePlan) -> None:
    scan = Volume.of_array(np.zeros((4, 4, 4)), (1, 1, 1))
    larger = Function(lambda x: np.zeros((1, 3, 4, 5, 4), np.float32))
    with pytest.raises(VolumeError, match=r"answers \(4, 5, 4\) voxels for \(4, 4, 4\)"):
        predict_volume(Model(as_given(tiny_plan), larger), scan)
    four = Function(lambda x: np.zeros((1, 4, 4, 4, 4), np.float32))
    with pytest.raises(VolumeError, match=r"answers 4 channels\.\nOne channel a class: background"):
        predict_volume(Model(as_given(tiny_plan), four), scan)


def test_crop_through_the_whole_path(tiny_plan: MakePlan, trained: Callable[..., Any]) -> None:
    from volunet.inference.engines.torch_engine import TorchEngine
    from volunet.nets.deployed import DeployedNetwork

    plan = as_given(tiny_plan, alignment="crop")
    assert isinstance(plan.network, NetworkPlan)
    engine = TorchEngine(DeployedNetwork(trained(plan), plan))
    noise = np.random.default_rng(0).normal(size=(9, 11, 3))
    answer = predict_volume(Model(plan, engine), Volume(noise, affine_of((1, 1, 1)))).array[0]
    logits = engine.run(noise[None, None].astype(np.float32))[0]
    assert logits.shape == (3, 8, 8, 3)
    inner = np.array([0, 5, 300])[logits.argmax(axis=0)]
    assert np.array_equal(answer[0:8, 1:9, :], inner)
    assert not answer[8].any()
    assert not answer[:, [0, 9, 10]].any()


def test_the_reference_engines_agree_on_labels(tiny_onnx: Path, data_folder: Path) -> None:
    """On a public scan (MSD Task04_Hippocampus), from the file to the labels."""
    from volunet.volumes import read_volume

    scans = sorted((data_folder / "Task04_Hippocampus" / "imagesTr").glob("h*.nii.gz"))
    if not scans:
        pytest.skip("no MSD Task04_Hippocampus in ../shared/data")
    scan = read_volume(scans[0])
    plan = open_model(tiny_onnx).plan.model_copy(update={"spacing_mm": (1.0, 1.0, 1.0)})
    answers = [
        predict_volume(Model(plan, open_engine(tiny_onnx, name, threads=1)), scan)
        for name in ("openvino", "onnxruntime")
    ]
    assert answers[0].shape == scan.shape
    assert np.array_equal(answers[0].affine, scan.affine)
    # A tie may fall either way; 1 voxel in 1000 is far more than rounding makes.
    assert np.mean(answers[0].array != answers[1].array) < 1e-3
