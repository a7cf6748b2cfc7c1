"""What a model may be: an ONNX file, a run folder, a preset; and what is none of these."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import volunet
from volunet.errors import ConfigError


def test_an_onnx_of_volunet_is_inspected_with_its_plan(tiny_onnx: Path) -> None:
    report = volunet.inspect(tiny_onnx, (16, 20, 24))
    assert report.model == str(tiny_onnx)
    assert report.output_size == (1, 3, 16, 20, 24)
    first = next(layer for layer in report.layers if layer.operator == "Conv")
    assert first.receptive_field_mm == (6.0, 4.5, 3.0)
    assert "torch" in report.peak_bytes


def test_a_foreign_onnx_is_inspected_without_one(tiny_onnx: Path, tmp_path: Path) -> None:
    proto = onnx.load(tiny_onnx)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "foreign.onnx")
    report = volunet.inspect(tmp_path / "foreign.onnx", (16,))
    assert report.output_size == (1, 3, 16, 16, 16)
    assert all(layer.receptive_field_mm is None for layer in report.layers)
    assert set(report.peak_bytes) == {"openvino"}


def test_a_run_folder_is_the_network_of_its_plan(blob_run: Path, blob_model: Path) -> None:
    run, model = (volunet.inspect(source, (12, 12, 12)) for source in (blob_run, blob_model))
    assert [layer.operator for layer in run.layers] == [layer.operator for layer in model.layers]
    assert (run.parameters, run.flops) == (model.parameters, model.flops)


def test_the_notes_preset(tiny_onnx: Path) -> None:
    """22,581,217 parameters and 2.107 TFLOP a pass, as the notes' network has them."""
    report = volunet.inspect("preset:notes", (224, 144, 144))
    assert report.parameters == 22_581_217
    assert report.flops == pytest.approx(2.107e12, rel=1e-3)
    assert report.sizes == "any size"
    assert report.layers[-1].receptive_field == (220, 220, 220)


def test_a_preset_that_depends_on_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"preset:auto: no such preset"):
        volunet.inspect("preset:auto")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run\.json in it"):
        volunet.inspect(tmp_path)


def test_a_size_below_1_is_refused(tiny_onnx: Path) -> None:
    with pytest.raises(ConfigError, match=r"size \(0, 4, 4\): a size below 1"):
        volunet.inspect(tiny_onnx, (0, 4, 4))
