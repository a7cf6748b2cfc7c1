"""Bad input: exit status 2, a message of four parts that names the file, and nothing lost."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import onnx
import pytest
import torch

from volunet.volumes import read_volume

TRAIN = ("--epochs", "1", "--features", "4,8", "--patch-size", "12", "--workers", "0")


class NotPlainData:
    """What only arbitrary unpickling brings back."""


@dataclass(frozen=True)
class Place:
    """What a fault is built from.

    Attributes:
        folder: An empty folder for the test.
        data: A data set of four good cases, to be spoilt.
        run: A finished run on it, to be spoilt.
        model: A good model file, to be read only.
    """

    folder: Path
    data: Path
    run: Path
    model: Path

    @property
    def image(self) -> Path:
        return self.data / "imagesTr" / "blob_1.nii.gz"

    @property
    def label(self) -> Path:
        return self.data / "labelsTr" / "blob_1.nii.gz"

    def rewrite(self, file: Path, change, affine=None) -> None:
        old = nibabel.load(file)
        array = change(np.asarray(old.dataobj))
        nibabel.save(nibabel.Nifti1Image(array, old.affine if affine is None else affine), file)

    def train(self, *words):
        return ["train", self.data, "-o", self.folder / "new", *TRAIN, *words]

    def resume(self, *words):
        return ["train", self.data, "-o", self.run, "--resume", *words]

    def predict(self, *scans, model=None):
        return ["predict", model or self.model, *scans, "-o", self.folder / "predictions"]


@pytest.fixture
def place(tmp_path, write_blobs, blob_run, blob_model):
    run = shutil.copytree(blob_run, tmp_path / "run")
    return Place(tmp_path, write_blobs(tmp_path / "blobs"), run, blob_model)


def empty_folder(place):
    (place.folder / "empty").mkdir()
    return ["train", place.folder / "empty", "-o", place.folder / "new", *TRAIN]


def missing_folder(place):
    return ["train", place.folder / "nowhere", "-o", place.folder / "new", *TRAIN]


def no_labels(place):
    shutil.rmtree(place.data / "labelsTr")
    return place.train()


def no_list_of_labels(place):
    file = place.data / "dataset.json"
    content = json.loads(file.read_text())
    for entry in content["training"]:
        del entry["label"]
    file.write_text(json.dumps(content))
    return place.train()


def other_grid(place):
    place.rewrite(place.label, lambda array: array, affine=np.diag([1.0, 1.5, 2.5, 1.0]))
    return place.train()


def other_size(place):
    place.rewrite(place.label, lambda array: array[:, :, :-1])
    return place.train()


def undeclared_value(place):
    place.rewrite(place.label, lambda array: array * np.uint8(7))
    return place.train()


def nan_voxels(place):
    def spoil(array):
        array = array.copy()
        array[:2, 0, 0] = np.nan
        return array

    place.rewrite(place.image, spoil)
    return place.train()


def truncated(place):
    content = place.image.read_bytes()
    place.image.write_bytes(content[: len(content) // 2])
    return place.train()


def four_axes(place):
    place.rewrite(place.image, lambda array: np.stack([array, array], axis=-1))
    return place.train()


def output_not_empty(place):
    (place.folder / "new").mkdir()
    (place.folder / "new" / "precious.txt").write_text("mine")
    return place.train()


def output_is_a_file(place):
    (place.folder / "new").write_text("mine")
    return place.train()


def older_run(place):
    file = place.run / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"run_version": 0}))
    return ["export", place.run, "-o", place.folder / "model.onnx"]


def older_run_predicts(place):
    older_run(place)
    return place.predict(place.image, model=place.run)


def older_run_resumes(place):
    older_run(place)
    return place.resume()


def no_run(place):
    return ["export", place.data, "-o", place.folder / "model.onnx"]


def foreign_onnx(place):
    model = onnx.load(place.model)
    del model.metadata_props[:]
    onnx.save(model, place.folder / "foreign.onnx")
    return place.predict(place.image, model=place.folder / "foreign.onnx")


def truncated_onnx(place):
    content = place.model.read_bytes()
    (place.folder / "half.onnx").write_bytes(content[: len(content) // 2])
    return place.predict(place.image, model=place.folder / "half.onnx")


def arbitrary_unpickling(place):
    torch.save({"global_step": 1, "extra": NotPlainData()}, place.run / "last.ckpt")
    return place.resume()


def damaged_checkpoint(place):
    content = (place.run / "last.ckpt").read_bytes()
    (place.run / "last.ckpt").write_bytes(content[: len(content) // 2])
    return place.resume()


def damaged_weights(place):
    content = (place.run / "weights.safetensors").read_bytes()
    (place.run / "weights.safetensors").write_bytes(content[: len(content) // 2])
    return place.resume()


def predict_nothing(place):
    (place.folder / "empty").mkdir()
    return place.predict(place.folder / "empty")


def predict_missing(place):
    return place.predict(place.folder / "nowhere.nii.gz")


def predict_nan(place):
    nan_voxels(place)
    return place.predict(place.image)


def predict_four_axes(place):
    four_axes(place)
    return place.predict(place.image)


def predict_truncated(place):
    truncated(place)
    return place.predict(place.image)


def predict_into_full_folder(place):
    (place.folder / "predictions").mkdir()
    (place.folder / "predictions" / "blob_1.nii.gz").write_bytes(b"mine")
    return place.predict(place.image)


def export_over_a_file(place):
    (place.folder / "model.onnx").write_bytes(b"mine")
    return ["export", place.run, "-o", place.folder / "model.onnx"]


def evaluate_nothing(place):
    (place.folder / "empty").mkdir()
    return ["evaluate", place.folder / "empty", place.data / "labelsTr"]


def evaluate_a_scan(place):
    return ["evaluate", place.data / "imagesTr", place.data / "labelsTr"]


def evaluate_other_grid(place):
    shutil.copytree(place.data / "labelsTr", place.folder / "predictions")
    other_grid(place)
    return ["evaluate", place.folder / "predictions", place.data / "labelsTr"]


def phantoms_over_files(place):
    return ["phantom", "-o", place.data, "--cases", "1"]


CASES = r"1 of 4 cases cannot be used:\n  "
NEEDED = r".*Each case needs whole files, on one grid, with declared label values\.\n"
MEND = r"Mend or remove these cases, or leave them out with --skip-bad\.\n"

TABLE = [
    # What is wrong, then the message: where and found, expected, do.
    (empty_folder, r"/empty: an empty folder\.\nOne of these is expected\. .*\nPass the folder"),
    (missing_folder, r"/nowhere: no such file or folder\.\nA data set is .*\nCheck the path\.\n"),
    (
        no_labels,
        r"/blobs: 4 of 4 cases cannot be used:\n  labelsTr/blob_0\.nii\.gz: no such file "
        r"\(label map of case blob_0\)\. Each training case has a label map\. Add the file"
        + NEEDED
        + r"Mend the cases; no good one is left",
    ),
    (
        no_list_of_labels,
        r'/dataset\.json: .*training\[0\].*\nEach entry names an image and its label: .*\n',
    ),
    (
        other_grid,
        CASES + r"labelsTr/blob_1\.nii\.gz: image spacing \(2, 1\.5, 1\) mm, label spacing "
        r"\(2\.5, 1\.5, 1\) mm\. .*one voxel grid.*" + NEEDED + MEND,
    ),
    (
        other_size,
        CASES + r"labelsTr/blob_1\.nii\.gz: image size \(12, 12, 12\), label size \(11, 12, 12\)"
        + NEEDED + MEND,
    ),
    (
        undeclared_value,
        CASES + r"labelsTr/blob_1\.nii\.gz: the undeclared values 7\. The data set declares 0, 1 "
        r"\(tolerance 0\.001\)\. Add them to the data set's labels, or mend" + NEEDED + MEND,
    ),
    (
        nan_voxels,
        CASES + r"imagesTr/blob_1\.nii\.gz: 2 voxels are NaN and 0 infinite, of 1,728\. Every "
        r"voxel is a finite number\. Give them the value of the background" + NEEDED + MEND,
    ),
    (truncated, CASES + r"imagesTr/blob_1\.nii\.gz: the gzip stream ends early.*" + NEEDED + MEND),
    (four_axes, CASES + r"imagesTr/blob_1\.nii\.gz: 4 axes \(x, y, z, n\): .*" + NEEDED + MEND),
    (
        output_not_empty,
        r"/new: the folder is not empty: 1 entry, the first is precious\.txt\.\n"
        r"Results go into a folder that is new or empty, .*\nGive another folder, or empty",
    ),
    (output_is_a_file, r"/new: it is a file\.\nResults go into a folder .*\nGive another name"),
    (
        older_run,
        r"/run/run\.json: a run folder of version 0\.\nThis volunet reads version 1\.\nTrain again",
    ),
    (older_run_predicts, r"/run/run\.json: a run folder of version 0\.\n"),
    (older_run_resumes, r"/run/run\.json: a run folder of version 0\.\n"),
    (no_run, r"/blobs: no run\.json in it\.\nA run folder is what .*\nCheck the path, or train"),
    (
        foreign_onnx,
        r"/foreign\.onnx: no volunet\.plan in its metadata: not a model of volunet export\.\n"
        r"Without it, flags say .*--spacing native\|D,H,W, --orientation RAS\|…\|any, "
        r"--normalisation none\|zscore\|clip_zscore:LOW,HIGH,MEAN,STD, --classes background,NAME,…"
        r"\.?\nAdd --spacing, --orientation, --normalisation, --classes\.\n",
    ),
    (truncated_onnx, r"/half\.onnx: not a whole ONNX file \(.*\)\.\nA model file is .*\nCopy or"),
    (
        arbitrary_unpickling,
        r"/run/last\.ckpt: a checkpoint that would need arbitrary unpickling\.\n"
        r"A checkpoint holds tensors and plain data; .*\nUse a checkpoint that volunet wrote\.\n",
    ),
    (damaged_checkpoint, r"/run/last\.ckpt: a damaged checkpoint \(.*\)\.\n.*\nRestore it"),
    (damaged_weights, r"/run/weights\.safetensors: not the weights .*\n.* are of one run\.\nRest"),
    (predict_nothing, r"/empty: no scan in this folder\.\nFiles that end in .*\nCheck the path"),
    (predict_missing, r"/nowhere\.nii\.gz: no such file or folder\.\nScans to predict\.\nCheck"),
    (predict_nan, r"/blob_1\.nii\.gz: 2 voxels are NaN .*\nEvery voxel is .*\nGive them the val"),
    (predict_four_axes, r"/blob_1\.nii\.gz: 4 axes \(x, y, z, n\): .*\n.*\n.*\n"),
    (predict_truncated, r"/blob_1\.nii\.gz: the gzip stream ends early: .*\n.*\n.*\n"),
    (
        predict_into_full_folder,
        r"/predictions: the folder is not empty: 1 entry, the first is blob_1\.nii\.gz\.\n",
    ),
    (
        export_over_a_file,
        r"/model\.onnx: exists already\.\nExport writes a new file .*\n.*pass --overwrite\.\n",
    ),
    (evaluate_nothing, r"/empty: .*\n.*\n.*\n"),
    (evaluate_a_scan, r"/imagesTr/blob_0\.nii\.gz: values that are not whole numbers.*\n.*\nIs th"),
    (
        evaluate_other_grid,
        r"/predictions/blob_1\.nii\.gz: reference spacing \(2\.5, 1\.5, 1\) mm, prediction",
    ),
    (phantoms_over_files, r"/blobs: the folder is not empty: 3 entries, the first is dataset\."),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "message"), TABLE, ids=[fault.__name__ for fault, _ in TABLE])
def test_bad_input(volunet, snapshot, place, fault, message):
    words = fault(place)
    before = snapshot(place.folder)
    ended = volunet(*words)
    assert ended.status == 2, ended.err
    # The message stands behind any progress lines, and names the file by its path.
    assert re.search(message, ended.err, re.DOTALL), ended.err
    assert str(place.folder) in ended.err.replace("\n", "")
    assert "Traceback" not in ended.err
    after = snapshot(place.folder)
    assert {name: after.get(name) for name in before} == before
    assert not [name for name in after if ".volunet-scratch" in name]


def test_every_bad_case_is_named_at_once(volunet, place):
    nan_voxels(place)
    place.rewrite(place.label, lambda array: array * np.uint8(7))
    (place.data / "labelsTr" / "blob_3.nii.gz").unlink()
    status, _, err = volunet(*place.train())
    assert status == 2
    assert "2 of 4 cases cannot be used" in err
    for text in (
        "imagesTr/blob_1.nii.gz: 2 voxels are NaN",
        "labelsTr/blob_1.nii.gz: the undeclared values 7.",
        "labelsTr/blob_3.nii.gz: no such file",
    ):
        assert text in err


def test_skip_bad_goes_on_with_the_others(volunet, place):
    nan_voxels(place)
    status, out, err = volunet(*place.train("--skip-bad"))
    assert status == 0, err
    assert "done, 1 steps" in out
    assert "1 of 4 cases cannot be used and are left out" in " ".join(err.split())
    run = json.loads((place.folder / "new" / "run.json").read_text())
    assert sorted(run["training"] + run["validation"]) == ["blob_0", "blob_2", "blob_3"]


def test_one_bad_scan_of_several(volunet, place):
    nan_voxels(place)
    status, _, err = volunet(*place.predict(place.data / "imagesTr"))
    assert status == 2
    assert "blob_1.nii.gz: 2 voxels are NaN" in err
    written = sorted(path.name for path in (place.folder / "predictions").iterdir())
    assert written == ["blob_0.nii.gz", "blob_2.nii.gz", "blob_3.nii.gz"]
    # Mended, the rest follows with --resume.
    shutil.copy(place.data / "imagesTr" / "blob_0.nii.gz", place.image)
    status, out, _ = volunet(*place.predict(place.data / "imagesTr"), "--resume")
    assert (status, out.endswith("4 written.\n")) == (0, True)
    assert read_volume(place.folder / "predictions" / "blob_1.nii.gz").shape == (12, 12, 12)


@pytest.mark.parametrize(
    ("num_bytes", "words", "file"),
    [
        # A checkpoint of this network has some 130 kB, its curve 36 kB, its weights 23 kB.
        (
            20_000,
            lambda place: place.resume("--epochs", "3"),
            r"/run/(last\.ckpt|curve\.png|weights\.safetensors)",
        ),
        (4_000, lambda place: place.train(), r"/new/cache/blob_\d\.image\.npy"),
        (60, lambda place: place.predict(place.image), r"/predictions/blob_1\.nii\.gz"),
        (
            4_000,
            lambda place: ["export", place.run, "-o", place.folder / "model.onnx", "--sizes", "1"],
            r"/model\.onnx",
        ),
        (
            4_000,
            lambda place: ["phantom", "-o", place.folder / "phantoms", "--cases", "1"],
            r"/phantoms/imagesTr/phantom_000_0000\.nii\.gz",
        ),
        (
            30,
            lambda place: [
                "evaluate", place.data / "labelsTr", place.data / "labelsTr",
                "-o", place.folder / "scores.csv",
            ],
            r"/scores\.csv",
        ),
    ],
    ids=["resume", "train", "predict", "export", "phantom", "evaluate"],
)  # fmt: skip
def test_full_disk(volunet, files_of_at_most, snapshot, place, num_bytes, words, file):
    arguments = words(place)
    weights = place.run / "weights.safetensors"
    before = snapshot(place.data) | {"weights": weights.read_bytes()}
    checkpoint = (place.run / "last.ckpt").read_bytes()
    with files_of_at_most(num_bytes):
        ended = volunet(*arguments)
    assert ended.status == 2, ended.err
    message = file + r": cannot be written: file too large\.\n.* must fit there\.\nFree some space"
    assert re.search(message, ended.err), ended.err
    assert snapshot(place.data) | {"weights": weights.read_bytes()} == before
    assert (place.run / "last.ckpt").read_bytes() == checkpoint
    assert not [
        path for path in place.folder.rglob("*") if path.name.startswith(".volunet-scratch")
    ]
    # With room again, the same goes through: into a new folder, or on with the run.
    shutil.rmtree(place.folder / "new", ignore_errors=True)
    for folder in ("predictions", "phantoms"):
        shutil.rmtree(place.folder / folder, ignore_errors=True)
    again = volunet(*arguments)
    assert again.status == 0, again.err
