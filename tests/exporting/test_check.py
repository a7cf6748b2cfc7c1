"""The check says yes to a good file, and no to each way in which a file can be bad."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from volunet.cli.main import main
from volunet.errors import ConfigError, EngineError
from volunet.exporting.check import (
    FIXED_SIZES,
    CheckReport,
    CheckRow,
    check,
    check_sizes,
    compare_engines,
)
from volunet.inference import engines
from volunet.inference.engines.torch_engine import TorchEngine
from volunet.nets.deployed import DeployedNetwork
from volunet.plan import Plan

ENGINES = ("openvino", "onnxruntime")


def save(path: Path, nodes: list[onnx.NodeProto], *arrays: tuple[str, NDArray[Any]]) -> Path:
    """A model from x (1, 1, depth, height, width) to y, without a plan."""
    axes = [1, 1, "depth", "height", "width"]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


@pytest.fixture
def baked(tmp_path: Path) -> Path:
    """A model that a size was baked into: it reshapes to 16×16×16, whatever comes."""
    shape = np.array([1, 1, 16, 16, 16])
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    return save(tmp_path / "baked.onnx", nodes, ("shape", shape))


@pytest.fixture
def doubles(tmp_path: Path) -> Path:
    """A foreign model that works at every size."""
    nodes = [helper.make_node("Mul", ["x", "two"], ["y"])]
    return save(tmp_path / "doubles.onnx", nodes, ("two", np.float32([2])))


def changed(source: Path, target: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """A copy of a model with one weight changed."""
    proto = onnx.load(source)
    (weight,) = (i for i in proto.graph.initializer if i.name == name)
    array = change(numpy_helper.to_array(weight))
    weight.CopyFrom(numpy_helper.from_array(np.asarray(array, np.float32), name))
    onnx.save(proto, target)
    return target


def test_a_good_file_passes_on_every_engine_at_every_size(tiny_onnx: Path) -> None:
    told: list[tuple[int, int]] = []
    report = check(tiny_onnx, sizes=6, progress=lambda done, total: told.append((done, total)))
    assert report.passed
    assert report.faults == ()
    assert (report.model, report.reference, report.tolerance) == (str(tiny_onnx), "torch", 1e-4)
    sizes = list(FIXED_SIZES[:6])
    assert [(r.size, r.engine) for r in report.rows] == [(s, e) for s in sizes for e in ENGINES]
    assert 0 < report.largest_difference < 1e-5
    assert told == [(done, 6) for done in range(1, 7)]


def test_class_indices_are_compared_by_the_share_that_differs(labels_onnx: Path) -> None:
    report = check(labels_onnx, sizes=4)
    assert report.passed
    assert report.largest_difference == 0.0


def test_a_foreign_file_is_checked_against_onnx_runtime(doubles: Path) -> None:
    report = check(doubles, sizes=3)
    assert report.passed
    assert report.reference == "onnxruntime"
    assert [row.engine for row in report.rows] == ["openvino"] * 3


def test_a_baked_in_size_does_not_pass(baked: Path) -> None:
    report = check(baked, sizes=8)
    assert not report.passed
    assert [row.size for row in report.rows if row.passed] == [(16, 16, 16)]
    assert len(report.faults) == 7
    assert all(row.max_abs_difference is None for row in report.faults)
    assert "reshape" in report.faults[0].fault.lower()


def test_the_command_says_no_with_status_1(
    baked: Path, doubles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check", str(baked), "--sizes", "2"])
    assert caught.value.code == 1
    assert "0 of 2 passed" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["check", str(doubles), "--sizes", "2"])
    assert caught.value.code == 0
    assert "2 of 2 passed" in capsys.readouterr().out


def compare(file: Path, reference: Any, plan: Plan | None, **keys: Any) -> CheckReport:
    return compare_engines(
        file,
        reference=reference,
        others=ENGINES,
        sizes=[(4, 8, 8), (1, 3, 5)],
        plan=plan,
        channels=1,
        **keys,
    )


def test_changed_weights_differ_from_the_network(
    tiny_onnx: Path, tiny_network: Any, tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    reference = TorchEngine(DeployedNetwork(tiny_network, tiny_plan()))
    assert compare(tiny_onnx, reference, tiny_plan()).passed
    file = changed(tiny_onnx, tmp_path / "m.onnx", "network.head.bias", lambda b: b + 0.25)
    report = compare(file, reference, tiny_plan())
    assert len(report.faults) == 4
    assert report.largest_difference == pytest.approx(0.25, abs=1e-4)
    assert report.faults[0].fault == "differs by 0.25"
    assert compare(file, reference, tiny_plan(), tolerance=0.26).passed


def test_class_indices_that_differ_do_not_pass(labels_onnx: Path, tmp_path: Path) -> None:
    """All voxels are of class 1 in the one, and of class 2 in the other."""
    files = [
        changed(labels_onnx, tmp_path / f"{index}.onnx", "network.head.bias", bias_for(index))
        for index in (1, 2)
    ]
    plan = engines_plan(labels_onnx)
    report = compare_engines(
        files[0],
        reference=engines.open_engine(files[1], "onnxruntime"),
        others=["openvino"],
        sizes=[(3, 4, 5)],
        plan=plan,
        channels=2,
    )
    assert [row.max_abs_difference for row in report.rows] == [1.0]
    assert not report.passed


def bias_for(index: int) -> Callable[[Any], Any]:
    return lambda bias: np.where(np.arange(bias.size) == index, 1e6, bias)


def engines_plan(file: Path) -> Plan | None:
    from volunet.graph.reading.onnx_file import find_plan, read_onnx

    return find_plan(read_onnx(file), file)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_and_infinity_do_not_pass_and_leave_valid_json(
    tiny_onnx: Path, tmp_path: Path, value: float
) -> None:
    file = changed(tiny_onnx, tmp_path / "m.onnx", "network.head.bias", lambda b: b + value)
    report = check(file, sizes=2)
    assert not report.passed
    assert {row.fault for row in report.rows} == {
        "NaN or infinite values, here or in the reference"
    }
    assert math.isnan(report.largest_difference)
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.loads(text)["rows"][0]["max_abs_difference"] is None


def test_an_answer_of_another_size_does_not_pass(tmp_path: Path) -> None:
    class Smaller:
        name = "smaller"

        def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
            return 2 * x[..., 1:]

    nodes = [helper.make_node("Mul", ["x", "two"], ["y"])]
    file = save(tmp_path / "m.onnx", nodes, ("two", np.float32([2])))
    report = compare(file, Smaller(), None)
    assert report.faults[0].fault == "answers (1, 1, 4, 8, 8), the reference (1, 1, 4, 8, 7)"
    assert len(report.faults) == 4


def test_an_engine_that_does_not_take_the_file_fails_at_every_size(
    tiny_network: Any, tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(b"no model at all")
    report = compare(file, TorchEngine(DeployedNetwork(tiny_network, tiny_plan())), tiny_plan())
    assert [(row.size, row.engine) for row in report.faults] == [
        ((4, 8, 8), "openvino"),
        ((4, 8, 8), "onnxruntime"),
        ((1, 3, 5), "openvino"),
        ((1, 3, 5), "onnxruntime"),
    ]


def test_a_reference_that_fails_is_a_fault_and_progress_goes_on(doubles: Path) -> None:
    class Failing:
        name = "failing"

        def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
            raise EngineError("failing", f"not {x.shape}", "e", "d")

    told: list[int] = []
    report = compare(doubles, Failing(), None, progress=lambda done, _: told.append(done))
    assert [(row.engine, row.fault) for row in report.rows] == [
        ("failing", "not (1, 1, 4, 8, 8)"),
        ("failing", "not (1, 1, 1, 3, 5)"),
    ]
    assert told == [1, 2]


def test_the_report_as_plain_data() -> None:
    rows = (CheckRow((1, 2, 3), "openvino", 1e-6), CheckRow((4, 5, 6), "torch", None, "why"))
    data = json.loads(json.dumps(CheckReport("m.onnx", "onnxruntime", 1e-4, rows).to_json()))
    assert data == {
        "model": "m.onnx",
        "reference": "onnxruntime",
        "tolerance": 1e-4,
        "rows": [
            {"size": [1, 2, 3], "engine": "openvino", "max_abs_difference": 1e-6, "fault": ""},
            {"size": [4, 5, 6], "engine": "torch", "max_abs_difference": None, "fault": "why"},
        ],
        "passed": False,
    }


def test_sizes_are_distinct_unseen_and_have_one_voxel_axes() -> None:
    sizes = check_sizes(100)
    assert len(sizes) == len(set(sizes)) == 100
    assert tuple(sizes[: len(FIXED_SIZES)]) == FIXED_SIZES
    assert {size.index(1) for size in sizes[:4] if 1 in size} == {0, 1, 2}
    assert all(1 <= d <= 96 for size in sizes for d in size)
    assert sizes == check_sizes(100)
    assert sizes != check_sizes(100, seed=1)


def test_sizes_that_the_export_saw_are_left_out() -> None:
    seen = [FIXED_SIZES[0], check_sizes(20)[-1]]
    sizes = check_sizes(20, seen=seen)
    assert len(set(sizes)) == 20
    assert not set(seen) & set(sizes)


@pytest.mark.parametrize("count", [0, -1])
def test_no_size_is_no_check(count: int) -> None:
    with pytest.raises(ConfigError, match=rf"--sizes {count}: no size to check"):
        check_sizes(count)


def test_one_engine_is_nothing_to_compare(doubles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volunet.exporting.check.installed_engines", lambda: ["openvino", "torch"])
    with pytest.raises(ConfigError, match=r"1 engine to check it on \(openvino\)"):
        check(doubles)


def test_a_model_for_pictures_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match=r"an input of shape \[1,3,h,w\]"):
        check(tmp_path / "m.onnx")
