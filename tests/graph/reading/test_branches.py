"""An `If` whose answer follows from the input's shape is its branch; any other stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from volunet.graph import infer_sizes, inspect_model, read_onnx
from volunet.graph.reading.branches import take_known_branches

Make = Callable[..., onnx.ModelProto]
Save = Callable[..., Path]


def node(op: str, reads: str, makes: str, **keys: object) -> onnx.NodeProto:
    return helper.make_node(op, reads.split(), makes.split(), name=f"to_{makes}", **keys)


def branch(
    nodes: Sequence[onnx.NodeProto], output: str = "b", weights: dict[str, float] | None = None
) -> onnx.GraphProto:
    return helper.make_graph(
        list(nodes),
        "branch",
        [],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.float32(value), name)
            for name, value in (weights or {}).items()
        ],
    )


def asked(
    then: onnx.GraphProto, other: onnx.GraphProto, axis: int = 1, makes: str = "y"
) -> list[onnx.NodeProto]:
    """Whether an axis of ``x`` has size 1: the one branch, or the other."""
    return [
        node("Shape", "x", "s", start=axis, end=axis + 1),
        node("Squeeze", "s", "size"),
        node("Equal", "size one", "is_one"),
        helper.make_node("If", ["is_one"], [makes], "ask", then_branch=then, else_branch=other),
    ]


ONE = {"one": np.array(1)}
SQUEEZE = [node("Constant", "", "axes", value_ints=[1]), node("Squeeze", "x axes", "b")]
DOUBLE = [node("Add", "x x", "b")]


def run(model: ir.Model | onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    proto = onnx.ModelProto()
    proto.CopyFrom(ir.to_proto(model) if isinstance(model, ir.Model) else model)
    for output in proto.graph.output:
        output.type.tensor_type.elem_type = TensorProto.FLOAT
    (answer,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    return np.asarray(answer)


@pytest.mark.parametrize(
    ("channels", "ops", "shape"),
    [
        (1, ["Shape", "Squeeze", "Equal", "Constant", "Squeeze"], "n×l"),
        (2, ["Shape", "Squeeze", "Equal", "Add"], "n×2×l"),
    ],
    ids=["then", "else"],
)
def test_the_branch_that_is_always_taken_is_in_the_graph(
    make_proto: Make, saved: Save, channels: int, ops: list[str], shape: str
) -> None:
    proto = make_proto(asked(branch(SQUEEZE), branch(DOUBLE)), ("n", channels, "l"), ONE)
    model = read_onnx(saved(proto))
    assert [n.op_type for n in model.graph] == ops
    network = infer_sizes(model, "model.onnx")
    assert "×".join(map(str, network.outputs[0].shape or ())) == shape
    assert network.outputs[0].name == "y"
    x = np.random.default_rng(0).normal(size=(2, channels, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(model, x), x[:, 0] if channels == 1 else 2 * x)


def test_a_branch_whose_condition_depends_on_the_size_stays(make_proto: Make, saved: Save) -> None:
    proto = make_proto(asked(branch(SQUEEZE), branch(DOUBLE), axis=2), ("n", 1, "l"), ONE)
    model = read_onnx(saved(proto))
    assert [n.op_type for n in model.graph][-1] == "If"
    (text,) = inspect_model(model, "model.onnx").unsupported
    assert "'ask'" in text
    assert "control flow is not supported" in text


def test_branches_within_and_behind_branches_are_taken(make_proto: Make, saved: Save) -> None:
    inner = branch(
        [
            node("Identity", "is_one", "again"),
            helper.make_node(
                "If", ["again"], ["b"], "inner",
                then_branch=branch([node("Neg", "x", "c")], "c"),
                else_branch=branch([node("Abs", "x", "c")], "c"),
            ),
        ]
    )  # fmt: skip
    behind = [
        node("Shape", "y", "t", start=1, end=2),
        node("Squeeze", "t", "again_size"),
        node("Equal", "again_size one", "is_still_one"),
        helper.make_node(
            "If", ["is_still_one"], ["z"], "behind",
            then_branch=branch([node("Add", "y k", "b")], weights={"k": 3.0}),
            else_branch=branch([node("Mul", "y k", "b")], weights={"k": 5.0}),
        ),
    ]  # fmt: skip
    nodes = [*asked(inner, branch(DOUBLE)), *behind]
    proto = make_proto(nodes, ("n", 1, "l"), ONE, outputs=("z",))
    model = read_onnx(saved(proto))
    assert "If" not in [n.op_type for n in model.graph]
    assert {"Neg", "Add"} <= {n.op_type for n in model.graph}
    x = np.random.default_rng(0).normal(size=(2, 1, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(model, x), 3 - x)


def test_names_of_two_branches_that_are_the_same_are_told_apart(
    make_proto: Make, saved: Save
) -> None:
    first = asked(branch([node("Add", "x k", "b")], weights={"k": 1.0}), branch(DOUBLE), makes="f")
    second = helper.make_node(
        "If", ["is_one"], ["y"], "then",
        then_branch=branch([node("Mul", "f k", "b")], weights={"k": 2.0}),
        else_branch=branch(DOUBLE),
    )  # fmt: skip
    proto = make_proto([*first, second], (1, 1, "l"), ONE)
    model = read_onnx(saved(proto))
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    np.testing.assert_array_equal(run(model, x), (x + 1) * 2)


def test_a_branch_may_answer_with_a_weight_of_its_own(make_proto: Make, saved: Save) -> None:
    constant = branch([], "k", {"k": 7.0})
    proto = make_proto(asked(constant, branch(DOUBLE)), (1, 1, "l"), ONE)
    model = read_onnx(saved(proto))
    assert [n.op_type for n in model.graph][-1] == "Identity"
    assert run(model, np.ones((1, 1, 3), np.float32)) == 7


def test_without_the_shape_of_the_input_nothing_is_known(
    make_model: Callable[..., ir.Model],
) -> None:
    model = make_model(asked(branch(SQUEEZE), branch(DOUBLE)), (1, 1, "l"), ONE)
    model.graph.inputs[0].shape = None
    take_known_branches(model, "model.onnx")
    assert [n.op_type for n in model.graph][-1] == "If"
