"""What stands in an exported file, and what does not."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import volunet
from volunet.exporting.convert import convert, example_size
from volunet.graph.reading.onnx_file import find_plan, read_onnx
from volunet.nets import UNet3d, network_of
from volunet.plan import Plan


@pytest.fixture(scope="module")
def proto(tiny_onnx: Path) -> onnx.ModelProto:
    return onnx.load(tiny_onnx)


def axes(value: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_each_axis_has_a_name_of_its_own(proto: onnx.ModelProto) -> None:
    (entry,), (answer,) = proto.graph.input, proto.graph.output
    assert (entry.name, axes(entry)) == ("input", [1, 1, "depth", "height", "width"])
    assert (answer.name, axes(answer)) == ("output", [1, 3, "depth", "height", "width"])
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert answer.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_class_indices_are_one_channel_of_int64(labels_onnx: Path) -> None:
    graph = onnx.load(labels_onnx).graph
    assert axes(graph.input[0]) == [1, 2, "depth", "height", "width"]
    assert axes(graph.output[0]) == [1, 1, "depth", "height", "width"]
    assert graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT64


def test_the_file_is_a_valid_model_of_opset_18(proto: onnx.ModelProto) -> None:
    onnx.checker.check_model(proto, full_check=True)
    assert [(o.domain, o.version) for o in proto.opset_import if o.domain == ""] == [("", 18)]
    assert {node.domain for node in proto.graph.node} == {""}
    assert len(proto.functions) == 0


def test_the_plan_is_the_only_metadata_and_comes_back_equal(
    proto: onnx.ModelProto, tiny_onnx: Path, tiny_plan: Callable[..., Plan]
) -> None:
    assert [entry.key for entry in proto.metadata_props] == ["volunet.plan"]
    assert find_plan(read_onnx(tiny_onnx), tiny_onnx) == tiny_plan()


def test_weights_keep_their_names_and_values(proto: onnx.ModelProto, tiny_network: UNet3d) -> None:
    stored = {i.name: numpy_helper.to_array(i) for i in proto.graph.initializer}
    wanted = {
        f"network.{name}": tensor.numpy()
        for name, tensor in tiny_network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert len(wanted) == 66
    assert wanted.keys() - stored.keys() == set()
    assert all(np.array_equal(stored[name], array) for name, array in wanted.items())


def test_an_ensemble_has_each_members_weights_and_one_normalisation(
    tiny_plan: Callable[..., Plan],
) -> None:
    plan = tiny_plan(features=(2, 4), members=3)
    ensemble = network_of(plan).eval()
    proto = onnx.load_model_from_string(convert(ensemble, plan))
    onnx.checker.check_model(proto, full_check=True)
    stored = {i.name: numpy_helper.to_array(i) for i in proto.graph.initializer}
    wanted = {
        f"network.{name}": tensor.numpy()
        for name, tensor in ensemble.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    # 3 blocks of 2 convolutions and 2 norms, an upsampling and the head: 12 + 24 + 2 + 2 each.
    assert len(wanted) == 3 * 40
    assert "network.members.2.encoders.0.conv1.weight" in wanted
    assert wanted.keys() - stored.keys() == set()
    assert all(np.array_equal(stored[name], array) for name, array in wanted.items())
    kinds = [node.op_type for node in proto.graph.node]
    assert (kinds.count("Clip"), kinds.count("Conv")) == (1, 3 * 7)
    assert (kinds.count("LogSoftmax"), kinds.count("Max"), kinds.count("Exp")) == (3, 2, 2)
    assert axes(proto.graph.output[0]) == [1, 3, "depth", "height", "width"]


def test_batch_norms_are_not_folded_into_convolutions(proto: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in proto.graph.node]
    assert kinds.count("BatchNormalization") == 10  # 2 a block, 3 encoders and 2 decoders
    assert kinds.count("Conv") == 11
    assert kinds.count("ConvTranspose") == 2


@pytest.mark.parametrize("model", ["tiny_onnx", "labels_onnx"])
def test_nothing_of_this_machine_is_in_the_bytes(
    model: str, request: pytest.FixtureRequest
) -> None:
    data = Path(request.getfixturevalue(model)).read_bytes()
    text = data.decode("latin-1")
    traces = {
        str(Path(volunet.__file__).parent),
        str(Path(np.__file__).parent),
        str(Path.home()) + "/",
        socket.gethostname(),
    }
    assert [trace for trace in traces if trace in text] == []
    # Source lines and stack traces, as the exporter notes them on each node.
    assert re.findall(r"\.py\b|site-packages|stack_trace|File \"|forward\(", text) == []
    user = getpass.getuser()
    assert f"/{user}/" not in text


def test_traces_would_be_found(proto: onnx.ModelProto) -> None:
    """The check itself, on the kind of note that the exporter leaves."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    note = changed.graph.node[0].metadata_props.add()
    note.key, note.value = "pkg.torch.onnx.stack_trace", f'File "{volunet.__file__}", line 1'
    text = changed.SerializeToString().decode("latin-1")
    assert str(Path(volunet.__file__).parent) in text
    assert len(re.findall(r"\.py\b|stack_trace|File \"", text)) == 3


@pytest.mark.parametrize(
    "strides", [[(2, 2, 2)] * 4, [(2, 2, 2)], [(1, 2, 2), (2, 2, 2)], [(3, 1, 1)], [(4, 2, 6)]]
)
def test_the_size_that_is_traced_is_odd_unequal_and_fits_no_stride(
    strides: list[tuple[int, int, int]],
) -> None:
    network = UNet3d(1, 2, (2,) * (len(strides) + 1), strides=strides)
    size = example_size(network)
    assert len(set(size)) == 3
    assert all(d % 2 == 1 for d in size)
    assert all(d % m or m == 1 for d, m in zip(size, network.total_stride, strict=True))
