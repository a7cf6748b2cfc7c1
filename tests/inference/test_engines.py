"""Every engine gives one answer, and says plainly what it does not take."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from volunet.errors import EngineError
from volunet.graph.reading.onnx_file import find_plan, read_onnx
from volunet.inference.engines import (
    ENGINES,
    choose_engine,
    installed_engines,
    open_engine,
    torch_engine,
)
from volunet.inference.engines.torch_engine import TorchEngine, TorchGraphEngine
from volunet.inference.engines.torch_graph import TorchGraph
from volunet.plan import METADATA_KEY, Plan

find_spec = importlib.util.find_spec


def without(*names: str) -> Callable[[str], Any]:
    return lambda name: None if name in names else find_spec(name)


def raw(*size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-400, 600, (1, 1, *size)).astype(np.float32)


def test_three_engines_are_known_the_fastest_first() -> None:
    assert list(ENGINES) == ["openvino", "onnxruntime", "torch"]
    assert installed_engines() == list(ENGINES)
    assert choose_engine() == "openvino"
    assert choose_engine("torch") == "torch"


@pytest.mark.parametrize("form", ["file", "bytes"])
@pytest.mark.parametrize("size", [(1, 1, 1), (7, 5, 9)], ids=str)
def test_every_engine_gives_the_same_answer(
    tiny_onnx: Path, form: str, size: tuple[int, int, int]
) -> None:
    model = tiny_onnx if form == "file" else tiny_onnx.read_bytes()
    opened = {name: open_engine(model, name, threads=1) for name in ENGINES}
    assert {name: engine.name for name, engine in opened.items()} == {n: n for n in ENGINES}
    answers = {name: engine.run(raw(*size)) for name, engine in opened.items()}
    assert {(a.shape, a.dtype.name) for a in answers.values()} == {((1, 3, *size), "float32")}
    for name in ("openvino", "onnxruntime"):
        # 1e-5 of logits of about 1: float32 sums in another order.
        assert np.abs(answers[name] - answers["torch"]).max() <= 1e-5
    assert float(np.ptp(answers["torch"], axis=1).max()) > 0.01


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_takes_one_size_after_another_and_answers_are_its_own(
    tiny_onnx: Path, name: str
) -> None:
    engine = open_engine(tiny_onnx, name, threads=1)
    first = engine.run(raw(4, 5, 6))
    kept = first.copy()
    assert engine.run(raw(6, 5, 4)).shape == (1, 3, 6, 5, 4)
    again = engine.run(raw(4, 5, 6))
    assert np.array_equal(first, kept)
    assert np.array_equal(again, kept)
    engine.run(raw(4, 5, 6) + 100)
    assert np.array_equal(again, kept)


def test_an_unknown_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(EngineError) as caught:
        choose_engine("tensorrt")
    assert str(caught.value) == (
        "--engine tensorrt: no such engine.\n"
        "Engines are auto, openvino, onnxruntime, torch; installed: openvino, onnxruntime, torch.\n"
        'Take another one, or install it (torch: pip install "volunet[train]").'
    )


def test_an_engine_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", without("torch"))
    with pytest.raises(EngineError, match=r"--engine torch: not installed\.\n.*openvino, onnxr"):
        open_engine(b"", "torch")
    monkeypatch.setattr(importlib.util, "find_spec", without("openvino", "torch"))
    assert choose_engine("auto") == "onnxruntime"
    monkeypatch.setattr(importlib.util, "find_spec", without(*ENGINES))
    assert installed_engines() == []
    with pytest.raises(EngineError, match=r"--engine auto: not installed\.\n.*installed: none"):
        choose_engine("auto")


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("data", [b"no model at all", b"\x08\x07\x10\x01" * 5], ids=str)
def test_bytes_that_are_no_model_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        open_engine(data, name)
    assert caught.value.found
    assert "\n" not in caught.value.found


@pytest.mark.parametrize("name", ENGINES)
def test_a_truncated_model_is_refused(tiny_onnx: Path, name: str) -> None:
    data = tiny_onnx.read_bytes()
    with pytest.raises(EngineError):
        open_engine(data[: len(data) // 2], name)


@pytest.mark.parametrize(
    ("name", "title"),
    [("openvino", "OpenVINO"), ("onnxruntime", "ONNX Runtime")],
)
def test_an_input_of_other_channels_is_refused_and_the_engine_goes_on(
    tiny_onnx: Path, name: str, title: str
) -> None:
    engine = open_engine(tiny_onnx, name, threads=1)
    with pytest.raises(EngineError, match=rf"^{title}, input 1×2×4×4×4: "):
        engine.run(np.zeros((1, 2, 4, 4, 4), np.float32))
    assert engine.run(raw(4, 4, 4)).shape == (1, 3, 4, 4, 4)


def test_pytorch_refuses_a_size_as_the_others_do() -> None:
    engine = TorchEngine(torch.nn.Conv3d(1, 2, 3))
    with pytest.raises(EngineError, match=r"^PyTorch, input 1×1×2×4×4: Calculated padded input"):
        engine.run(raw(2, 4, 4))
    assert engine.run(raw(3, 4, 4)).shape == (1, 2, 1, 2, 2)


@pytest.mark.parametrize("form", ["file", "bytes"])
def test_every_engine_takes_a_foreign_model(tiny_onnx: Path, tmp_path: Path, form: str) -> None:
    proto = onnx.load(tiny_onnx)
    del proto.metadata_props[:]
    file = tmp_path / "foreign.onnx"
    onnx.save(proto, file)
    model = file if form == "file" else file.read_bytes()
    engine = open_engine(model, "torch", threads=1)
    assert isinstance(engine, TorchGraphEngine)
    for size in [(2, 2, 2), (7, 5, 9), (2, 2, 2)]:
        want = open_engine(tiny_onnx, "torch", threads=1).run(raw(*size))
        # 1e-5 of logits of about 1: float32 sums in another order.
        for name in ("openvino", "onnxruntime"):
            answer = open_engine(model, name, threads=1).run(raw(*size))
            np.testing.assert_allclose(answer, want, rtol=0, atol=1e-5)
        np.testing.assert_allclose(engine.run(raw(*size)), want, rtol=0, atol=1e-5)


def test_a_foreign_model_keeps_the_last_size_ready(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Counted(TorchGraph):
        def __init__(self, *arguments: Any, **keys: Any) -> None:
            made.append(keys["size"])
            super().__init__(*arguments, **keys)

    monkeypatch.setattr(torch_engine, "TorchGraph", Counted)
    engine = TorchGraphEngine(read_onnx(tiny_onnx), "m")
    for size in [(4, 5, 6), (4, 5, 6), (6, 5, 4), (6, 5, 4)]:
        assert engine.run(raw(*size)).shape == (1, 3, *size)
    assert made == [(1, 1, 4, 5, 6), (1, 1, 6, 5, 4)]


def test_a_foreign_model_refuses_other_channels_and_goes_on(tiny_onnx: Path) -> None:
    engine = TorchGraphEngine(read_onnx(tiny_onnx), "m.onnx")
    with pytest.raises(EngineError, match=r"^PyTorch, input 1×2×4×4×4: input 'input' is .* fixed"):
        engine.run(np.zeros((1, 2, 4, 4, 4), np.float32))
    assert engine.run(raw(4, 4, 4)).shape == (1, 3, 4, 4, 4)


def edited(source: Path, target: Path, edit: Callable[[onnx.ModelProto], None]) -> Path:
    proto = onnx.load(source)
    edit(proto)
    onnx.save(proto, target)
    return target


def test_weights_of_another_network_than_the_plans_are_run_as_the_graph_says(
    tiny_onnx: Path, tmp_path: Path
) -> None:
    def rename(proto: onnx.ModelProto) -> None:
        for weight in proto.graph.initializer:
            weight.name = weight.name.replace("encoders.0", "stem")
        for node in proto.graph.node:
            for index, name in enumerate(node.input):
                node.input[index] = name.replace("encoders.0", "stem")

    def widen(proto: onnx.ModelProto) -> None:
        plan = find_plan(read_onnx(tiny_onnx), tiny_onnx)
        assert plan is not None
        assert plan.network is not None
        network = plan.network.model_copy(update={"features": (4, 8, 32)})
        text = plan.model_copy(update={"network": network}).model_dump_json()
        helper.set_model_props(proto, {METADATA_KEY: text})

    def double(proto: onnx.ModelProto) -> None:
        plan = find_plan(read_onnx(tiny_onnx), tiny_onnx)
        assert plan is not None
        text = plan.model_copy(update={"members": 2}).model_dump_json()
        helper.set_model_props(proto, {METADATA_KEY: text})

    want = open_engine(tiny_onnx, "torch", threads=1).run(raw(5, 6, 7))
    for file, edit in (("renamed.onnx", rename), ("wide.onnx", widen), ("two.onnx", double)):
        engine = open_engine(edited(tiny_onnx, tmp_path / file, edit), "torch", threads=1)
        assert isinstance(engine, TorchGraphEngine)
        np.testing.assert_allclose(engine.run(raw(5, 6, 7)), want, rtol=0, atol=1e-5)


def test_pytorch_takes_its_weights_from_the_file(tiny_onnx: Path, tmp_path: Path) -> None:
    def shift(proto: onnx.ModelProto) -> None:
        (bias,) = (i for i in proto.graph.initializer if i.name == "network.head.bias")
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 2, bias.name))

    shifted = open_engine(edited(tiny_onnx, tmp_path / "m.onnx", shift), "torch").run(raw(3, 4, 5))
    plain = open_engine(tiny_onnx, "torch").run(raw(3, 4, 5))
    np.testing.assert_allclose(shifted - plain, 2.0, atol=1e-5)


def test_deep_supervisions_side_heads_need_not_be_in_the_file(
    tiny_onnx: Path, tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """They serve training only, so that the exporter leaves them out."""

    def supervise(proto: onnx.ModelProto) -> None:
        text = tiny_plan(deep_supervision=True).model_dump_json()
        helper.set_model_props(proto, {METADATA_KEY: text})

    file = edited(tiny_onnx, tmp_path / "m.onnx", supervise)
    want = open_engine(tiny_onnx, "torch").run(raw(3, 4, 5))
    assert np.array_equal(open_engine(file, "torch").run(raw(3, 4, 5)), want)


def test_threads_reach_pytorch(tiny_onnx: Path) -> None:
    open_engine(tiny_onnx, "torch", threads=2)
    assert torch.get_num_threads() == 2


def test_a_model_of_another_opset_kind_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("NoSuchOperator", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "d", "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "d", "h", "w"])],
    )
    file = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), file)
    with pytest.raises(EngineError, match="NoSuchOperator"):
        open_engine(file, "onnxruntime")
    with pytest.raises(EngineError, match="NoSuchOperator"):
        open_engine(file, "openvino").run(raw(2, 2, 2))
    with pytest.raises(EngineError, match=r"operator NoSuchOperator .* is not known"):
        open_engine(file, "torch").run(raw(2, 2, 2))
