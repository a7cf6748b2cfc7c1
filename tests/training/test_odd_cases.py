"""Cases that are few, small, or lack a class: a training works, or says why not."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import volunet
from volunet.errors import ConfigError, DatasetError
from volunet.training.fitting.checkpoints import read_checkpoint
from volunet.training.record.curve import read_metrics

TINY = {"features": (4, 8), "patch_size": (12, 12, 12), "workers": 0}
"""Of four blobs three train: two steps of two patches an epoch."""


@pytest.mark.parametrize(
    ("cases", "fold", "message"),
    [
        (1, "all", r"fold: .* of 1 case"),
        (1, "1/2", r"fold: 1/2 of 1 cases\.\nEach fold validates .*\nUse --fold none, or add case"),
        (3, "1/5", r"fold: 1/5 of 3 cases\.\nEach fold validates .*: at most 3 folds\.\nUse --fol"),
        (3, "all/5", r"fold: 1/5 of 3 cases\.\nEach fold validates .*: at most 3 folds\.\nUse --f"),
    ],
    ids=["one-all", "one", "three", "three-all"],
)
def test_too_few_cases_for_the_folds(write_blobs, tmp_path, cases, fold, message):
    dataset = write_blobs(tmp_path / "blobs", cases=cases)
    with pytest.raises(DatasetError, match=message):
        volunet.train(dataset, tmp_path / "run", epochs=1, fold=fold, **TINY)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fold", [None, "none"])
def test_one_case(write_blobs, tmp_path, caplog, fold):
    dataset = write_blobs(tmp_path / "blobs", cases=1)
    result = volunet.train(dataset, tmp_path / "run", epochs=3, fold=fold, **TINY)
    assert result.steps == 3
    assert math.isnan(result.best_score)
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    assert ("one case, which trains; nothing validates" in caplog.text) is (fold is None)


# Small and flat volumes


def write_cases(folder: Path, cases, labels=("background", "a", "b")):
    """Write an MSD data set of (image, label) arrays, (D, H, W)."""
    training = []
    for number, case in enumerate(cases):
        name = f"case_{number}.nii.gz"
        for kind, array in zip(("imagesTr", "labelsTr"), case, strict=True):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            volume = nibabel.Nifti1Image(array.T, np.diag([1.0, 1.0, 1.0, 1.0]))
            nibabel.save(volume, folder / kind / name)
        training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    content = {
        "name": "Odd",
        "modality": {"0": "MRI"},
        "labels": {str(value): name for value, name in enumerate(labels)},
        "training": training,
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def noise_with(size, seed, *values):
    """Noise, in which each class is a bright slab along the longest axis."""
    label = np.zeros(size, np.uint8)
    axis = int(np.argmax(size))
    slabs = np.array_split(np.arange(size[axis]), len(values) + 1)
    for slab, value in zip(slabs, values, strict=False):
        np.moveaxis(label, axis, 0)[slab] = value
    image = np.random.default_rng(seed).normal(100, 20, size) + 80 * label
    return image.astype(np.float32), label


@pytest.mark.parametrize(
    "keys",
    [{}, {"patch_size": (12, 12, 12), "features": (4, 8)}],
    ids=["by-the-rules", "larger-patch"],
)
@pytest.mark.parametrize(
    "sizes",
    [
        [(3, 3, 3)] * 3,
        [(1, 20, 20)] * 3,
        pytest.param([(20, 1, 20)] * 3, marks=pytest.mark.long),
        pytest.param([(20, 20, 1)] * 3, marks=pytest.mark.long),
        [(1, 1, 9)] * 3,
        [(2, 25, 7), (16, 16, 16), (1, 5, 30)],
    ],
    ids=["tiny", "flat-d", "flat-h", "flat-w", "line", "mixed"],
)
def test_volumes_smaller_than_the_patch(tmp_path, sizes, keys):
    cases = [noise_with(size, seed, 1, 2) for seed, size in enumerate(sizes)]
    dataset = write_cases(tmp_path / "odd", cases)
    result = volunet.train(dataset, tmp_path / "run", epochs=2, workers=0, **keys)
    # Two of three train: a step an epoch.
    assert result.steps == 2
    assert 0 <= result.best_score <= 1
    losses = [loss for _, loss in read_metrics(tmp_path / "run/metrics.csv")["train_loss"]]
    assert losses
    assert np.isfinite(losses).all()


def test_single_voxels(tmp_path):
    cases = [noise_with((1, 1, 1), seed) for seed in range(3)]
    for _, label in cases:
        label[:] = 1
    dataset = write_cases(tmp_path / "odd", cases)
    result = volunet.train(dataset, tmp_path / "run", epochs=1, workers=0)
    assert result.steps == 1


def test_batch_norm_of_a_single_value(blobs, tmp_path):
    keys = {"features": (2, 2, 2), "patch_size": (4, 4, 4), "workers": 0, "epochs": 1}
    message = (
        r"--batch-size 1: a patch of 4×4×4 voxels, of which the deepest level sees a single one\.\n"
        r"Batch norm needs two values of each channel, .*\nGive --batch-size 2, .*--norm group\."
    )
    with pytest.raises(ConfigError, match=message):
        volunet.train(blobs, tmp_path / "run", batch_size=1, **keys)
    # Each way out that it names.
    ways = [{"batch_size": 2}, {"norm": "group"}, {"patch_size": (4, 4, 8)}, {"features": (2, 2)}]
    for number, way in enumerate(ways):
        run = tmp_path / f"run_{number}"
        assert volunet.train(blobs, run, **{"batch_size": 1} | keys | way).steps in (2, 3)


# Classes that are missing


@pytest.mark.parametrize("loss", ["dice_cross_entropy", "cross_entropy", "tversky", "boundary"])
def test_a_class_that_is_nowhere(tmp_path, caplog, loss):
    cases = [noise_with((12, 12, 12), seed, 1) for seed in range(3)]
    dataset = write_cases(tmp_path / "odd", cases)
    with caplog.at_level(logging.WARNING):
        result = volunet.train(dataset, tmp_path / "run", epochs=2, loss=loss, **TINY)
    assert result.steps == 2
    assert 0 <= result.best_score <= 1
    kept = load_file(tmp_path / "run/weights.safetensors").values()
    last = read_checkpoint(tmp_path / "run/last.ckpt")["state_dict"].values()
    assert all(torch.isfinite(tensor).all() for tensor in [*kept, *last])
    assert "No training case shows b: it cannot be learnt." in caplog.text
    assert "No validation patch shows b: the Dice is that of the other classes." in caplog.text


def fold_of(dataset, validation):
    """Have the last case or cases validate in the first of two folds."""
    names = [f"case_{number}" for number in range(4)]
    split = {"train": names[:-validation], "val": names[-validation:]}
    other = {"train": split["val"], "val": split["train"]}
    (dataset / "splits_final.json").write_text(json.dumps([split, other]))


@pytest.mark.parametrize(
    ("trained", "validated", "said", "unsaid"),
    [
        ((1, 2), (1, 2), (), ("No training case", "validation case")),
        ((1,), (1, 2), ("No training case shows b: ",), ("validation case",)),
        ((1, 2), (2,), ("No validation patch shows a: ",), ("training case",)),
        ((1,), (2,), ("No training case shows b", "No validation patch shows a"), ()),
        ((), (1,), ("No training case shows a or b: ", "No validation patch shows b"), ()),
    ],
    ids=["none", "training", "validation", "each", "all-training"],
)
def test_a_class_that_a_fold_does_not_show(tmp_path, caplog, trained, validated, said, unsaid):
    size = (12, 12, 12)
    cases = [noise_with(size, seed, *trained) for seed in range(3)]
    dataset = write_cases(tmp_path / "odd", [*cases, noise_with(size, 3, *validated)])
    fold_of(dataset, 1)
    with caplog.at_level(logging.WARNING):
        result = volunet.train(dataset, tmp_path / "run", epochs=2, fold="1/2", **TINY)
    assert result.steps == 4
    assert 0 <= result.best_score <= 1
    assert all(text in caplog.text for text in said)
    assert not any(text in caplog.text for text in unsaid)


def test_validation_cases_of_background_alone(tmp_path, caplog):
    size = (12, 12, 12)
    cases = [noise_with(size, seed, 1, 2) for seed in range(3)]
    dataset = write_cases(tmp_path / "odd", [*cases, noise_with(size, 3)])
    fold_of(dataset, 1)
    run = tmp_path / "run"
    with caplog.at_level(logging.WARNING):
        result = volunet.train(dataset, run, epochs=3, patience=1, fold="1/2", **TINY)
    assert "The validation cases show background alone: nothing validates" in caplog.text
    # A Dice of 0 would have ended it early, and kept the first weights.
    assert result.steps == 6
    assert math.isnan(result.best_score)
    averaged = read_checkpoint(run / "last.ckpt")["state_dict"]
    for name, tensor in load_file(run / "weights.safetensors").items():
        np.testing.assert_array_equal(tensor.numpy(), averaged[f"network.{name}"].numpy())


def test_nothing_but_background(tmp_path):
    dataset = write_cases(tmp_path / "odd", [noise_with((8, 8, 8), seed) for seed in range(3)])
    message = r"odd: no voxel of any class but the background\.\nTraining needs .*\nCheck the label"
    with pytest.raises(DatasetError, match=message):
        volunet.train(dataset, tmp_path / "run", epochs=1, **TINY)
    assert not list((tmp_path / "run").iterdir())
