"""A file that is no model is refused with the reason; a model's plan and weights come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from volunet.errors import ConfigError
from volunet.graph.reading.onnx_file import find_plan, parse_onnx, read_onnx, weights_of
from volunet.plan import METADATA_KEY, Plan


def with_plan(source: Path, target: Path, text: str | None) -> Path:
    """A copy of a model with another plan, or without one."""
    proto = onnx.load(source)
    del proto.metadata_props[:]
    if text is not None:
        helper.set_model_props(proto, {METADATA_KEY: text})
    onnx.save(proto, target)
    return target


def test_a_model_is_read_with_its_plan(tiny_onnx: Path, tiny_plan: Callable[..., Plan]) -> None:
    model = read_onnx(str(tiny_onnx))
    assert [value.name for value in model.graph.inputs] == ["input"]
    assert find_plan(model, tiny_onnx) == tiny_plan()


def test_a_file_and_its_bytes_are_one_model(tiny_onnx: Path) -> None:
    from_file, from_bytes = read_onnx(tiny_onnx), parse_onnx(tiny_onnx.read_bytes())
    assert [n.op_type for n in from_file.graph] == [n.op_type for n in from_bytes.graph]
    weights = weights_of(from_file, tiny_onnx)
    others = weights_of(from_bytes, tiny_onnx)
    assert weights.keys() == others.keys()
    assert all(np.array_equal(weights[name], others[name]) for name in weights)
    assert weights["network.head.weight"].shape == (3, 4, 1, 1, 1)


@pytest.mark.parametrize(
    "content",
    [b"", b"no model at all", b"\x00" * 1000, b"\x1f\x8b\x08\x00scan.nii.gz", b"{}"],
    ids=["empty", "text", "zeros", "gzip", "json"],
)
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_onnx(file)
    assert str(caught.value).startswith(f"{file}: not a whole ONNX file (")
    assert str(caught.value).endswith("Copy or export it again; it may be truncated.")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tiny_onnx: Path, tmp_path: Path, share: float) -> None:
    data = tiny_onnx.read_bytes()
    file = tmp_path / "m.onnx"
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ConfigError, match=r"m\.onnx: not a whole ONNX file"):
        read_onnx(file)


@pytest.mark.parametrize("missing", ["input", "output"])
def test_a_graph_without_an_input_or_an_output_is_refused(tmp_path: Path, missing: str) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    constant = helper.make_node("Constant", [], ["y"], value_float=1.0)
    graph = helper.make_graph(
        [constant], "graph", [] if missing == "input" else [x], [] if missing == "output" else [y]
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="no graph with an input and an output in it"):
        read_onnx(tmp_path / "m.onnx")


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.onnx: no such file"):
        read_onnx(tmp_path / "gone.onnx")
    with pytest.raises(ConfigError, match=r": a folder\.\nA model is an ONNX file or a run folder"):
        read_onnx(tmp_path)


def test_a_foreign_model_has_no_plan(tiny_onnx: Path, tmp_path: Path) -> None:
    file = with_plan(tiny_onnx, tmp_path / "m.onnx", None)
    assert find_plan(read_onnx(file), file) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan_version": 0}, "a plan of version 0"),
        ({"plan_version": 3, "tiles": 3}, "a plan of version 3"),
        ({"tiles": 3}, "not a plan of version 2: tiles"),
    ],
    ids=["older", "newer", "unknown key"],
)
def test_a_plan_of_another_version_is_refused(
    tiny_onnx: Path,
    tiny_plan: Callable[..., Plan],
    tmp_path: Path,
    change: dict[str, int],
    message: str,
) -> None:
    text = json.dumps(tiny_plan().model_dump(mode="json") | change)
    file = with_plan(tiny_onnx, tmp_path / "m.onnx", text)
    with pytest.raises(ConfigError, match=rf"m\.onnx: {message}"):
        find_plan(read_onnx(file), file)


def test_a_weight_without_a_value_is_refused(tiny_onnx: Path) -> None:
    model = read_onnx(tiny_onnx)
    model.graph.initializers["network.head.bias"].const_value = None
    assert isinstance(model, ir.Model)
    with pytest.raises(ConfigError, match=r"m: initializer network\.head\.bias has no value"):
        weights_of(model, "m")
