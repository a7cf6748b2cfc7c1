"""`predict` with a budget, a mode or windows: what comes back, and what callers are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from volunet import Volume, predict, read_volume, write_volume
from volunet.api.predict import Report, open_any
from volunet.errors import ConfigError, EngineError
from volunet.inference import Model
from volunet.inference.passes import Pass
from volunet.inference.streaming.planning import BudgetError

SIZE = (13, 18, 11)
AFFINE = np.array([[-1.2, 0, 0, 40.0], [0, -1.5, 0, 30.0], [0, 0, 2.4, -20.0], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def model(tiny_onnx: Path) -> Model:
    return open_any(tiny_onnx, threads=1)


@pytest.fixture
def scan() -> Volume:
    return Volume(np.random.default_rng(0).normal(50, 150, SIZE).astype(np.float32), AFFINE)


class Told:
    """What a report was told, in its order."""

    def __init__(self) -> None:
        self.planned: list[tuple[str, Pass]] = []
        self.stages: list[tuple[str, float]] = []
        self.compared: list[tuple[str, dict[str, float]]] = []
        self.report = Report(
            lambda *planned: self.planned.append(planned),
            lambda *stage: self.stages.append(stage),
            lambda *compared: self.compared.append(compared),
        )


def test_a_volume_an_image_and_an_array_are_answered_in_kind(model: Model, scan: Volume) -> None:
    want = predict(model, scan, mode="whole").array
    volume = predict(model, scan, mode="streamed")
    assert isinstance(volume, Volume)
    assert np.array_equal(volume.array, want)
    assert volume.array.dtype == want.dtype == np.uint16
    image = sitk.GetImageFromArray(scan.array[0])
    image.SetSpacing((1.2, 1.5, 2.4))
    image.SetOrigin((-40.0, -30.0, -20.0))
    answered = predict(model, image, mode="streamed")
    assert isinstance(answered, sitk.Image)
    assert np.array_equal(sitk.GetArrayFromImage(answered), want[0])
    array = predict(model, scan.array[0], spacing_mm=(2.4, 1.5, 1.2), mode="streamed")
    whole = predict(model, scan.array[0], spacing_mm=(2.4, 1.5, 1.2), mode="whole")
    assert array.shape == SIZE
    assert np.array_equal(array, whole)


def test_a_run_folder_is_streamed(blob_run: Path, blobs: Path) -> None:
    file = blobs / "imagesTr" / "blob_1.nii.gz"
    run = open_any(blob_run, "torch", threads=1)
    whole, got = (
        predict(run, file, mode=mode, probabilities=True).array for mode in ("whole", "streamed")
    )
    assert got.shape == (2, 12, 12, 12)
    assert np.ptp(got) > 0.01
    assert np.abs(whole - got).max() <= 1e-5


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_an_ensemble_is_streamed(bagged_model: Path, blobs: Path, engine: str) -> None:
    file = blobs / "imagesTr" / "blob_1.nii.gz"
    model = open_any(bagged_model, engine, threads=1)
    told = Told()
    whole, got = (
        predict(model, file, mode=mode, probabilities=True, report=told.report).array
        for mode in ("whole", "streamed")
    )
    assert [chosen.streamed is None for _, chosen in told.planned] == [True, False]
    assert got.shape == (2, 12, 12, 12)
    assert np.ptp(got) > 0.1
    assert np.abs(whole - got).max() <= 1e-5


def test_the_scan_given_stays_as_it_is(model: Model, scan: Volume) -> None:
    before = scan.array.copy()
    predict(model, scan, mode="streamed")
    assert np.array_equal(scan.array, before)


def test_the_report_is_told_the_plan_and_then_the_stages(model: Model, scan: Volume) -> None:
    told = Told()
    predict(model, scan, mode="streamed", report=told.report)
    ((name, chosen),) = told.planned
    assert (name, chosen.size, chosen.budget) == ("volume", (16, 18, 13), None)
    assert chosen.streamed is not None
    assert list(dict.fromkeys(stage for stage, _ in told.stages)) == ["check", "prepare", "predict"]
    for stage in ("check", "prepare", "predict"):
        shares = [share for name, share in told.stages if name == stage]
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1.0)


def test_plans_are_told_before_anything_is_written(
    model: Model, scan: Volume, tmp_path: Path
) -> None:
    for name in ("b", "a"):
        write_volume(scan, tmp_path / "in" / f"{name}.nii.gz")
    seen: list[tuple[str, list[str]]] = []
    out = tmp_path / "out"
    report = Report(
        planned=lambda name, chosen: seen.append((name, sorted(p.name for p in out.iterdir())))
    )
    told: list[float] = []
    written = predict(
        model, tmp_path / "in", out, mode="streamed", report=report,
        progress=lambda done, total: told.append(done / total),
    )  # fmt: skip
    assert seen == [("a", []), ("b", ["a.nii.gz"])]
    assert sorted(out.iterdir()) == written == [out / "a.nii.gz", out / "b.nii.gz"]
    assert told == sorted(told)
    assert told.count(0.5) == told.count(1.0) == 1
    assert any(0 < share < 0.5 for share in told)


def test_a_budget_for_files_and_for_volumes(model: Model, scan: Volume, tmp_path: Path) -> None:
    file = write_volume(scan, tmp_path / "case.nii.gz")
    for source, more in ((scan, ()), (str(file), ()), (file, (tmp_path / "out",))):
        kind = EngineError if more else BudgetError  # among several scans one that is named
        with pytest.raises(kind, match=r"tiny\)?: a budget of 5 MB\.\nThe smallest that"):
            predict(model, source, *more, memory=5_000_000)
    assert list((tmp_path / "out").iterdir()) == []
    want = predict(model, scan, memory=10**12).array
    (written,) = predict(model, file, tmp_path / "out", memory=10**12, mode="streamed")
    assert np.array_equal(read_volume(written).array, want)


def test_no_scratch_is_left_where_arrays_are_streamed(
    model: Model, scan: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[str] = []
    report = Report(stage=lambda *_: seen.extend(path.name for path in tmp_path.iterdir()))
    predict(model, scan, mode="streamed", report=report)
    assert seen
    assert all(name.startswith(".volunet-scratch-") for name in seen)
    assert list(tmp_path.iterdir()) == []


def test_windows_answer_what_windows_do(model: Model, scan: Volume) -> None:
    told = Told()
    options: dict[str, Any] = {"windows": True, "window_size": (8, 8, 8)}
    exact = predict(model, scan, probabilities=True)
    blended = predict(model, scan, probabilities=True, report=told.report, **options)
    assert blended.array.shape == exact.array.shape == (3, *SIZE)
    assert np.abs(blended.array - exact.array).max() > 1e-3  # an approximation
    np.testing.assert_allclose(blended.array.sum(axis=0), 1, atol=1e-5)
    assert (told.planned, told.compared) == ([], [])


@pytest.mark.parametrize("mode", ["whole", "streamed"])
def test_comparing_tells_the_dice_of_each_class(model: Model, scan: Volume, mode: Any) -> None:
    told = Told()
    options: dict[str, Any] = {"windows": True, "window_size": (8, 8, 8)}
    blended = predict(model, scan, compare=True, mode=mode, report=told.report, **options)
    exact = predict(model, scan)
    ((name, dice),) = told.compared
    assert (name, list(dice)) == ("volume", ["hip", "femur"])
    for value, label in ((5, "hip"), (300, "femur")):
        a, b = blended.array == value, exact.array == value
        assert dice[label] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()), nan_ok=True)
    assert min(dice.values()) < 1
    assert [chosen.streamed is None for _, chosen in told.planned] == [mode == "whole"]


def test_windows_are_of_the_patches_size_unless_said(
    model: Model, scan: Volume, tmp_path: Path
) -> None:
    file = write_volume(scan, tmp_path / "case.nii.gz")
    (patches,) = predict(model, file, tmp_path / "a", windows=True, probabilities=True)
    (same,) = predict(
        model, file, tmp_path / "b", windows=True, window_size=(16, 16, 16), probabilities=True
    )
    (other,) = predict(
        model, file, tmp_path / "c", windows=True, window_size=(8, 8, 8), probabilities=True
    )
    arrays = [read_volume(path, allow_channels=True).array for path in (patches, same, other)]
    assert np.array_equal(arrays[0], arrays[1])
    assert not np.array_equal(arrays[0], arrays[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compare": True}, r"^--compare: without --windows\.\nBoth are about the prediction"),
        ({"window_size": (8, 8, 8)}, r"^--window-size: without --windows\.\n"),
        ({"mode": "fast"}, r"^--mode fast: not allowed\.\n"),
        ({"mode": "fast", "windows": True}, r"^--mode fast: not allowed\.\n"),
    ],
    ids=["compare", "window_size", "mode", "mode of windows"],
)
def test_what_does_not_go_together(
    model: Model, scan: Volume, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    file = write_volume(scan, tmp_path / "case.nii.gz")
    calls: list[Callable[[], Any]] = [
        lambda: predict(model, scan, **options),
        lambda: predict(model, file, tmp_path / "out", **options),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match=message):
            call()
    assert not (tmp_path / "out").exists()
