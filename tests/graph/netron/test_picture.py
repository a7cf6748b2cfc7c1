"""Every picture gives the network that was drawn: operators, edges, weights, attributes, sizes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from volunet.graph import infer_sizes, read_onnx
from volunet.graph.netron import Picture, read_netron

NAMES = (
    "notes_9", "notes_9_attributes", "notes_9_names", "notes_9_horizontal_shapes", "notes_9_svgo",
    "notes_7_attributes", "residual_9_shapes", "residual_9_shapes_svgo",
    "residual_7_names_attributes", "instance_9", "instance_7_horizontal_attributes",
    "instance_7_horizontal_attributes_svgo", "classifier_9", "classifier_9_attributes",
    "strided_9", "strided_9_attributes_shapes",
)  # fmt: skip

NOT_SHOWN = {
    "alpha", "epsilon", "momentum", "training_mode",  # defaults are not drawn
    "cubic_coeff_a", "nearest_mode",  # of no effect with linear interpolation
}  # fmt: skip

DOUBLING = {"dilations", "pads", "output_padding"}
"""What doubles the size in another way where attributes are not shown (`test_doubling`)."""


def edges(nodes: list[tuple[list[str], list[str]]], inputs: list[str]) -> list[list[int]]:
    """For each node, the nodes that it reads from, by their places; −1 is an input."""
    maker = dict.fromkeys(inputs, -1)
    found = []
    for place, (reads, makes) in enumerate(nodes):
        found.append([maker[name] for name in reads])
        maker |= dict.fromkeys(makes, place)
    return found


def data_inputs(node: ir.Node) -> list[str]:
    return [
        value.name or ""
        for value in node.inputs
        if value is not None and value.name and not value.is_initializer()
    ]


def weights(node: ir.Node) -> list[list[int]]:
    return [
        [int(size) for size in value.const_value.shape.numpy()]
        for value in node.inputs
        if value is not None and value.const_value is not None
    ]


def plain(attribute: ir.Attr | None) -> Any:
    if attribute is None:
        return None
    return list(attribute.value) if isinstance(attribute.value, tuple) else attribute.value


def check(picture: Picture, described: Mapping[str, Any], name: str) -> None:
    nodes, wanted = list(picture.model.graph), described["nodes"]
    assert [node.op_type for node in nodes] == [node["op_type"] for node in wanted]
    inputs = [value.name or "" for value in picture.model.graph.inputs]
    mine = edges([(data_inputs(n), [v.name or "" for v in n.outputs]) for n in nodes], inputs)
    made = {o for n in wanted for o in n["outputs"]} | set(described["inputs"])
    theirs = edges(
        [([i for i in n["inputs"] if i in made], n["outputs"]) for n in wanted],
        list(described["inputs"]),
    )
    if name.startswith("strided"):  # shared scale and bias of a norm: which is which is not drawn
        mine, theirs = [sorted(e) for e in mine], [sorted(e) for e in theirs]
    assert mine == theirs
    for node, original in zip(nodes, wanted, strict=True):
        if node.op_type != "Resize":  # its scales are made from what it does
            mine_shapes = [shape for shape in weights(node) if shape]
            assert mine_shapes == [shape for shape in original["weights"] if shape]
        for key, value in original["attributes"].items():
            if key in NOT_SHOWN or (node.op_type == "Resize" and key.startswith("coordinate")):
                continue
            if node.op_type == "ConvTranspose" and key in DOUBLING and "attributes" not in name:
                continue
            own = plain(node.attributes.get(key))
            if own is None:  # left out: the default, which is all ones, or 1, or 0
                assert value in (0, 1, [1] * 3, [1] * 2), (node.op_type, key, value)
            else:
                assert own == value, (node.op_type, key, own, value)


def check_sizes(picture: Picture, described: Mapping[str, Any]) -> None:
    """Sizes fit as formulas, and at the size of the export."""
    network = infer_sizes(picture.model, "picture")
    assert network.failures == ()
    assert network.unsupported == ()
    (size,) = described["inputs"].values()
    at_size = infer_sizes(picture.model, "picture", size)
    assert at_size.failures == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_gives_its_network(
    name: str, pictures: Path, described: Callable[[str], dict[str, Any]]
) -> None:
    picture = read_netron(pictures / f"{name}.svg")
    check(picture, described(name), name)
    check_sizes(picture, described(name))


@pytest.mark.parametrize("change", ["without_ids", "as_by_an_editor", "as_of_2022"])
@pytest.mark.parametrize(
    "name",
    ["notes_9_attributes", "notes_9_horizontal_shapes", "notes_7_attributes", "residual_9_shapes",
     "classifier_9", "instance_9"],
)  # fmt: skip
def test_a_picture_saved_again_gives_its_network(
    name: str,
    change: str,
    pictures: Path,
    resaved: dict[str, Any],
    described: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    file = tmp_path / "again.svg"
    file.write_text(resaved[change]((pictures / f"{name}.svg").read_text()))
    picture = read_netron(file)
    check(picture, described(name), name)
    check_sizes(picture, described(name))


def test_nodes_and_weights_have_the_names_of_the_file(pictures: Path) -> None:
    model = read_netron(pictures / "notes_9.svg").model
    assert [node.name for node in model.graph][:2] == [
        "/encoders.0/conv1/Conv", "/encoders.0/activation1/Relu",
    ]  # fmt: skip
    assert list(model.graph.initializers)[:2] == [
        "encoders.0.conv1.weight",
        "encoders.0.conv1.bias",
    ]


def test_weights_are_zeros_that_take_no_memory(pictures: Path) -> None:
    model = read_netron(pictures / "notes_9.svg").model
    weight = model.graph.initializers["encoders.0.conv1.weight"].const_value
    assert weight is not None
    array = weight.numpy()
    assert array.shape == (4, 1, 3, 3, 3)
    assert array.dtype == np.float32
    assert array.strides == (0,) * 5
    assert not array.any()


def test_the_input_takes_any_size(pictures: Path) -> None:
    picture = read_netron(pictures / "notes_9.svg")
    (value,) = picture.model.graph.inputs
    sizes = [str(getattr(size, "value", size)) for size in value.shape or ()]
    assert sizes == ["batch", "1", "depth", "height", "width"]
    assert (
        "input 'input' takes any batch and any size: 1×1×16×24×32 in the picture is that of the "
        "export"
    ) in picture.inferred


def test_what_is_seen_inferred_and_unknown_is_listed(pictures: Path) -> None:
    picture = read_netron(pictures / "notes_9.svg")
    assert picture.seen == (
        "28 operators: 11 Conv, 11 Relu, 2 MaxPool, 2 ConvTranspose, 2 Concat",
        "31 edges",
        "the shapes of 26 weights",
        "no attributes",
        "names of the nodes",
        "the shapes of 2 tensors",
    )
    agree = "so that the joins behind it agree"
    assert picture.inferred[:4] == (
        f"10 Conv: of kernel 3, stride 1, pads 1: it keeps the size, {agree}",
        f"2 MaxPool: kernel 2, stride 2, pads 0: it halves the size, {agree}",
        f"2 ConvTranspose: of kernel 2, stride 2, pads 0: it doubles the size, {agree}",
        f"1 Conv: of kernel 1, stride 1, pads 0: it keeps the size, {agree}",
    )
    assert any("a skip comes first" in line for line in picture.inferred)
    assert any(line.startswith("the weights") for line in picture.unknown)


def test_doubling_in_another_way_is_told(pictures: Path) -> None:
    unknown = read_netron(pictures / "notes_9.svg").unknown
    assert any("dilation 2, pads 1 and output padding 1" in line for line in unknown)
    shown = read_netron(pictures / "notes_9_attributes.svg").unknown
    assert not any("dilation" in line for line in shown)


def test_strided_convolutions_are_found_by_the_joins(pictures: Path) -> None:
    """No attribute is shown: only the first convolution of a level can halve, and does."""
    model = read_netron(pictures / "strided_9.svg").model
    strides = {n.name: plain(n.attributes["strides"]) for n in model.graph if n.op_type == "Conv"}
    halving = [name for name, stride in strides.items() if stride == [2, 2, 2]]
    assert halving == ["/middle/middle.0/middle.0.0/Conv", "/bottom/bottom.0/bottom.0.0/Conv"]


def test_shapes_beside_edges_decide_the_padding(pictures: Path) -> None:
    """A 5×5 kernel makes 28×44 of 32×48: it is not padded."""
    model = read_netron(pictures / "classifier_9.svg").model
    first, second = (node for node in model.graph if node.op_type == "Conv")
    assert plain(first.attributes["pads"]) == [0, 0, 0, 0]
    assert plain(second.attributes["pads"]) == [1, 1, 1, 1]
    assert plain(second.attributes["group"]) == 4


@pytest.mark.parametrize("name", ["notes_unet3d.svg", "notes_unet3d_attributes.svg"])
def test_the_notes_network(name: str, reference_folder: Path) -> None:
    picture = read_netron(reference_folder / name)
    network = infer_sizes(picture.model, name)
    assert network.failures == ()
    assert [str(size) for size in network.outputs[0].shape or ()][:2] == ["n", "1"]
    shapes = json.loads((reference_folder / "notes_unet3d_state_dict_shapes.json").read_text())
    learned = {k: s for k, s in shapes.items() if k.rpartition(".")[2] in ("weight", "bias")}
    assert sum(math.prod(shape) for shape in learned.values()) == 22_581_217
    # A batch norm has a running mean; its weight and bias are folded into the convolution.
    norms = sum(
        2 * math.prod(shape) for key, shape in shapes.items() if key.endswith("running_mean")
    )
    parameters = sum(
        math.prod(value.const_value.shape.numpy())
        for value in picture.model.graph.initializers.values()
        if value.const_value is not None
    )
    assert norms == 5888
    assert parameters == 22_581_217 - norms


def test_the_notes_picture_and_its_onnx_are_one_graph(reference_folder: Path) -> None:
    drawn = read_netron(reference_folder / "notes_unet3d_attributes.svg").model
    original = read_onnx(reference_folder / "notes_unet3d_small_eval.onnx")
    assert [n.op_type for n in drawn.graph] == [n.op_type for n in original.graph]
    assert [n.name for n in drawn.graph] == [n.name for n in original.graph]
    for mine, theirs in zip(drawn.graph, original.graph, strict=True):
        assert data_inputs(mine) == data_inputs(theirs)
        for key, attribute in theirs.attributes.items():
            if key != "group":
                assert plain(mine.attributes.get(key)) == plain(attribute), (mine.name, key)


def test_the_export_of_volunet_is_read_without_its_padding(pictures: Path) -> None:
    """What pads and crops reads numbers that are not drawn: the network between is whole."""
    picture = read_netron(pictures / "anysize_9.svg")
    assert "3 Slice" in picture.seen[0]
    counts = Counter(node.op_type for node in picture.model.graph)
    assert counts == {
        "Conv": 7, "BatchNormalization": 6, "Relu": 6, "MaxPool": 1, "ConvTranspose": 1,
        "Concat": 1, "Clip": 1, "Sub": 1, "Div": 1,
    }  # fmt: skip
    assert any(
        line.startswith("by how much 1 Pad, 3 Slice pad and crop") for line in picture.unknown
    )
    clip = next(node for node in picture.model.graph if node.op_type == "Clip")
    limits = [v.const_value.numpy() for v in clip.inputs[1:] if v is not None and v.const_value]
    assert [float(limit) for limit in limits] == [-200.0, 400.0]
    network = infer_sizes(picture.model, "picture", (16, 24, 32))
    assert network.failures == ()
    assert network.outputs[0].shape == (1, 3, 16, 24, 32)


def test_nothing_of_torch_is_loaded(pictures: Path) -> None:
    code = (
        "import sys; from volunet.graph.netron import read_netron; "
        f"read_netron({str(pictures / 'notes_9.svg')!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
