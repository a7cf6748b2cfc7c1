"""`predict`: the answer comes in kind, folders are kept safe, one bad scan stops no other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import volunet
from volunet import Volume, predict, read_volume, write_volume
from volunet.api.predict import open_any
from volunet.errors import ConfigError, DatasetError, EngineError, OutputError, VolumeError
from volunet.inference import ForeignModel, Model

SIZE = (5, 9, 7)
SPACING = (2.5, 1.5, 1.0)


@pytest.fixture(scope="module")
def model(tiny_onnx: Path) -> Model:
    return open_any(tiny_onnx, threads=1)


def noise(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(50, 120, SIZE).astype(np.float32)


@pytest.fixture
def scan() -> Volume:
    """Not RAS, off centre."""
    affine = np.diag([-1.0, -1.5, 2.5, 1.0])
    affine[:3, 3] = (40.0, 30.0, -20.0)
    return Volume(noise(), affine)


def write_scans(folder: Path, count: int) -> list[Path]:
    return [
        write_volume(Volume.of_array(noise(seed), SPACING), folder / f"case_{seed}.nii.gz")
        for seed in range(count)
    ]


def test_a_volume_answers_a_volume(model: Model, scan: Volume) -> None:
    labels = predict(model, scan)
    assert isinstance(labels, Volume)
    assert labels.array.shape == (1, *SIZE)
    assert labels.array.dtype == np.uint16
    assert np.array_equal(labels.affine, scan.affine)
    assert {0, 5, 300} >= set(np.unique(labels.array))
    assert len(np.unique(labels.array)) > 1


def test_a_file_answers_a_volume_and_writes_nothing(
    model: Model, scan: Volume, tmp_path: Path
) -> None:
    file = write_volume(scan, tmp_path / "scan.nii.gz")
    for path in (file, str(file)):
        labels = predict(model, path)
        assert isinstance(labels, Volume)
        assert np.array_equal(labels.array, predict(model, scan).array)
    assert list(tmp_path.iterdir()) == [file]


def test_an_image_answers_an_image_on_its_grid(model: Model, scan: Volume) -> None:
    image = sitk.GetImageFromArray(scan.array[0])
    image.SetSpacing((1.0, 1.5, 2.5))
    image.SetOrigin((-40.0, -30.0, -20.0))  # LPS: x and y are the affine's, with their sign turned
    labels = predict(model, image)
    assert isinstance(labels, sitk.Image)
    assert labels.GetSize() == (7, 9, 5)
    assert labels.GetSpacing() == pytest.approx((1.0, 1.5, 2.5))
    assert labels.GetOrigin() == pytest.approx((-40.0, -30.0, -20.0))
    assert labels.GetDirection() == pytest.approx(image.GetDirection())
    assert np.array_equal(sitk.GetArrayFromImage(labels), predict(model, scan).array[0])
    chances = predict(model, image, probabilities=True)
    assert chances.GetNumberOfComponentsPerPixel() == 3


def test_an_array_answers_an_array(model: Model) -> None:
    labels = predict(model, noise(), spacing_mm=SPACING)
    assert isinstance(labels, np.ndarray)
    assert labels.shape == SIZE
    want = predict(model, Volume.of_array(noise(), SPACING))
    assert np.array_equal(labels, want.array[0])
    assert np.array_equal(predict(model, noise()[None], spacing_mm=SPACING), labels)
    chances = predict(model, noise(), spacing_mm=SPACING, probabilities=True)
    assert (chances.shape, chances.dtype) == ((3, *SIZE), np.float32)
    np.testing.assert_allclose(chances.sum(axis=0), 1, atol=1e-5)


def test_the_spacing_of_an_array_matters_and_must_be_given(model: Model) -> None:
    fine = predict(model, noise(), spacing_mm=(2.0, 1.5, 1.0))
    assert not np.array_equal(fine, predict(model, noise(), spacing_mm=(6.0, 6.0, 6.0)))
    with pytest.raises(ConfigError, match=r"^spacing_mm: not given\.\nAn array has no place in"):
        predict(model, noise())


def test_an_array_without_spacing_is_refused_before_the_model_is_opened() -> None:
    with pytest.raises(ConfigError, match="spacing_mm: not given"):
        predict("there is no such model.onnx", noise())


def test_several_files_are_written_under_their_names(model: Model, tmp_path: Path) -> None:
    files = write_scans(tmp_path / "in", 3)
    told: list[tuple[int, int]] = []
    output = tmp_path / "new" / "out"
    written = predict(model, files, output, progress=lambda *counts: told.append(counts))
    assert written == [output / f"case_{seed}.nii.gz" for seed in range(3)]
    assert sorted(output.iterdir()) == written
    assert told == [(1, 3), (2, 3), (3, 3)]
    for source, target in zip(files, written, strict=True):
        assert np.array_equal(read_volume(target).array, predict(model, source).array)
        assert np.array_equal(read_volume(target).affine, read_volume(source).affine)


def test_a_folder_and_one_file_are_as_good_as_a_list(model: Model, tmp_path: Path) -> None:
    files = write_scans(tmp_path / "in", 2)
    assert len(predict(model, tmp_path / "in", tmp_path / "a")) == 2
    assert len(predict(model, str(files[1]), tmp_path / "b")) == 1
    with pytest.raises(ConfigError, match=r"in: 2 scans\.\nWithout an output folder, one scan"):
        predict(model, tmp_path / "in")
    with pytest.raises(DatasetError, match="no scan in this folder"):
        predict(model, [tmp_path], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_probabilities_are_written_one_channel_a_class(model: Model, tmp_path: Path) -> None:
    (file,) = write_scans(tmp_path / "in", 1)
    (target,) = predict(model, file, tmp_path / "out", probabilities=True)
    written = read_volume(target, allow_channels=True)
    assert (written.array.shape, written.array.dtype) == ((3, *SIZE), np.float32)
    assert np.array_equal(written.array, predict(model, file, probabilities=True).array)


def test_an_output_folder_that_is_not_empty_is_refused(model: Model, tmp_path: Path) -> None:
    files = write_scans(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="the folder is not empty: 1 entry, the first is mine"):
        predict(model, files, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_resuming_keeps_what_is_there_and_does_the_rest(model: Model, tmp_path: Path) -> None:
    files = write_scans(tmp_path / "in", 3)
    output = tmp_path / "out"
    predict(model, files[:1], output)
    kept = output / "case_0.nii.gz"
    kept.write_bytes(b"kept as it is")
    told: list[int] = []
    written = predict(model, files, output, resume=True, progress=lambda done, _: told.append(done))
    assert [path.name for path in written] == [f"case_{seed}.nii.gz" for seed in range(3)]
    assert kept.read_bytes() == b"kept as it is"
    assert read_volume(written[2]).shape == SIZE
    assert told == [1, 2, 3]


def test_resuming_into_a_new_folder_begins(model: Model, tmp_path: Path) -> None:
    files = write_scans(tmp_path / "in", 1)
    assert len(predict(model, files, tmp_path / "out", resume=True)) == 1


def bad_scan(path: Path) -> Path:
    array = noise()
    array[0, 0, 0] = np.nan
    return write_volume(Volume.of_array(array, SPACING), path)


def test_one_bad_scan_is_named_and_the_others_are_written(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = write_scans(tmp_path / "in", 3)
    files[1].unlink()
    bad = bad_scan(files[1])
    told: list[int] = []
    with caplog.at_level(logging.ERROR), pytest.raises(VolumeError) as caught:
        predict(model, files, tmp_path / "out", progress=lambda done, _: told.append(done))
    assert caught.value.where == str(bad)
    assert caught.value.found == "1 voxels are NaN and 0 infinite, of 315"
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["case_0.nii.gz", "case_2.nii.gz"]
    assert told == [1, 2, 3]
    assert [str(bad) in record.message for record in caplog.records] == [True]


def test_several_bad_scans_are_named_together(model: Model, tmp_path: Path) -> None:
    (good,) = write_scans(tmp_path / "in", 1)
    nan = bad_scan(tmp_path / "in" / "nan.nii.gz")
    cut = tmp_path / "in" / "cut.nii.gz"
    cut.write_bytes(good.read_bytes()[:200])
    with pytest.raises(VolumeError) as caught:
        predict(model, tmp_path / "in", tmp_path / "out")
    message = str(caught.value)
    assert message.startswith("2 of 3 scans: could not be predicted:\n- ")
    assert f"- {cut}: " in message
    assert f"- {nan}: 1 voxels are NaN" in message
    assert f"The other 1 are in {tmp_path / 'out'}." in message
    nan.unlink()
    cut.unlink()
    assert len(predict(model, tmp_path / "in", tmp_path / "out", resume=True)) == 1


@pytest.fixture
def baked(tmp_path: Path) -> Path:
    """A foreign model of two classes that takes scans of 4×4×4 voxels only."""
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "shape"], ["same"]),
            helper.make_node("Neg", ["same"], ["negative"]),
            helper.make_node("Concat", ["negative", "same"], ["y"], axis=1),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "d", "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4, 4])],
        [numpy_helper.from_array(np.array([1, 1, 4, 4, 4]), "shape")],
    )
    file = tmp_path / "baked.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), file)
    return file


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_scan_whose_size_an_engine_refuses_is_named(
    baked: Path, tmp_path: Path, engine: str
) -> None:
    (odd,) = write_scans(tmp_path / "in", 1)
    array = np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 4, 4)
    write_volume(Volume.of_array(array, SPACING), tmp_path / "in" / "fits.nii.gz")
    foreign = ForeignModel("native", "any", "none", "background,bright")
    with pytest.raises(EngineError) as caught:
        predict(baked, tmp_path / "in", tmp_path / "out", foreign=foreign, engine=engine)
    assert caught.value.where.startswith(f"{odd} (O")
    assert "1×1×5×9×7" in caught.value.where
    written = read_volume(tmp_path / "out" / "fits.nii.gz")
    assert np.array_equal(written.array[0], array > 0)
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_model_is_opened_from_a_file_each_time_it_is_named(
    tiny_onnx: Path, model: Model, scan: Volume
) -> None:
    want = predict(model, scan).array
    for engine in ("onnxruntime", "torch"):
        got = predict(tiny_onnx, scan, engine=engine, threads=1).array
        assert np.mean(got != want) < 0.01  # a near tie may fall either way
    with pytest.raises(EngineError, match="--engine cuda: no such engine"):
        predict(tiny_onnx, scan, engine="cuda")
    with pytest.raises(ConfigError, match="no such file"):
        predict("there is no such model.onnx", scan)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, scan: Volume) -> None:
    with pytest.raises(ConfigError, match=r"no run\.json in it\.\nA run folder is what"):
        predict(tmp_path, scan)


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_a_run_folder_is_a_model(
    tiny_network: Any,
    tiny_plan: Callable[..., Any],
    model: Model,
    scan: Volume,
    tiny_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    from volunet.training.config import TrainingConfig
    from volunet.training.record.run_folder import Run, write_run, write_weights

    data = tiny_onnx.read_bytes()
    monkeypatch.setattr("volunet.exporting.convert.convert", lambda network, plan: data)
    write_run(Run(tmp_path, tiny_plan(), TrainingConfig(epochs=1), "data", ("a",), ("b",)))
    with pytest.raises(ConfigError, match=r"no weights\.safetensors"):
        predict(tmp_path, scan, engine=engine)
    write_weights(tmp_path, tiny_network, 0.5)
    got = predict(tmp_path, scan, engine=engine).array
    assert np.mean(got != predict(model, scan).array) < 0.01  # a near tie may fall either way


def test_the_function_is_volunets_own() -> None:
    assert volunet.predict is predict
    with pytest.raises(AttributeError, match="module 'volunet' has no attribute 'segment'"):
        _ = volunet.segment


@pytest.mark.parametrize(
    "engine",
    [
        "openvino",
        pytest.param("onnxruntime", marks=pytest.mark.long),
        pytest.param("torch", marks=pytest.mark.long),
    ],
)
def test_a_run_of_several_members_answers_as_its_file(
    bagged_run: Path, bagged_model: Path, blobs: Path, engine: str
) -> None:
    file = blobs / "imagesTr" / "blob_2.nii.gz"
    run, model = (open_any(source, engine, threads=1) for source in (bagged_run, bagged_model))
    shares = predict(run, file, probabilities=True).array
    assert np.abs(shares - predict(model, file, probabilities=True).array).max() <= 1e-6
    labels = predict(run, file).array
    assert np.array_equal(labels, predict(model, file).array)
    assert len(np.unique(labels)) == 2
    # The mean of the members, so that none of them alone gives it.
    members = [
        predict(bagged_run / f"fold_{number}", file, engine=engine, probabilities=True).array
        for number in (1, 2, 3)
    ]
    assert np.abs(shares - sum(members) / 3).max() <= 1e-5
    assert min(np.abs(shares - member).max() for member in members) > 0.01
