"""The report on a network: rows, totals, the chosen size, and what is said of what fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from volunet.errors import ShapeError
from volunet.graph.inspecting.inspection import Inspection, inspect_model
from volunet.graph.reading.onnx_file import find_plan, read_onnx
from volunet.plan import Fingerprint, Plan

Make = Callable[..., ir.Model]


def row(report: Inspection, name: str):
    return next(layer for layer in report.layers if layer.name == name)


def test_the_rows_of_a_small_network(two_levels: Make) -> None:
    report = inspect_model(two_levels(), "m", size=(8, 6, 4))
    assert [layer.operator for layer in report.layers] == [
        "Conv", "Relu", "MaxPool", "ConvTranspose", "Concat", "Conv",
    ]  # fmt: skip
    enter = row(report, "enter")
    assert enter.size == (1, 4, 8, 6, 4)
    assert enter.formula == "1×4×d×h×w"
    assert enter.kernel == "3×3×3"
    assert enter.receptive_field == (3, 3, 3)
    assert enter.receptive_field_mm is None
    assert enter.parameters == 4 * 27 + 4
    assert enter.flops == 2 * 27 * 4 * 192
    assert enter.other_flops == 4 * 192
    assert enter.activation_bytes == 4 * 4 * 192
    assert row(report, "join").role == "skip"
    assert row(report, "leave").receptive_field == (4, 4, 4)
    assert (report.failure, report.unsupported, report.complete) == ("", (), True)


def test_the_totals_are_the_rows_sums(two_levels: Make) -> None:
    report = inspect_model(two_levels(), "m", size=(8, 8, 8))
    assert report.parameters == 4 * 27 + 4 + 4 * 4 * 8 + 8 * 2
    # Two taps a multiply-add: the last convolution is 8 → 2 channels of one tap, the transposed
    # one 4 → 4 of 8 taps at a quarter of the voxels of each … an eighth.
    voxels = 512
    assert report.flops == 2 * voxels * (27 * 4 + 8 * 2) + 2 * (voxels // 8) * 4 * 4 * 8
    assert report.flops == sum(layer.flops for layer in report.layers)
    assert report.weight_bytes == 4 * report.parameters
    assert report.input_size == (1, 1, 8, 8, 8)
    assert report.output_size == (1, 2, 8, 8, 8)
    assert (report.input_formula, report.output_formula) == ("1×1×d×h×w", "1×2×d×h×w")
    assert report.sizes == "each axis a multiple of 2"
    assert set(report.peak_bytes) == {"openvino"}


def test_a_weight_that_two_layers_share_is_counted_once(make_model: Make) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first"),
        helper.make_node("Conv", ["a", "w"], ["y"], name="second"),
    ]
    weights = {"w": np.ones((2, 2, 1), np.float32)}
    report = inspect_model(make_model(nodes, (1, 2, "l"), weights), "m")
    assert [layer.parameters for layer in report.layers] == [4, 0]
    assert report.parameters == 4


def test_the_plan_says_the_spacing_and_the_usual_size(
    tiny_onnx: Path, tiny_plan: Callable[..., Plan]
) -> None:
    fingerprint = Fingerprint(
        num_cases=3,
        median_spacing_mm=(2.0, 1.5, 1.0),
        median_size=(20, 30, 41),
        largest_size=(50, 50, 50),
        intensity_percentiles=((0.0, 1.0, 2.0),),
        intensity_mean=(1.0,),
        intensity_std=(1.0,),
        class_fractions=(0.5, 0.3, 0.2),
    )
    plan = tiny_plan(fingerprint=fingerprint)
    report = inspect_model(read_onnx(tiny_onnx), "tiny", plan)
    assert report.chosen_size
    assert report.input_size == (1, 1, 20, 30, 41)
    first = next(layer for layer in report.layers if layer.operator == "Conv")
    assert first.receptive_field == (3, 3, 3)
    assert first.receptive_field_mm == (6.0, 4.5, 3.0)
    assert set(report.peak_bytes) == {"openvino", "torch"}


@pytest.mark.parametrize(
    ("size", "chosen"),
    [((1, 1, "d", "h", "w"), (64, 64, 64)), ((1, 1, "h", "w"), (224, 224)), ((1, 1, "l"), (1024,))],
    ids=["3D", "2D", "1D"],
)
def test_a_usual_size_where_nobody_names_one(
    two_levels: Make, size: tuple[int | str, ...], chosen: tuple[int, ...]
) -> None:
    report = inspect_model(two_levels(size), "m")
    assert report.chosen_size
    assert report.input_size == (1, 1, *chosen)


def test_a_chosen_size_is_one_that_works(make_model: Make) -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[5], strides=[5]),
        helper.make_node("Upsample", ["p", "s"], ["u"]),
        helper.make_node("Concat", ["x", "u"], ["y"], axis=1),
    ]
    weights = {"s": np.array([1, 1, 5], np.float32)}
    report = inspect_model(make_model(nodes, (1, 1, "l"), weights, opset=9), "m")
    assert (report.sizes, report.input_size) == ("l: a multiple of 5", (1, 1, 1025))


def test_a_chosen_size_may_have_to_be_smaller_than_usual(make_model: Make) -> None:
    """A classifier whose axes are tied together takes 32 to 35, and no 224."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"]),
    ]
    weights = {"w": np.zeros((64, 10), np.float32)}
    report = inspect_model(make_model(nodes, (1, 1, "h", "w"), weights), "m")
    assert (report.input_size, report.failure) == ((1, 1, 32, 32), "")


def test_one_number_stands_for_all_axes(two_levels: Make) -> None:
    assert inspect_model(two_levels(), "m", size=(8,)).input_size == (1, 1, 8, 8, 8)
    with pytest.raises(ShapeError) as caught:
        inspect_model(two_levels(), "m.onnx", size=(8, 8))
    assert str(caught.value).startswith(
        "m.onnx: a size of 2 axes, 8×8, for an input of 1×1×d×h×w.\nOne number, or one for each"
    )


def test_a_size_that_breaks_says_where_why_and_what_to_do(reference_folder: Path) -> None:
    model = read_onnx(reference_folder / "notes_unet3d_small_eval.onnx")
    report = inspect_model(model, "notes", size=(100, 96, 96))
    assert not report.complete
    assert report.failure.startswith("Concat '/decoder_3/Concat': axis 2 of ")
    assert report.failure.endswith(": 25 and 24 (⌊d/4⌋ and ⌊d/8⌋·2)")
    assert report.mend.startswith(
        "Sizes that work: each axis a multiple of 16. Pad the input to 112×96×96 and crop"
    )
    before, behind = row(report, "/decoder_4/Concat"), row(report, "/decoder_3/Concat")
    assert before.size == (1, 64, 12, 12, 12)
    assert (behind.size, behind.activation_bytes, behind.flops) == (None, None, 0)
    assert report.output_size is None
    assert report.peak_bytes == {}


def test_an_axis_below_1_says_which_node_and_size(reference_folder: Path) -> None:
    model = read_onnx(reference_folder / "notes_unet3d_small_eval.onnx")
    report = inspect_model(model, "notes", size=(32, 8, 32))
    assert report.failure == (
        "MaxPool '/buttom/maxpool_conv/maxpool_conv.0/MaxPool': axis 3 of its output: 0, at least "
        "1 is needed (⌊h/16⌋)"
    )


def test_unknown_operators_are_all_listed(make_model: Make) -> None:
    then = helper.make_graph([helper.make_node("Relu", ["x"], ["o"])], "t", [], [
        helper.make_tensor_value_info("o", 1, None)
    ])  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="known"),
        helper.make_node("If", ["c"], ["b"], name="branch", then_branch=then, else_branch=then),
        helper.make_node("Mystery", ["a"], ["m"], name="odd", domain="com.example"),
        helper.make_node("Add", ["m", "b"], ["y"], name="behind"),
    ]
    weights = {"c": np.array(True), "w": np.ones((2, 1, 3), np.float32)}
    report = inspect_model(make_model(nodes, (1, 1, "l"), weights), "m", size=(9,))
    assert report.unsupported == (
        "If 'branch' (control flow is not supported)",
        "com.example.Mystery 'odd' (no rule)",
    )
    assert not report.complete
    assert report.sizes == "l: any size from 3 up as far as is known"
    assert row(report, "known").size == (1, 2, 7)
    assert row(report, "behind").size is None


def test_a_file_that_contradicts_itself(make_model: Make) -> None:
    weights = {"w": np.zeros((4, 3, 1), np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    report = inspect_model(make_model(nodes, (1, 2, "l"), weights), "m")
    assert "channels of the input and those of the weights: 2 and 3" in report.failure
    assert report.mend.startswith("No size passes this node: the file contradicts itself.")


def test_json_is_plain_data_and_complete(two_levels: Make) -> None:
    report = inspect_model(two_levels(), "m", size=(8, 8, 8))
    content = json.loads(json.dumps(report.to_json()))
    assert content["complete"] is True
    assert content["layers"][0]["receptive_field"] == [3, 3, 3]
    assert content["output_size"] == [1, 2, 8, 8, 8]
    assert len(content["layers"]) == 6


def test_the_notes_network_has_the_parameters_of_its_state(reference_folder: Path) -> None:
    shapes = json.loads(
        (reference_folder / "notes_unet3d_state_dict_shapes.json").read_text(encoding="utf-8")
    )
    model = read_onnx(reference_folder / "notes_unet3d_small_train.onnx")
    report = inspect_model(model, "notes", find_plan(model, "notes"), (32, 32, 32))
    norms = [layer for layer in report.layers if layer.operator == "BatchNormalization"]
    assert len(norms) == sum(name.endswith("running_mean") for name in shapes)
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    state = torch.load(
        reference_folder / "notes_unet3d_small.pt", map_location="cpu", weights_only=True
    )
    learned = [n for n in state if n.split(".")[-1] in ("weight", "bias")]
    assert report.parameters == sum(state[name].numel() for name in learned)


def test_open_batch_and_channels_take_what_passes(make_model: Make) -> None:
    """Neither is part of a size: the batch is 1, the channels are those of the weights."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("MaxPool", ["c"], ["p"], kernel_shape=[5], strides=[5]),
        helper.make_node("ConvTranspose", ["p", "u"], ["q"], strides=[5]),
        helper.make_node("Add", ["c", "q"], ["y"]),
    ]
    weights = {"w": np.ones((2, 3, 3), np.float32), "u": np.ones((2, 2, 5), np.float32)}
    report = inspect_model(make_model(nodes, ("n", "channels", "l"), weights), "m")
    assert (report.input_size, report.failure) == ((1, 3, 1025), "")
    assert report.sizes == "l: a multiple of 5; c: only 3"
    broken = inspect_model(make_model(nodes, ("n", "channels", "l"), weights), "m", size=(7,))
    assert broken.mend.startswith("Sizes that work: l: a multiple of 5; c: only 3. Pad the input")
    assert "to 10 and crop" in broken.mend


def test_other_inputs_keep_their_own_sizes(make_model: Make) -> None:
    nodes = [
        helper.make_node("Gemm", ["v", "w"], ["g"]),
        helper.make_node("Reshape", ["g", "s"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    weights = {"w": np.ones((10, 4), np.float32), "s": np.array([0, 4, 1, 1])}
    inputs = {"x": ("n", 4, "h", "w"), "v": ("n", 10)}
    report = inspect_model(make_model(nodes, (), weights, inputs=inputs), "m")
    assert (report.failure, report.output_size) == ("", (1, 4, 224, 224))
    assert report.layers[-1].receptive_field == (1, 1)


def test_channels_last_are_named_with_all_axes(make_model: Make) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["y"]),
    ]
    weights = {"w": np.ones((2, 3, 3, 3), np.float32)}
    model = make_model(nodes, ("n", "h", "w", 3), weights)
    assert inspect_model(model, "m", size=(1, 20, 30, 3)).output_size == (1, 2, 18, 28)


def test_two_nodes_of_one_name_have_their_own_formulas(make_model: Make) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Conv", ["a", "w"], ["y"], name="conv"),
    ]
    weights = {"w": np.ones((1, 1, 3), np.float32)}
    report = inspect_model(make_model(nodes, (1, 1, "l"), weights), "m")
    assert [layer.formula for layer in report.layers] == ["1×1×(l − 2)", "1×1×(l − 4)"]


def test_what_follows_an_unknown_operator_has_no_field(make_model: Make) -> None:
    nodes = [
        helper.make_node("CumSum", ["x", "axis"], ["s"], name="sum"),
        helper.make_node("Add", ["x", "s"], ["y"], name="add"),
    ]
    model = make_model(nodes, (1, 1, 8), {"axis": np.array(2)})
    value = next(iter(model.graph)).outputs[0]
    value.shape, value.dtype = ir.Shape([1, 1, 8]), ir.DataType.FLOAT
    report = inspect_model(model, "m")
    assert row(report, "add").size == (1, 1, 8)
    assert row(report, "add").receptive_field is None


def test_weights_within_nodes_are_counted(make_model: Make) -> None:
    content = helper.make_tensor("v", 1, [4, 2, 27], np.ones(216, np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=content),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    report = inspect_model(make_model(nodes, (1, 2, "l")), "m")
    assert (report.parameters, report.weight_bytes) == (216, 864)
