"""Mode streamed answers what mode whole does: the same labels, probabilities to 1e-5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from volunet import Volume, predict, read_volume, write_volume
from volunet.api.predict import Report, open_any
from volunet.errors import OutputError, VolumeError
from volunet.inference import ForeignModel, Model, streamed
from volunet.inference.passes import Pass
from volunet.inference.scans import Scan, read_scan
from volunet.inference.streaming import planning
from volunet.inference.streaming.planning import NotStreamedError
from volunet.plan import Plan
from volunet.volumes.axes import orientation_of
from volunet.volumes.normalise import Moments
from volunet.volumes.slab_writer import write_slabs
from volunet.volumes.slabs import is_zarr

SIZE = (11, 19, 14)
FLAGS = ("background", "hip", "femur")


def intensities(size: Sequence[int] = SIZE, channels: int = 1, seed: int = 0) -> NDArray[Any]:
    """CT-like numbers that differ from end to end of every axis."""
    random = np.random.default_rng(seed)
    ramps = sum(np.linspace(-150, 150, n).reshape([-1 if a == i else 1 for a in range(3)])
                for i, n in enumerate(size))  # fmt: skip
    return (random.normal(50, 150, (channels, *size)) + ramps).astype(np.float32)


def turned(order: Sequence[int], spacing: Sequence[float], angle: float = 0.0) -> NDArray[Any]:
    """An affine: for i, j and k the axis of the patient, 1…3 or from the other end −1…−3."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (axis, step) in enumerate(zip(order, spacing, strict=True)):
        affine[abs(axis) - 1, column] = np.sign(axis) * step
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, 3] = (-31.0, 12.5, 4.0)
    return turn @ affine


GRIDS = {
    # Spacings along i, j, k; the plan's are 1, 1.5 and 2 mm, RAS.
    "the plan's": turned((1, 2, 3), (1.0, 1.5, 2.0)),
    "mirrored": turned((-1, -2, 3), (1.0, 1.5, 2.0)),
    "coarser, oblique": turned((1, -2, 3), (1.7, 1.9, 3.1), 0.2),
    "finer, axes exchanged": turned((-3, 1, 2), (0.9, 0.6, 1.1)),
    "thick slices": turned((2, 3, -1), (0.8, 0.8, 4.0)),
}


def scan_of(
    affine: NDArray[Any] = GRIDS["coarser, oblique"], size: Sequence[int] = SIZE, channels: int = 1
) -> Volume:
    return Volume(intensities(size, channels), affine)


def both_ways(model: Model, scan: Any, **options: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the two modes answer for a scan in memory, and that each was what it is called."""
    passes: list[Pass] = []
    report = Report(planned=lambda name, chosen: passes.append(chosen))
    a, b = (
        predict(model, scan, mode=mode, report=report, **options) for mode in ("whole", "streamed")
    )
    assert [chosen.streamed is None for chosen in passes] == [True, False]
    if isinstance(scan, Volume):
        assert np.array_equal(a.affine, b.affine)
        return a.array, b.array
    return a, b


def agree(whole: NDArray[Any], streamed: NDArray[Any]) -> bool:
    """Whether labels are the same and probabilities within 1e-5."""
    assert (whole.shape, whole.dtype) == (streamed.shape, streamed.dtype)
    assert len(np.unique(whole)) > 1
    if whole.dtype.kind != "f":
        return np.array_equal(whole, streamed)
    # Sums of some hundred products in another order.
    return float(np.abs(whole - streamed).max()) <= 1e-5


@pytest.fixture(scope="module")
def logits(tiny_onnx: Path) -> Model:
    return open_any(tiny_onnx, threads=1)


@pytest.fixture(scope="module")
def labels(labels_onnx: Path) -> Model:
    """Two channels, z-score inside, answers labels."""
    return open_any(labels_onnx, threads=1)


@pytest.fixture(scope="module")
def exported(
    tiny_plan: Callable[..., Plan],
    converted: Callable[[Plan], bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Model]:
    """Export a network of ours; once each."""
    made: dict[str, Path] = {}

    def export(engine: str = "auto", **keys: Any) -> Model:
        name = repr(sorted(keys.items()))
        if name not in made:
            plan = tiny_plan(**keys)
            made[name] = tmp_path_factory.mktemp("exported") / "model.onnx"
            made[name].write_bytes(converted(plan))
        return open_any(made[name], engine, threads=1)

    return export


def without_plan(source: Path, target: Path) -> Path:
    model = onnx.load(source)
    del model.metadata_props[:]
    onnx.save(model, target)
    return target


@pytest.mark.parametrize("probabilities", [False, True], ids=["labels", "probabilities"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".zarr"])
def test_files(ending: str, probabilities: bool, logits: Model, tmp_path: Path) -> None:
    # OME-Zarr has no oblique grids.
    affine = turned((1, 2, 3), (1.7, 1.9, 3.1)) if ending == ".zarr" else GRIDS["coarser, oblique"]
    file = tmp_path / f"case{ending}"
    if ending == ".zarr":
        write_slabs(scan_of(affine), file, tmp_path)
    else:
        nibabel.save(nibabel.Nifti1Image(intensities()[0].T, affine), file)
    answers = []
    for mode in ("whole", "streamed"):
        output = tmp_path / mode
        told: list[float] = []
        written = predict(
            logits, file, output, mode=mode, probabilities=probabilities,
            progress=lambda done, total, told=told: told.append(done / total),
        )  # fmt: skip
        wanted = output / ("case.zarr" if ending == ".zarr" else "case.nii.gz")
        assert (written, list(output.iterdir())) == ([wanted], [wanted])
        answers.append(read_scan(Scan("case", (wanted,)), 3 if probabilities else 1))
        assert told == sorted(told)
        assert (told[-1], len(told) > 2) == (1.0, mode == "streamed")
    whole, got = answers
    assert is_zarr(got.source) == (ending == ".zarr")
    assert got.array.shape == ((3 if probabilities else 1), *SIZE)
    assert got.array.dtype == (np.float32 if probabilities else np.uint16)
    np.testing.assert_allclose(got.affine, affine, atol=1e-5)
    assert np.array_equal(got.affine, whole.affine)
    assert agree(whole.array, got.array)
    if not probabilities:
        assert set(np.unique(got.array)) == {0, 5, 300}


@pytest.mark.parametrize("probabilities", [False, True], ids=["labels", "probabilities"])
@pytest.mark.parametrize("grid", GRIDS)
def test_orientations_and_spacings(grid: str, probabilities: bool, logits: Model) -> None:
    scan = scan_of(GRIDS[grid])
    assert (scan.orientation == "RAS") == (grid == "the plan's")
    whole, got = both_ways(logits, scan, probabilities=probabilities)
    assert got.shape == ((3 if probabilities else 1), *SIZE)
    assert agree(whole, got)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
@pytest.mark.parametrize("norm", [pytest.param("batch", marks=pytest.mark.long), "instance"])
def test_engines(norm: str, engine: str, exported: Callable[..., Model]) -> None:
    model = exported(engine, norm=norm, features=(4, 8))
    assert model.engine.name == engine
    for probabilities in (False, True):
        assert agree(*both_ways(model, scan_of(), probabilities=probabilities))


@pytest.mark.parametrize(
    ("alignment", "answer"),
    [
        pytest.param("crop", "logits", marks=pytest.mark.long),
        ("pad", "probabilities"),
        ("crop", "labels"),
    ],
)
def test_answers(alignment: str, answer: str, exported: Callable[..., Model]) -> None:
    model = exported(alignment=alignment, answer=answer)
    scan = scan_of(size=(12, 19, 15))
    whole, got = both_ways(model, scan)
    assert agree(whole, got)
    assert got.max() > 0
    if answer == "labels":
        with pytest.raises(VolumeError, match="probabilities asked of a model that answers labels"):
            predict(model, scan, mode="streamed", probabilities=True)
    else:
        assert agree(*both_ways(model, scan, probabilities=True))


def test_around_a_smaller_answer_is_background(exported: Callable[..., Model]) -> None:
    # Two halvings: of 15 voxels 12 are answered, behind 1 and before 2 of background.
    model = exported(alignment="crop", answer="logits")
    scan = scan_of(GRIDS["the plan's"], (15, 23, 19))
    whole, got = both_ways(model, scan, probabilities=True)
    certain = got[0] == 1.0
    assert np.array_equal(certain, whole[0] == 1.0)
    inner = np.argwhere(~certain)
    assert inner.min(axis=0).tolist() == [1, 1, 1]
    assert inner.max(axis=0).tolist() == [12, 20, 16]
    assert got[:, 0].max(axis=(1, 2)).tolist() == [1, 0, 0]


def test_a_margin_in_the_wrong_place_is_seen(
    exported: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exported(alignment="crop", answer="logits")
    margins = streamed.margins

    def exchanged(*args: Any) -> Any:
        return tuple((after, before) for before, after in margins(*args))

    monkeypatch.setattr(streamed, "margins", exchanged)
    scan = scan_of(GRIDS["the plan's"], (15, 23, 19))
    assert not agree(*both_ways(model, scan, probabilities=True))


@pytest.mark.parametrize("size", [(1, 1, 5), (2, 3, 4), (3, 2, 1), (1, 9, 2)], ids=str)
def test_scans_shorter_than_the_networks_lag(size: Any, logits: Model) -> None:
    for grid in ("the plan's", "finer, axes exchanged"):
        whole, got = both_ways(logits, scan_of(GRIDS[grid], size), probabilities=True)
        assert got.shape == (3, *size)
        assert np.abs(whole - got).max() <= 1e-5


def test_a_single_voxel_has_no_slices(logits: Model) -> None:
    scan = scan_of(GRIDS["the plan's"], (1, 1, 1))
    with pytest.raises(NotStreamedError, match=r"^tiny: no axis along which its slices"):
        predict(logits, scan, mode="streamed")
    assert predict(logits, scan, memory=10**12).array.shape == (1, 1, 1, 1)


def test_two_channels_as_two_files_or_as_one(labels: Model, tmp_path: Path) -> None:
    scan = scan_of(channels=2)
    scan = scan.with_array(scan.array * np.float32([[[[1]]], [[[7]]]]))
    files = [
        write_volume(scan.with_array(scan.array[c : c + 1]), tmp_path / f"case_000{c}.nii.gz")
        for c in range(2)
    ]
    one = write_volume(scan, tmp_path / "both.nii")
    answers = {}
    for mode in ("whole", "streamed"):
        apart = predict(labels, files, tmp_path / mode, mode=mode)
        assert [path.name for path in apart] == ["case.nii.gz"]
        (together,) = predict(labels, one, tmp_path / f"{mode}_one", mode=mode)
        answers[mode] = read_volume(apart[0]).array
        assert np.array_equal(read_volume(together).array, answers[mode])
    assert agree(answers["whole"], answers["streamed"])
    exchanged = scan.with_array(scan.array[::-1])
    assert not np.array_equal(predict(labels, exchanged, mode="streamed").array, answers["whole"])


def test_two_channels_on_two_grids_are_refused(labels: Model, tmp_path: Path) -> None:
    for number, spacing in enumerate((1.0, 2.0)):
        volume = Volume.of_array(intensities()[0], (spacing, 1.0, 1.0))
        write_volume(volume, tmp_path / "in" / f"case_000{number}.nii.gz")
    with pytest.raises(VolumeError, match=r"case_0001\.nii\.gz: first channel spacing \(1, 1, 1\)"):
        predict(labels, tmp_path / "in", tmp_path / "out", mode="streamed")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_another_number_of_channels_is_refused(
    channels: int, labels: Model, tmp_path: Path
) -> None:
    file = write_volume(scan_of(channels=channels), tmp_path / "case.nii.gz")
    message = rf"case\.nii\.gz: {channels} channels\.\nThe model takes 2: CT, PET\."
    with pytest.raises(VolumeError, match=message):
        predict(labels, file, tmp_path / "out", mode="streamed")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("rule", ["none", "zscore", "clip_zscore:-100,200,40,90"])
@pytest.mark.parametrize(
    ("spacing", "orientation"),
    [pytest.param("native", "any", marks=pytest.mark.long), ("2.5,1.5,1.2", "LPS")],
)
def test_normalisation_outside_the_graph(
    spacing: str, orientation: str, rule: str, tiny_onnx: Path, tmp_path: Path
) -> None:
    file = without_plan(tiny_onnx, tmp_path / "foreign.onnx")
    flags = ForeignModel(spacing, orientation, rule, ",".join(FLAGS))
    model = open_any(file, foreign=flags, threads=1)
    assert not model.normalises
    # The graph takes numbers of CT: of numbers near 0 its answer would be much the same everywhere.
    scan = scan_of(GRIDS["finer, axes exchanged"])
    for probabilities in (False, True):
        whole, got = both_ways(model, scan, probabilities=probabilities)
        assert got.shape == ((3 if probabilities else 1), *SIZE)
        assert np.abs(whole.astype(float) - got).max() <= (1e-5 if probabilities else 0)


def test_moments_of_one_slab_are_seen(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = without_plan(tiny_onnx, tmp_path / "foreign.onnx")
    flags = ForeignModel("native", "any", "zscore", ",".join(FLAGS))
    model = open_any(file, foreign=flags, threads=1)
    assert agree(*both_ways(model, scan_of(), probabilities=True))

    def of_one(slabs: Any, axis: int, *_: Any) -> Any:
        part = slabs.read(axis, 0, 2)
        return (Moments(float(part.mean()), float(part.std())),)

    monkeypatch.setattr(streamed, "measure", of_one)
    assert not agree(*both_ways(model, scan_of(), probabilities=True))


def test_arrays_and_integers(logits: Model) -> None:
    array = intensities()[0].astype(np.int16)
    whole, got = both_ways(logits, array, spacing_mm=(3.1, 1.9, 1.7))
    assert got.shape == SIZE
    assert agree(whole, got)
    chances = predict(
        logits, array, spacing_mm=(3.1, 1.9, 1.7), mode="streamed", probabilities=True
    )
    np.testing.assert_allclose(chances.sum(axis=0), 1, atol=1e-5)


def test_a_file_answers_a_volume(logits: Model, tmp_path: Path) -> None:
    file = write_volume(scan_of(), tmp_path / "case.nii.gz")
    got = predict(logits, file, mode="streamed")
    assert orientation_of(got.affine) == orientation_of(GRIDS["coarser, oblique"])
    assert np.array_equal(got.array, predict(logits, scan_of(), mode="whole").array)
    assert list(tmp_path.iterdir()) == [file]


def test_voxels_that_are_no_numbers(logits: Model, tmp_path: Path) -> None:
    scan = scan_of()
    scan.array[0, 5, :, 3] = np.nan
    scan.array[0, 10, 0, 0] = np.inf
    found = r"19 voxels are NaN and 1 infinite, of 2,926"
    with pytest.raises(VolumeError, match=found):
        predict(logits, scan, mode="streamed")
    for ending in (".nii", ".nii.gz"):
        file = write_volume(scan, tmp_path / f"case{ending}")
        with pytest.raises(VolumeError, match=rf"case{ending}: {found}"):
            predict(logits, file, tmp_path / "out", mode="streamed")
        assert list((tmp_path / "out").iterdir()) == []


def shallow(path: Path, *, normed: bool) -> Path:
    """Two convolutions, with an instance norm between them, which waits for a whole axis."""
    random = np.random.default_rng(0)
    weights = {
        "w1": random.normal(0, 0.01, (4, 1, 3, 3, 3)), "w2": random.normal(0, 0.1, (2, 4, 3, 3, 3)),
        "scale": np.ones(4), "bias": np.zeros(4),
    }  # fmt: skip
    norm = ("InstanceNormalization", ["a", "scale", "bias"]) if normed else ("Relu", ["a"])
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 6),
            helper.make_node(*norm, ["b"]),
            helper.make_node("Conv", ["b", "w2"], ["y"], pads=[1] * 6),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "d", "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, "d", "h", "w"])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()
         if normed or n.startswith("w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path


def test_a_disk_that_fills_with_spilled_slices(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files_of_at_most: Callable[[int], Any],
) -> None:
    flags = ForeignModel("native", "any", "none", "background,bright")
    model = open_any(shallow(tmp_path / "m.onnx", normed=True), foreign=flags, threads=1)
    # Bytes, read where they are: what is spilled, 16 bytes a voxel, is the largest file by far.
    array = np.clip(intensities((40, 19, 14))[0], 0, 255).astype(np.uint8)
    file = write_volume(Volume.of_array(array, (1.0, 1.0, 1.0)), tmp_path / "case.nii")
    want = predict(model, file, mode="whole").array
    make = planning.make_program

    def spilling(fixed: Any, kernels: Any, *_: Any) -> Any:
        plain = make(fixed, kernels)
        made = frozenset(plain.tensor_of.values()) - {fixed.source, fixed.target}
        return make(fixed, kernels, frozenset(), made)

    monkeypatch.setattr(planning, "make_program", spilling)
    voxels = array.size
    with files_of_at_most(4 * voxels), pytest.raises(OutputError) as caught:
        predict(model, file, tmp_path / "out", mode="streamed")
    assert caught.value.found == "cannot be written: file too large"
    assert list((tmp_path / "out").iterdir()) == []
    (written,) = predict(model, file, tmp_path / "out", mode="streamed")
    assert np.array_equal(read_volume(written).array, want)
    assert list((tmp_path / "out").iterdir()) == [written]
