"""A model file of before plans had a task predicts what it predicted then.

``version_1/model.onnx`` was exported at eeb935f, from a network of two levels with seeded weights;
``scan.npz`` holds an oblique scan of noise and the labels that the same commit predicted. No two
classes come closer than 1.8e-5 in any voxel, a hundred times what engines differ by.
"""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

import volunet
from volunet.graph.reading.onnx_file import find_plan, read_onnx

FOLDER = Path(__file__).with_name("version_1")


def test_its_plan_is_of_a_segmentation() -> None:
    plan = find_plan(read_onnx(FOLDER / "model.onnx"), FOLDER / "model.onnx")
    assert plan is not None
    assert (plan.plan_version, plan.task.kind) == (2, "segmentation")
    assert plan.task.label_values == (0, 5, 300)


@pytest.mark.parametrize("mode", ["whole", "streamed"])
def test_the_same_bytes(tmp_path: Path, mode: str) -> None:
    scan = np.load(FOLDER / "scan.npz")
    nibabel.save(nibabel.Nifti1Image(scan["image"], scan["affine"]), tmp_path / "scan.nii.gz")
    volunet.predict(FOLDER / "model.onnx", [tmp_path / "scan.nii.gz"], tmp_path / "out", mode=mode)
    written = nibabel.load(tmp_path / "out" / "scan.nii.gz")
    labels = np.asarray(written.dataobj)
    assert labels.dtype == np.uint16
    assert labels.tobytes() == scan["labels"].tobytes()
    assert len(np.unique(labels)) == 3
