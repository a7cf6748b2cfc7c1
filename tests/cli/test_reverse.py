"""``volunet reverse``: what it says, what it writes, and its exit status."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from volunet.api import reverse as api

PICTURES = Path(__file__).parents[1] / "golden" / "pictures"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two convolutions with a ReLU between them, of two axes."""
    rng = np.random.default_rng(0)
    weights = {"a": (4, 1, 3, 3), "b": (4,), "c": (2, 4, 1, 1), "d": (2,)}
    nodes = [
        helper.make_node("Conv", ["x", "a", "b"], ["first"], "one", pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["active"], "two"),
        helper.make_node("Conv", ["active", "c", "d"], ["y"], "three"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "small",
        [value("x", TensorProto.FLOAT, ["n", 1, "h", "w"])], [value("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(rng.normal(0, 0.5, shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18)]
    (tmp_path / "in").mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "in" / "small.onnx"
    )
    return tmp_path / "in" / "small.onnx"


def with_unknown(model: Path, name: str = "odd") -> Path:
    """The same file with an operator at its end that nobody knows."""
    proto = onnx.load(model)
    proto.graph.node.append(helper.make_node("Mystery", ["y"], ["z"], name, domain="com.example"))
    proto.graph.output[0].name = "z"
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(proto, model)
    return model


def test_what_it_says_and_writes(volunet, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = volunet("reverse", small, "-o", "net.py")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    count = (tmp_path / "net.py").read_text(encoding="utf-8").count("\n")
    assert lines[0] == (
        f"net.py: {count} lines, 1 class, 3 layers (0 in blocks that repeat), 50 parameters."
    )
    assert lines[1] == "net.safetensors: the weights."
    assert lines[2] == "Verified against ONNX Runtime (at most 1e-05 of the largest answer):"
    sizes = [
        re.match(r"  (\d+×1×\d+×\d+): largest difference \d\.\de-\d\d, ", s) for s in lines[3:]
    ]
    assert len(sizes) == 3
    assert len({size[1] for size in sizes if size}) == 3
    assert sorted(p.name for p in tmp_path.glob("net*")) == ["net.py", "net.safetensors"]


def test_json_to_stdout_is_all_of_stdout(volunet, small, tmp_path):
    status, out, _ = volunet(
        "reverse", small, "-o", tmp_path / "net.py", "--no-verify", "--json", "-"
    )
    assert status == 0
    content = json.loads(out)
    assert content["source"] == str(tmp_path / "net.py")
    assert content["weights"] == str(tmp_path / "net.safetensors")
    assert (content["verified"], content["unverified"]) == (False, "not asked for")
    assert (content["layers"], content["parameters"], content["comparisons"]) == (3, 50, [])


def test_not_verified_is_said(volunet, small, tmp_path):
    status, out, _ = volunet("reverse", small, "-o", tmp_path / "net.py", "--no-verify")
    assert status == 0
    assert out.splitlines()[-1] == "Not verified: not asked for."


def test_a_wrong_answer_exits_1_and_names_the_layer(volunet, small, tmp_path, monkeypatch):
    state_of = api.state_of

    def spoilt(*words: Any) -> dict[str, Any]:
        state = state_of(*words)
        (last,) = [name for name, array in state.items() if array.shape == (2, 4, 1, 1)]
        state[last] = state[last] + np.float32(0.01)
        return state

    monkeypatch.setattr(api, "state_of", spoilt)
    file = tmp_path / "answer.json"
    status, out, err = volunet("reverse", small, "-o", tmp_path / "net.py", "--json", file)
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert "NOT the same as ONNX Runtime (at most 1e-05 of the largest answer):" in lines
    assert re.match(
        r"the first layer that differs is \w+\.2 \(tensor 'y'\): by 0\.0\d+, where", lines[-1]
    )
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["verified"] is False
    assert content["differs"] == lines[-1]
    # They are there to be looked at.
    assert sorted(p.name for p in tmp_path.glob("net*")) == ["net.py", "net.safetensors"]


def test_a_source_that_fails_exits_1(volunet, small, tmp_path, monkeypatch):
    state_of = api.state_of
    monkeypatch.setattr(api, "state_of", lambda *words: dict(list(state_of(*words).items())[1:]))
    status, out, err = volunet("reverse", small, "-o", tmp_path / "net.py")
    assert (status, err) == (1, "")
    assert out.splitlines()[-1].startswith(
        "NOT verified: its weights cannot be loaded: net.py, line "
    )
    assert "Missing key(s) in state_dict" in out


def test_unknown_operators_exit_2_and_nothing_is_written(volunet, small, tmp_path):
    model = with_unknown(small)
    status, out, err = volunet("reverse", model, "-o", tmp_path / "net.py")
    assert (status, out) == (2, "")
    assert err.splitlines()[0] == f"{model}: no PyTorch for 1 node: com.example.Mystery 'odd'."
    assert err.splitlines()[-1].startswith("Add --partial")
    assert not list(tmp_path.glob("net*"))


def test_partial_lists_its_gaps(volunet, small, tmp_path):
    model = with_unknown(small, name="[red]odd[/red]")
    status, out, _ = volunet("reverse", model, "-o", tmp_path / "net.py", "--partial")
    assert status == 0
    assert "Gaps, which raise:\n  gap 1: com.example.Mystery '[red]odd[/red]'\n" in out
    assert out.splitlines()[-1] == "Not verified: the source has gaps that raise."


def test_names_of_the_file_do_not_steer_the_terminal(volunet, small, tmp_path):
    """A name may hold what clears the screen, or lines that look like a verdict."""
    model = with_unknown(small, name="\x1b[2J\nVerified")
    _, _, err = volunet("reverse", model, "-o", tmp_path / "net.py")
    _, out, _ = volunet("reverse", model, "-o", tmp_path / "net.py", "--partial")
    for text in (err, out):
        assert "Mystery" in text
        assert "\x1b" not in text
        assert "\nVerified" not in text


def test_files_that_are_there_exit_2_and_are_left_alone(volunet, small, tmp_path, snapshot):
    for name in ("net.py", "net.safetensors"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    before = snapshot(tmp_path)
    status, _, err = volunet("reverse", small, "-o", tmp_path / "net.py")
    assert (status, err.splitlines()[0]) == (2, f"{tmp_path / 'net.py'}: exists already.")
    assert "--overwrite" in err
    assert snapshot(tmp_path) == before
    words = ("reverse", small, "-o", tmp_path / "net.py", "--no-verify", "--overwrite")
    assert volunet(*words).status == 0
    assert (tmp_path / "net.py").read_text(encoding="utf-8").startswith('"""')


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.onnx", "-o", "net.py"), "nowhere.onnx: no such file."),
        (("in/small.onnx", "-o", "net.txt"), "net.txt: no name of a module."),
        (("in/small.onnx", "-o", "import.py"), "import.py: no name of a module."),
    ],
)
def test_a_wrong_call_exits_2(
    volunet, small, tmp_path, monkeypatch, words: tuple[str, ...], message: str
):
    monkeypatch.chdir(tmp_path)
    status, out, err = volunet("reverse", *words)
    assert (status, out) == (2, "")
    assert err.splitlines()[0] == message


def test_a_picture_says_what_is_seen_and_what_is_not(volunet, tmp_path):
    picture = PICTURES / "notes_9.svg"
    status, out, _ = volunet("reverse", picture, "-o", tmp_path / "net.py")
    assert status == 0
    for title in ("Seen in the picture:", "Inferred:", "Cannot be known:"):
        assert f"\n{title}\n  " in out
    assert out.splitlines()[-1] == "Not verified: a picture has no weights to compare with."
    assert [p.name for p in tmp_path.iterdir()] == ["net.py"]


# The notes' own files


def classes_of(source: Path) -> list[str]:
    return re.findall(r"^class (\w+)", source.read_text(encoding="utf-8"), re.M)


NOTES = ["DoubleConv", "Down", "Up", "Output", "UNet"]
"""Double convolution, down, up, output, and the network."""


def test_the_notes_network(volunet, reference_folder: Path, tmp_path: Path) -> None:
    model = reference_folder / "notes_unet3d_small_eval.onnx"
    status, out, _ = volunet("reverse", model, "-o", tmp_path / "net.py")
    assert status == 0
    assert "Verified against ONNX Runtime" in out
    source = (tmp_path / "net.py").read_text(encoding="utf-8")
    assert classes_of(tmp_path / "net.py") == NOTES
    assert source.count("\n") <= 80
    assert "features=(4, 8, 16, 32, 64)" in source
    # No layer spelled out twice: double convolution and output, pooling, transposed convolution.
    layers = re.findall(r"nn\.((?:Conv|MaxPool|ConvTranspose)3d)\(", source)
    assert sorted(layers) == ["Conv3d", "Conv3d", "ConvTranspose3d", "MaxPool3d"]
    weights = onnx.load(model).graph.initializer
    count = sum(int(np.prod(w.dims)) for w in weights if w.data_type == TensorProto.FLOAT)
    assert f"{count:,} parameters" in out


def test_the_notes_network_of_training(volunet, reference_folder: Path, tmp_path: Path) -> None:
    model = reference_folder / "notes_unet3d_small_train.onnx"
    status, out, _ = volunet("reverse", model, "-o", tmp_path / "net.py")
    assert status == 0
    assert "Verified against ONNX Runtime" in out
    source = (tmp_path / "net.py").read_text(encoding="utf-8")
    assert classes_of(tmp_path / "net.py") == NOTES
    assert source.count("nn.BatchNorm3d(") == 1
    assert source.rstrip().endswith("return network.train()")


@pytest.mark.parametrize("picture", ["notes_unet3d.svg", "notes_unet3d_attributes.svg"])
def test_the_notes_pictures(
    volunet: Callable[..., Any], reference_folder: Path, tmp_path: Path, picture: str
) -> None:
    status, out, _ = volunet("reverse", reference_folder / picture, "-o", tmp_path / "net.py")
    assert status == 0
    assert "Not verified: a picture has no weights to compare with." in out
    source = (tmp_path / "net.py").read_text(encoding="utf-8")
    assert classes_of(tmp_path / "net.py") == NOTES
    assert "features=(32, 64, 128, 256, 512)" in source
    assert source.count("\n") <= 80
