"""Any ONNX graph in PyTorch answers as ONNX Runtime, and in float64 as PyTorch's own module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper

from volunet.errors import EngineError
from volunet.graph.reading.onnx_file import parse_onnx
from volunet.inference.engines.torch_graph import TorchGraph
from volunet.nets.deployed import DeployedNetwork
from volunet.plan import Plan

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32)


def intensities(*size: int) -> Any:
    return RANDOM.uniform(-400, 600, size).astype(np.float32)


def fixed(data: bytes, size: Sequence[int]) -> ir.Model:
    """A model whose input has numbers for sizes."""
    model = parse_onnx(data)
    model.graph.inputs[0].shape = ir.Shape(size)
    return model


NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {"features": (4, 8, 16)},
    "trilinear": {"upsampling": "trilinear", "activation": "gelu"},
    # As in streaming/test_execution.py, so that they are exported once.
    "instance": {"norm": "instance", "activation": "leaky_relu", "features": (4, 8)},
    "group": {
        "norm": "group", "activation": "elu", "output_activation": "softmax", "features": (4, 8),
    },
    "residual": {"alignment": "crop", "residual": True, "features": (4, 8)},
    "pad": {"alignment": "pad", "upsampling": "trilinear", "activation": "leaky_relu"},
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_ours_is_its_module(
    name: str,
    tiny_plan: Callable[..., Plan],
    trained: Callable[[Plan], Any],
    converted: Callable[[Plan], bytes],
    runtime: Any,
) -> None:
    plan = tiny_plan(**NETWORKS[name])
    assert plan.network is not None
    network = trained(plan)
    data = converted(plan)
    x = intensities(1, 1, 7, 10, 9)
    model = fixed(data, x.shape)
    (got,) = TorchGraph(model, "m").run([x])
    (want,) = runtime(data, {"input": x})
    # 1e-5 of the largest logit, of which there are some above 1: float32 sums in another order.
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * max(1, np.abs(want).max()))
    exact = x.astype(np.float64)
    (got,) = TorchGraph(model, "m", torch.float64).run([exact])
    with torch.no_grad():
        module = DeployedNetwork(network, plan).eval().double()
        truth = module(torch.from_numpy(exact)).numpy()
        network.float()
    assert got.dtype == np.float64
    assert np.ptp(truth) > 0.01
    # GELU is written out in the file, with the root of 2 as a float32.
    rounded = 1e-6 if plan.network.activation == "gelu" else 1e-12
    np.testing.assert_allclose(got, truth, rtol=0, atol=rounded * max(1, np.abs(truth).max()))


@pytest.mark.parametrize("size", [(1, 1, 1), (4, 6, 5)], ids=str)
def test_exported_files_answer_as_in_onnx_runtime(
    tiny_onnx: Path, labels_onnx: Path, size: tuple[int, int, int], runtime: Any
) -> None:
    x = intensities(1, 1, *size)
    (got,) = TorchGraph(fixed(tiny_onnx.read_bytes(), x.shape), "m").run([x])
    np.testing.assert_allclose(got, runtime(tiny_onnx.read_bytes(), {"input": x})[0], atol=1e-5)
    x = intensities(1, 2, *size)
    (labels,) = TorchGraph(fixed(labels_onnx.read_bytes(), x.shape), "m").run([x])
    (want,) = runtime(labels_onnx.read_bytes(), {"input": x})
    assert labels.dtype == want.dtype
    assert np.array_equal(labels, want)


@pytest.fixture
def branches(proto_of: Any) -> onnx.ModelProto:
    """Two inputs; three outputs: a sum, a part of it, and an intermediate turned around."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Add", ["r", "other"], ["sum"]),
        helper.make_node("Split", ["sum", "parts"], ["first", "last"], axis=1),
        helper.make_node("Transpose", ["r"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("Exp", ["sum"], ["unused"]),
    ]
    weights = {"w": normal(3, 2, 3, 3), "parts": np.array([1, 2])}
    inputs = {"x": (1, 2, 5, 6), "other": (1, 3, 1, 6)}
    return proto_of(nodes, inputs, weights, ["sum", "last", "turned"])


def test_several_inputs_and_outputs(check_parity: Any, branches: Any) -> None:
    inputs = {"x": normal(1, 2, 5, 6), "other": normal(1, 3, 1, 6)}
    graph = check_parity(branches, inputs)
    assert graph.inputs == {"x": (1, 2, 5, 6), "other": (1, 3, 1, 6)}
    assert graph.outputs == {"sum": (1, 3, 5, 6), "last": (1, 2, 5, 6), "turned": (1, 5, 6, 3)}
    assert "Exp" not in [step.node.op_type for step in graph._steps]


def test_answers_do_not_change_with_what_they_were_made_from(proto_of: Any, graph_of: Any) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Identity", ["w"], ["weight"]),
        helper.make_node("Slice", ["x", "zero", "one"], ["part"]),
    ]
    weights = {"w": normal(2), "zero": np.array([0]), "one": np.array([1])}
    graph = graph_of(proto_of(nodes, {"x": (3, 4)}, weights, ["same", "weight", "part"]))
    x = normal(3, 4)
    first = graph.run([x])
    kept = [array.copy() for array in first]
    x += 1
    for array in graph.run([x]):
        array += 1
    for array, copy in zip(first, kept, strict=True):
        assert np.array_equal(array, copy)
        assert array.base is None or array.base.nbytes == array.nbytes
    assert np.array_equal(graph.run([x])[1], kept[1])


def test_in_float64_a_cast_to_float_rounds_nothing(proto_of: Any, graph_of: Any) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["d"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["d"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "tenth"], ["y"]),
    ]
    weights = {"tenth": np.float32(0.1)}
    x = RANDOM.normal(size=(1, 5))
    proto = proto_of(nodes, {"x": (1, 5)}, weights)
    (y,) = graph_of(proto, dtype=torch.float64).run([x])
    assert np.array_equal(y, x * np.float64(np.float32(0.1)))
    (short,) = graph_of(proto).run([x])
    assert short.dtype == np.float32


def test_inputs_may_be_read_only_turned_around_and_of_another_type(
    proto_of: Any, graph_of: Any
) -> None:
    proto = proto_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (3, 4)})
    graph = graph_of(proto)
    x = normal(3, 4).astype(np.float64)[::-1]
    x.flags.writeable = False
    (y,) = graph.run([x])
    assert np.array_equal(y, np.maximum(x, 0).astype(np.float32))


@pytest.mark.parametrize(
    ("nodes", "size", "message"),
    [
        (
            [
                helper.make_node("Relu", ["x"], ["a"]),
                helper.make_node("Nothing", ["a"], ["y"], "n"),
            ],
            (1, 1, 4),
            "m.onnx: operator Nothing (node 'n') is not known.\n"
            "Operators are those of the table of operators (volunet.graph.operators).\n"
            "Use --engine openvino or --engine onnxruntime.",
        ),
        (
            [helper.make_node("LpPool", ["x"], ["y"], "pool", kernel_shape=[2], dilations=[2])],
            (1, 1, 4),
            "m.onnx: LpPool 'pool' of 1×1×4 has no PyTorch that computes the same.\n"
            "Each operator is run by a PyTorch module or call.\n"
            "Use --engine openvino or --engine onnxruntime.",
        ),
        (
            [helper.make_node("MaxPool", ["x"], ["", "y"], "pool", kernel_shape=[2])],
            (1, 1, 4),
            "m.onnx: MaxPool 'pool' of 1×1×4 has another output, 'y', that PyTorch does not",
        ),
        (
            [helper.make_node("BatchNormalization", ["x", "v", "v", "v", "w"], ["y"], "norm")],
            (1, 1, 4),
            "m.onnx: BatchNormalization 'norm' of 1×1×4, 1, 1, 1, 1 has weights that are computed",
        ),
        (
            [helper.make_node("MaxPool", ["x"], ["y"], "pool", kernel_shape=[9])],
            (1, 1, 4),
            "m.onnx: MaxPool 'pool': axis 2 of its output: ",
        ),
        (
            [helper.make_node("Relu", ["x"], ["y"])],
            (1, 1, "w"),
            "m.onnx: tensor 'x' is of 1×1×l.\nThe graph is made for one size; its inputs' sizes",
        ),
    ],
    ids=["unknown", "no PyTorch", "places", "weights", "too small", "open"],
)
def test_what_cannot_be_run_is_named(
    nodes: list[onnx.NodeProto], size: tuple[int, ...], message: str, proto_of: Any, graph_of: Any
) -> None:
    reduced = helper.make_node("ReduceMean", ["x", "axes"], ["w"], keepdims=0)
    weights = {"v": np.ones(1, np.float32), "axes": np.array([0, 2])}
    with pytest.raises(EngineError) as caught:
        graph_of(proto_of([reduced, *nodes], {"x": size}, weights))
    assert str(caught.value).startswith(message)


def test_open_sizes_may_be_given(proto_of: Any, graph_of: Any) -> None:
    proto = proto_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (1, "c", "h", "w")})
    assert graph_of(proto, size=(1, 2, 3, 4)).outputs == {"y": (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ([normal(1, 2, 5, 6)], "inputs 'x' 1×2×5×6."),
        ([], "inputs none."),
        ({"x": normal(1, 2, 5, 6), "y": normal(2)}, "inputs 'x' 1×2×5×6, 'y' 2."),
        ([normal(1, 2, 5, 6)] * 3, "inputs 'x' 1×2×5×6, 'other' 1×2×5×6, 'input 2' 1×2×5×6."),
        ([normal(1, 2, 5, 7), normal(1, 3, 1, 6)], "inputs 'x' 1×2×5×7, 'other' 1×3×1×6."),
    ],
    ids=["too few", "none", "another name", "too many", "another size"],
)
def test_inputs_that_do_not_fit_are_refused(
    inputs: Any, found: str, graph_of: Any, branches: Any
) -> None:
    with pytest.raises(EngineError) as caught:
        graph_of(branches).run(inputs)
    assert str(caught.value) == (
        f"m.onnx, run by PyTorch: {found}\n"
        "The graph was made for 'x' 1×2×5×6, 'other' 1×3×1×6.\n"
        "Make another one for another size."
    )


def test_what_pytorch_refuses_at_run_time_is_named_with_its_node(
    proto_of: Any, graph_of: Any
) -> None:
    node = helper.make_node("Gather", ["x", "i"], ["y"], "pick", axis=1)
    cast = helper.make_node("Cast", ["places"], ["i"], to=TensorProto.INT64)
    graph = graph_of(proto_of([cast, node], {"x": (2, 3), "places": (2,)}))
    x = normal(2, 3)
    assert np.array_equal(graph.run([x, np.array([2, 0])])[0], x[:, [2, 0]])
    with pytest.raises(EngineError, match=r"^m\.onnx, Gather 'pick' of 2×3, 2: PyTorch: .* out of"):
        graph.run([x, np.array([0, 3])])
