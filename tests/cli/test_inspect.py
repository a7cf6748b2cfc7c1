"""``volunet inspect``: the table, the totals, the verdict and its exit status."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from volunet.api.inspect import inspect
from volunet.cli.inspection_table import layer_table


@pytest.fixture
def even_only(tmp_path: Path) -> Path:
    """A file of another exporter: a network that halves and doubles, without a plan."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], "halve", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ConvTranspose", ["p", "w"], ["u"], "double", strides=[2, 2]),
        helper.make_node("Concat", ["x", "u"], ["y"], "join", axis=1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "even",
        [value("x", TensorProto.FLOAT, [1, 1, "height", "width"])],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((1, 3, 2, 2), np.float32), "w")],
    )
    onnx.save(helper.make_model(graph), tmp_path / "even.onnx")
    return tmp_path / "even.onnx"


def test_the_table_and_the_totals(volunet, even_only):
    status, out, _ = volunet("inspect", even_only, "--size", "6x8")
    assert status == 0
    (row,) = [line for line in out.splitlines() if "│ double" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "double", "ConvTranspose", "1×3×6×8", "2×2", "2", "12", "288", "576",
    ]  # fmt: skip
    assert "Input 1×1×6×8\nOutput 1×4×6×8\nIn general 1×1×h×w → 1×4×h×w\n" in out
    assert "Sizes that work: each axis a multiple of 2\n" in out
    assert "Parameters: 12 (48 B of weights and constants)\n" in out
    assert "One pass: 288 FLOP in convolutions and matrix products, 48 FLOP elsewhere" in out


def test_a_narrow_terminal_loses_no_number(even_only):
    report = inspect(even_only, (1024, 2048))
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(layer_table(report, 60))
    columns = zip(
        *(line.strip("│").split("│") for line in console.export_text().splitlines() if "│" in line),
        strict=True,
    )
    text = ["".join(cell.strip() for cell in column) for column in columns]
    assert "1×1×512×1024" in text[2]
    assert "1×4×1024×2048" in text[2]
    assert "…" not in "".join(text[1:])


def test_a_size_that_breaks_is_told_and_exits_1(volunet, even_only):
    status, out, _ = volunet("inspect", even_only, "--size", "7x8")
    assert status == 1
    assert (
        "Does not take this size: Concat 'join': axis 2 of 'x' and of 'u': 7 and 6 "
        "(h and ⌊h/2⌋·2)\n"
    ) in out
    assert "Sizes that work: each axis a multiple of 2. Pad the input to 8×8 and crop" in out


def test_json_to_stdout_and_to_a_file(volunet, even_only, tmp_path):
    status, out, _ = volunet("inspect", even_only, "--size", "8", "--json", "-")
    assert status == 0
    content = json.loads(out)
    assert content["input_size"] == [1, 1, 8, 8]
    assert [layer["role"] for layer in content["layers"]] == ["pooling", "convolution", "skip"]

    file = tmp_path / "answer.json"
    status, out, _ = volunet("inspect", even_only, "--size", "7", "--json", file)
    assert status == 1
    assert "Does not take this size" in out
    assert json.loads(file.read_text(encoding="utf-8"))["complete"] is False

    status, _, err = volunet("inspect", even_only, "--json", file)
    assert (status, err.splitlines()[0]) == (2, f"{file}: exists already.")


def test_unknown_operators_are_listed_and_exit_1(volunet, even_only):
    proto = onnx.load(even_only)
    proto.graph.node.append(helper.make_node("Mystery", ["y"], ["z"], "odd", domain="com.example"))
    onnx.save(proto, even_only)
    status, out, _ = volunet("inspect", even_only, "--size", "8")
    assert status == 1
    assert "Operators that are not known: 1\n  com.example.Mystery 'odd' (no rule)\n" in out
    assert "│ double" in out


def test_names_of_the_file_are_not_taken_for_markup(volunet, even_only):
    proto = onnx.load(even_only)
    proto.graph.node[0].name = "[red]pool[/red]"
    onnx.save(proto, even_only)
    status, out, _ = volunet("inspect", even_only, "--size", "8")
    assert status == 0
    assert "[red]pool[/red]" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "8x0"], "--size: '8x0'"),
        (["--size", "8x8x8"], "a size of 3 axes, 8×8×8, for an input of 1×1×h×w"),
        (["--size", "big"], "--size: 'big'"),
    ],
)
def test_wrong_sizes(volunet, even_only, words, message):
    status, out, err = volunet("inspect", even_only, *words)
    assert (status, out) == (2, "")
    assert message in err


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_truncated_file(volunet, even_only, share):
    data = even_only.read_bytes()
    even_only.write_bytes(data[: int(share * len(data))])
    status, out, err = volunet("inspect", even_only)
    assert (status, out) == (2, "")
    assert "not a whole ONNX file" in err
