"""Cases on the model's grid, and preparation that goes on where it was interrupted."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from volunet.datasets import cache
from volunet.datasets.cache import prepare_cases
from volunet.datasets.cases import Case
from volunet.datasets.layouts import read_dataset
from volunet.datasets.load import read_case
from volunet.errors import DatasetError, VolumeError
from volunet.tasks.segmentation.target import sample_voxels
from volunet.volumes import conform, conform_labels
from volunet.volumes.normalise import normalise


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_arrays_on_the_scans_own_grid(blobs, blob_plan, tmp_path):
    dataset = read_dataset(blobs)
    (case,) = prepare_cases(dataset.cases[:1], dataset, blob_plan, tmp_path)
    # By hand: NIfTI order (i, j, k) reversed, then (x − mean) / std.
    raw = nibabel.load(blobs / "imagesTr" / "blob_0.nii.gz").get_fdata().transpose(2, 1, 0)
    label = nibabel.load(blobs / "labelsTr" / "blob_0.nii.gz").get_fdata().transpose(2, 1, 0)
    image = case.image()
    assert (image.shape, image.dtype) == ((1, 12, 12, 12), np.float32)
    # float32 holds 7 digits of values up to about 5.
    np.testing.assert_allclose(image[0], (raw - raw.mean()) / raw.std(), atol=2e-6)
    assert case.target().dtype == np.uint8
    np.testing.assert_array_equal(case.target(), label)


def test_arrays_equal_conform_and_normalise(blobs, blob_plan, tmp_path):
    dataset = read_dataset(blobs)
    plan = blob_plan.model_copy(update={"orientation": "LPS", "spacing_mm": (1.7, 2.0, 1.3)})
    prepared = prepare_cases(dataset.cases, dataset, plan, tmp_path)
    assert [case.name for case in prepared] == ["blob_0", "blob_1", "blob_2", "blob_3"]
    for case, entry in zip(dataset.cases, prepared, strict=True):
        image, label = read_case(case, dataset)
        on_grid = conform(image, "LPS", (1.7, 2.0, 1.3))
        assert on_grid.shape == (14, 9, 9)
        np.testing.assert_array_equal(
            entry.image(), normalise(on_grid.array, plan.normalisation), strict=True
        )
        np.testing.assert_array_equal(
            entry.target(), conform_labels(label, "LPS", (1.7, 2.0, 1.3)).array[0]
        )


def test_label_values_become_class_indices(write_blobs, blob_plan, tmp_path):
    folder = write_blobs(tmp_path / "blobs", cases=1)
    file = folder / "labelsTr" / "blob_0.nii.gz"
    label = nibabel.load(file)
    ball = np.asarray(label.dataobj) > 0
    nibabel.save(nibabel.Nifti1Image((40 * ball).astype(np.int16), label.affine), file)
    task = blob_plan.task.model_copy(update={"label_values": (0, 40)})
    plan = blob_plan.model_copy(update={"task": task})
    dataset = read_dataset(folder)
    (case,) = prepare_cases(dataset.cases, dataset, plan, tmp_path / "cache")
    np.testing.assert_array_equal(case.target(), ball.transpose(2, 1, 0))
    with pytest.raises(VolumeError, match=r"blob_0: the undeclared values 40\.\n"):
        prepare_cases(dataset.cases, dataset, blob_plan, tmp_path / "other")


def test_whole_cases_are_kept(blobs, blob_plan, tmp_path):
    dataset = read_dataset(blobs)
    calls = []
    prepare_cases(dataset.cases, dataset, blob_plan, tmp_path, lambda *done: calls.append(done))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 12
    prepare_cases(dataset.cases, dataset, blob_plan, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_interrupted_preparation_is_finished(blobs, blob_plan, tmp_path, monkeypatch):
    dataset = read_dataset(blobs)
    prepare_cases(dataset.cases, dataset, blob_plan, tmp_path / "whole")
    save = cache._save

    def interrupted(path, array):
        if path.name == "blob_1.places.npy":
            raise KeyboardInterrupt
        save(path, array)

    with monkeypatch.context() as patched:
        patched.setattr(cache, "_save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_cases(dataset.cases, dataset, blob_plan, tmp_path / "twice")
    # The second case has its image and target, but is not whole.
    assert sorted(path.name for path in (tmp_path / "twice").iterdir()) == [
        "blob_0.image.npy",
        "blob_0.places.npy",
        "blob_0.target.npy",
        "blob_1.image.npy",
        "blob_1.target.npy",
    ]
    prepared = prepare_cases(dataset.cases, dataset, blob_plan, tmp_path / "twice")
    assert all(case.is_whole for case in prepared)
    assert contents(tmp_path / "twice") == contents(tmp_path / "whole")


@pytest.mark.parametrize("part", ["image", "target", "places"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.6, None], ids=["empty", "header", "half", "gone"])
def test_a_damaged_array_is_named(blobs, blob_plan, tmp_path, part, share):
    dataset = read_dataset(blobs)
    (case,) = prepare_cases(dataset.cases[:1], dataset, blob_plan, tmp_path)
    file = tmp_path / f"blob_0.{part}.npy"
    content = file.read_bytes()
    if share is None:
        file.unlink()
    else:
        file.write_bytes(content[: int(share * len(content))])
    message = (
        rf"blob_0\.{part}\.npy: case blob_0's prepared array cannot be read \(.+\)\.\n"
        r"It is as volunet wrote it\.\nDelete it; volunet train --resume makes it again\."
    )
    with pytest.raises(DatasetError, match=message):
        getattr(case, part)()
    # What the message says to do.
    file.unlink(missing_ok=True)
    prepare_cases(dataset.cases[:1], dataset, blob_plan, tmp_path)
    assert file.read_bytes() == content


def test_case_without_label(blobs, blob_plan, tmp_path):
    dataset = read_dataset(blobs)
    case = Case("alone", dataset.cases[0].images)
    with pytest.raises(DatasetError, match=r"alone: no label map\.\nTraining cases have one\."):
        prepare_cases([case], dataset, blob_plan, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_voxels_on_disk(blobs, blob_plan, tmp_path):
    dataset = read_dataset(blobs)
    for case in prepare_cases(dataset.cases, dataset, blob_plan, tmp_path):
        voxels = case.places()
        assert voxels.dtype == np.int32
        np.testing.assert_array_equal(voxels, sample_voxels(np.asarray(case.target()), 2))
        # A ball of radius 3 has about 4/3·π·27 = 113 voxels, all of which are kept.
        assert len(voxels) == np.count_nonzero(case.target())
        assert 90 < len(voxels) < 140
