"""A model file is refused where its structure is not sound, by the node or weight at fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from volunet.errors import ConfigError
from volunet.graph.reading.onnx_file import read_onnx

Make = Callable[..., onnx.ModelProto]
Save = Callable[..., Path]


def node(op: str, reads: str, makes: str, **keys: object) -> onnx.NodeProto:
    return helper.make_node(op, reads.split(), makes.split(), name=f"to_{makes}", **keys)


def external(make_proto: Make, location: str, length: int | None = 48) -> onnx.ModelProto:
    """A convolution whose weights lie in another file."""
    model = make_proto([node("Conv", "x w", "y")], (1, 1, "l"))
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 1, 3])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    if length is not None:
        weight.external_data.add(key="length", value=str(length))
    model.graph.initializer.append(weight)
    return model


def test_a_cycle_is_named_node_by_node(make_proto: Make, saved: Save) -> None:
    nodes = [node("Add", "x c", "a"), node("Relu", "a", "b"), node("Relu", "b", "c")]
    file = saved(make_proto([*nodes, node("Relu", "c", "y")], (1, 1, 8)))
    with pytest.raises(ConfigError) as caught:
        read_onnx(file)
    assert "its nodes form a cycle: " in str(caught.value)
    around = str(caught.value).split("cycle: ")[1].split(".")[0].split(" → ")
    assert around[0] == around[-1]
    assert set(around) == {"Add 'to_a'", "Relu 'to_b'", "Relu 'to_c'"}


def test_a_node_that_reads_itself_is_a_cycle(make_proto: Make, saved: Save) -> None:
    file = saved(make_proto([node("Add", "x y", "y")], (1, 1, 8)))
    with pytest.raises(ConfigError, match=r"cycle: Add 'to_y' → Add 'to_y'\."):
        read_onnx(file)


def test_nodes_in_the_wrong_order_are_put_in_order(make_proto: Make, saved: Save) -> None:
    file = saved(make_proto([node("Relu", "a", "y"), node("Relu", "x", "a")], (1, 1, 8)))
    assert [n.name for n in read_onnx(file).graph] == ["to_a", "to_y"]


def test_a_tensor_that_nothing_makes_is_named(make_proto: Make, saved: Save) -> None:
    file = saved(make_proto([node("Relu", "ghost", "y")], (1, 1, 8)))
    with pytest.raises(ConfigError, match=r"Relu 'to_y' reads 'ghost', which nothing makes"):
        read_onnx(file)


def test_an_input_that_is_left_out_comes_from_nowhere_and_is_fine(
    make_proto: Make, saved: Save
) -> None:
    clip = helper.make_node("Clip", ["x", "", "high"], ["y"], name="clip")
    file = saved(make_proto([clip], (1, 1, 8), {"high": np.float32(6)}))
    assert [n.name for n in read_onnx(file).graph] == ["clip"]


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "a/../../secret.bin"])
def test_external_data_outside_the_folder_is_refused(
    make_proto: Make, saved: Save, location: str
) -> None:
    file = saved(external(make_proto, location))
    with pytest.raises(ConfigError) as caught:
        read_onnx(file)
    assert f"weight 'w' points outside the model's folder: {location}" in str(caught.value)
    assert "Do not trust this file" in str(caught.value)


def test_a_link_out_of_the_folder_is_refused(make_proto: Make, saved: Save, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.bin").write_bytes(b"\0" * 48)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "outside" / "secret.bin")
    file = saved(external(make_proto, "weights.bin"), "model/model.onnx")
    with pytest.raises(ConfigError, match=r"points outside the model's folder: weights\.bin"):
        read_onnx(file)


def test_missing_and_short_external_data_are_told_apart(
    make_proto: Make, saved: Save, tmp_path: Path
) -> None:
    file = saved(external(make_proto, "weights.bin"))
    with pytest.raises(ConfigError, match=r"weight 'w' is in weights\.bin, which is not there"):
        read_onnx(file)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 47)
    with pytest.raises(ConfigError, match=r"ends at byte 48 of weights\.bin, which has 47"):
        read_onnx(file)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 48)
    assert read_onnx(file).graph.initializers["w"].shape == (4, 1, 3)


def test_functions_of_the_file_are_replaced_by_their_nodes(make_proto: Make, saved: Save) -> None:
    model = make_proto([helper.make_node("Twice", ["x"], ["y"], domain="own")], (1, 1, 8))
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], body, opset))
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert [n.op_type for n in read_onnx(saved(model)).graph] == ["Add"]


def test_a_name_that_two_nodes_make_is_refused(make_proto: Make, saved: Save) -> None:
    file = saved(make_proto([node("Relu", "x", "y"), node("Relu", "y", "y")], (1, 1, 8)))
    with pytest.raises(ConfigError, match=r"not a whole ONNX file \(Output 'y' is redeclared"):
        read_onnx(file)
