"""Sizes of every tensor, open or given; faults are named and the rest is still said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from volunet.errors import ShapeError
from volunet.graph.network import infer_sizes
from volunet.graph.reading.onnx_file import read_onnx
from volunet.graph.sizes import shape_text

Make = Callable[..., ir.Model]


def shapes(model: ir.Model, size: tuple[int, ...] | None = None) -> dict[str, str]:
    network = infer_sizes(model, "m", size)
    return {t.name: shape_text(t.shape or ("?",)) for n in network.nodes for t in n.outputs}


def test_open_axes_are_letters(two_levels: Make) -> None:
    found = shapes(two_levels())
    assert found["skip"] == "1×4×d×h×w"
    assert found["p"] == "1×4×⌊d/2⌋×⌊h/2⌋×⌊w/2⌋"
    assert found["up"] == "1×4×⌊d/2⌋·2×⌊h/2⌋·2×⌊w/2⌋·2"


@pytest.mark.parametrize(
    ("size", "letters"),
    [((1, 1, "l"), "1×2×l"), (("n", 1, "a", "b"), "n×2×h×w"), ((1, 1, "x", "x", "x"), "1×2×d×h×w")],
    ids=["1D", "2D with a batch", "one name for three axes"],
)
def test_letters_by_the_number_of_axes(
    two_levels: Make, size: tuple[int | str, ...], letters: str
) -> None:
    assert shapes(two_levels(size))["y"] == letters


def test_a_given_size_makes_numbers_of_all(two_levels: Make) -> None:
    found = shapes(two_levels(("batch", 1, "d", "h", "w")), (6, 4, 10))
    assert found["p"] == "1×4×3×2×5"
    assert found["y"] == "1×2×6×4×10"


def test_a_size_that_the_file_fixes_is_kept(two_levels: Make) -> None:
    model = two_levels((1, 1, 8, "h", 4))
    assert shapes(model)["p"] == "1×4×4×⌊h/2⌋×2"
    with pytest.raises(ShapeError) as caught:
        infer_sizes(model, "m.onnx", (6, 6, 4))
    assert str(caught.value).startswith(
        "m.onnx: input 'x' is 1×1×8×h×4, fixed at 8 on axis 2; asked for 6."
    )


def test_sizes_that_disagree_are_named_and_the_rest_is_said(two_levels: Make) -> None:
    network = infer_sizes(two_levels(), "m", (6, 5, 4))
    (failure,) = network.failures
    assert str(failure) == "Concat 'join': axis 3 of 'skip' and of 'up': 5 and 4"
    assert network.tensors["up"].shape == (1, 4, 6, 4, 4)
    assert network.tensors["j"].shape is None
    assert network.tensors["y"].shape is None


def test_an_axis_below_1_is_named(two_levels: Make) -> None:
    network = infer_sizes(two_levels(), "m", (6, 1, 4))
    assert str(network.failures[0]) == (
        "MaxPool 'halve': axis 3 of its output: 0, at least 1 is needed"
    )


def test_an_operator_without_a_rule_leaves_only_what_follows_unknown(make_model: Make) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="known"),
        helper.make_node("Mystery", ["a"], ["b"], name="odd", domain="com.example"),
        helper.make_node("Relu", ["b"], ["c"], name="behind"),
        helper.make_node("Neg", ["a"], ["d"], name="beside"),
    ]
    network = infer_sizes(make_model(nodes, (1, 2, "l"), outputs=["c", "d"]), "m")
    assert [node.name for node in network.unsupported] == ["odd"]
    assert network.failures == ()
    assert network.tensors["c"].shape is None
    assert shape_text(network.tensors["d"].shape or ()) == "1×2×l"


def test_what_the_file_says_of_an_unknown_operator_is_used(make_model: Make) -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["b"], domain="com.example"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    model = make_model(nodes, (1, 2, 8))
    value = next(iter(model.graph)).outputs[0]
    value.shape, value.dtype = ir.Shape([1, 3, 4]), ir.DataType.FLOAT
    assert infer_sizes(model, "m").tensors["y"].shape == (1, 3, 4)


def test_shape_arithmetic_is_followed_and_is_no_data(make_model: Make) -> None:
    """The padding to a multiple of 4 as an exporter writes it out."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=2, end=3),
        helper.make_node("Add", ["s", "three"], ["t"]),
        helper.make_node("Div", ["t", "four"], ["q"]),
        helper.make_node("Mul", ["q", "four"], ["m"]),
        helper.make_node("Sub", ["m", "s"], ["more"]),
        helper.make_node("Concat", ["zeros", "more"], ["pads"], axis=0),
        helper.make_node("Pad", ["x", "pads"], ["y"], name="pad"),
    ]
    weights = {"three": np.array([3]), "four": np.array([4]), "zeros": np.zeros(5, np.int64)}
    model = make_model(nodes, (1, 1, "l"), weights)
    network = infer_sizes(model, "m")
    assert shape_text(network.outputs[0].shape or ()) == "1×1×⌊(l + 3)/4⌋·4"
    assert [node.name for node in network.data_nodes] == ["pad"]
    assert infer_sizes(model, "m", (9,)).outputs[0].shape == (1, 1, 12)


def test_paddings_that_an_exporter_turns_around(make_model: Make) -> None:
    """F.pad's list, last axis first, as PyTorch's older exporter makes ONNX's of it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=2),
        helper.make_node("Gather", ["s", "last"], ["w"]),
        helper.make_node("Concat", ["w", "three"], ["given"], axis=0),
        helper.make_node("Concat", ["given", "zeros"], ["all"], axis=0),
        helper.make_node("Reshape", ["all", "pairs"], ["table"]),
        helper.make_node("Slice", ["table", "minus", "first", "zero", "minus"], ["turned"]),
        helper.make_node("Transpose", ["turned"], ["sides"], perm=[1, 0]),
        helper.make_node("Reshape", ["sides", "flat"], ["pads"]),
        helper.make_node("Pad", ["x", "pads"], ["y"]),
    ]
    weights = {
        "last": np.array([1]), "three": np.array([3]), "zeros": np.zeros(6, np.int64),
        "pairs": np.array([-1, 2]), "minus": np.array([-1]), "zero": np.array([0]),
        "first": np.array([-(2**63) + 1]), "flat": np.array([-1]),
    }  # fmt: skip
    model = make_model(nodes, (1, 1, "h", "w"), weights)
    assert shapes(model)["y"] == "1×1×h×(w·2 + 3)"
    assert shapes(model, (5, 7))["y"] == "1×1×5×17"


def test_two_inputs_share_an_axis_of_one_name(make_model: Make) -> None:
    add = [helper.make_node("Add", ["a", "b"], ["y"], name="add")]
    same = make_model(add, (), inputs={"a": ("n", 1, "t"), "b": ("n", 1, "t")})
    assert list(infer_sizes(same, "m").requirements) == []
    other = make_model(add, (), inputs={"a": (1, 1, "t"), "b": (1, 1, "u")})
    ((node, rule),) = infer_sizes(other, "m").requirements
    assert (node.name, str(rule)) == ("add", "axis 2 of 'a' and of 'b': l and l2")


def test_an_input_without_a_shape_is_refused(make_model: Make) -> None:
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], (1, 1, 8))
    model.graph.inputs[0].shape = None
    with pytest.raises(ShapeError, match="input 'x' has no shape, not even a number of axes"):
        infer_sizes(model, "m.onnx")


@pytest.mark.parametrize("kind", ["eval", "train"])
def test_the_notes_network_has_the_sizes_of_its_picture(reference_folder: Path, kind: str) -> None:
    model = read_onnx(reference_folder / f"notes_unet3d_small_{kind}.onnx")
    network = infer_sizes(model, "notes", (32, 48, 64))
    assert (network.failures, network.unsupported) == ((), ())
    deepest = network.tensors["/buttom/maxpool_conv/maxpool_conv.0/MaxPool_output_0"]
    assert deepest.shape is not None
    assert deepest.shape[2:] == (2, 3, 4)
    assert network.outputs[0].shape == (1, 3, 32, 48, 64)
    assert shape_text(infer_sizes(model, "notes").outputs[0].shape or ()) == "1×3×d×h×w"


def test_volunets_own_export_takes_any_size(tiny_onnx: Path) -> None:
    model = read_onnx(tiny_onnx)
    network = infer_sizes(model, "tiny")
    assert shape_text(network.outputs[0].shape or ()) == "1×3×d×h×w"
    for size in ((1, 1, 1), (7, 11, 13), (64, 1, 30)):
        assert infer_sizes(model, "tiny", size).outputs[0].shape == (1, 3, *size)
