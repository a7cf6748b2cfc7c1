"""``volunet draw``: the file's name on stdout, messages and exit statuses."""

from __future__ import annotations


def test_a_picture_is_written_and_named(volunet, tiny_onnx, tmp_path):
    file = tmp_path / "net.svg"
    words = ("draw", tiny_onnx, "-o", file, "--size", "8x12x16", "--style", "unet")
    assert volunet(*words) == (0, f"{file}\n", "")
    assert "8×12×16" in file.read_text(encoding="utf-8")
    status, out, err = volunet(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"{file}: exists already.")
    assert volunet(*words, "--overwrite").status == 0


def test_a_style_that_is_none(volunet, tiny_onnx, tmp_path):
    status, _, err = volunet("draw", tiny_onnx, "-o", tmp_path / "net.svg", "--style", "tree")
    assert status == 2
    assert "'tree'" in err
    assert "unet" in err


def test_a_file_that_is_no_model(volunet, tmp_path):
    (tmp_path / "scan.onnx").write_bytes(b"\x1f\x8b\x08\x00")
    status, _, err = volunet("draw", tmp_path / "scan.onnx", "-o", tmp_path / "net.svg")
    assert status == 2
    assert "not a whole ONNX file" in err
    assert not (tmp_path / "net.svg").exists()
