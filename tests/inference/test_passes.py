"""Whole where that fits, streamed where it does not, and a number where neither does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from volunet import Volume, predict
from volunet.api.predict import Report, open_any
from volunet.errors import ConfigError, VolumeError
from volunet.inference import ForeignModel, Model, passes, streamed
from volunet.inference.passes import Pass, choose_pass, whole_peak
from volunet.inference.streaming.planning import BudgetError, NotStreamedError
from volunet.volumes.axes import affine_of
from volunet.volumes.grid import Grid

BASE = 150_000_000
GRID = Grid((96, 88, 80), affine_of((2.0, 1.5, 1.0)), 1)
FILES = (Path("case_07.nii.gz"),)


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process takes does not depend on the tests before; the machine has 4 GB free."""
    for module in (passes, streamed):
        monkeypatch.setattr(module, "resident_bytes", lambda: BASE)
    monkeypatch.setattr(passes, "available_bytes", lambda: 4_000_000_000)


@pytest.fixture(scope="module")
def model(tiny_onnx: Path) -> Model:
    return open_any(tiny_onnx, "openvino", threads=1)


@pytest.fixture
def choose(model: Model, tmp_path: Path) -> Callable[..., Pass]:
    def chosen(memory: int | None = None, grid: Grid = GRID, **options: Any) -> Pass:
        return choose_pass(model, FILES, grid, tmp_path, memory=memory, **options)

    return chosen


def test_whole_where_it_fits_and_streamed_just_below(
    model: Model, choose: Callable[..., Pass]
) -> None:
    peak = whole_peak(model, GRID, GRID)
    assert peak is not None
    at, below = choose(peak), choose(peak - 1)
    assert (at.streamed, at.peak_bytes, at.budget, at.size) == (None, peak, peak, GRID.shape)
    assert below.streamed is not None
    assert below.peak_bytes == below.streamed.plan.peak_bytes <= peak - 1 == below.budget
    assert below.streamed.plan.axis == 0  # the longest
    assert (below.streamed.files, below.streamed.grid) == (FILES, GRID)


def test_without_a_budget_what_is_free_is_one(
    model: Model, choose: Callable[..., Pass], monkeypatch: pytest.MonkeyPatch
) -> None:
    peak = whole_peak(model, GRID, GRID) or 0
    assert choose().streamed is None
    assert choose().budget is None
    free = (peak - BASE) / 0.9
    for share, is_whole in ((1.01, True), (0.99, False)):
        monkeypatch.setattr(passes, "available_bytes", lambda share=share: int(share * free))
        chosen = choose()
        assert (chosen.streamed is None, chosen.budget) == (is_whole, None)
    monkeypatch.setattr(passes, "available_bytes", lambda: None)  # where no system says it
    assert choose().streamed is None


def test_the_smallest_budget_is_named_and_accepted(
    choose: Callable[..., Pass], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BudgetError) as caught:
        choose(BASE)
    message = str(caught.value)
    assert message.startswith("tiny: a budget of 150 MB.\nThe smallest that this network and scan")
    smallest = caught.value.smallest.peak_bytes
    found = re.search(r"in is ([\d,]+) MB: .*\nGive --memory (\d+)MB or more\.$", message)
    assert found is not None
    least, named = (int(number.replace(",", "")) * 10**6 for number in found.groups())
    assert smallest <= least < smallest + 10**6
    assert least <= named < 1.1 * smallest
    # The same command in a new process does not begin with the same bytes to the last page.
    monkeypatch.setattr(streamed, "resident_bytes", lambda: BASE + 2_000_000)
    assert smallest < (choose(named).peak_bytes or 0) <= named


def test_whole_ignores_the_budget(choose: Callable[..., Pass]) -> None:
    chosen = choose(1, mode="whole")
    assert (chosen.streamed, chosen.budget) == (None, None)
    assert (chosen.peak_bytes or 0) > BASE


def test_streamed_without_a_budget_is_the_quickest(choose: Callable[..., Pass]) -> None:
    chosen = choose(mode="streamed")
    assert chosen.streamed is not None
    plan = chosen.streamed.plan
    assert (plan.recomputed, plan.spilled, plan.work, plan.chunk) == ((), (), 1.0, 8)
    assert chosen.budget is None


def test_an_unknown_mode(model: Model) -> None:
    message = r"^--mode fast: not allowed\.\nIt is 'auto', 'whole' or 'streamed'\. auto: whole"
    with pytest.raises(ConfigError, match=message):
        predict(model, Volume(np.zeros((4, 4, 4)), np.eye(4)), mode="fast")  # type: ignore[call-overload]


def test_channels_that_the_model_does_not_have(choose: Callable[..., Pass]) -> None:
    with pytest.raises(VolumeError, match=r"case_07\.nii\.gz: 2 channels\.\nThe model takes 1: CT"):
        choose(mode="streamed", grid=replace(GRID, num_channels=2))


def test_what_a_pass_says_of_itself(choose: Callable[..., Pass], model: Model) -> None:
    whole = choose(mode="whole")
    assert re.fullmatch(r"96×88×80 in one whole pass; predicted peak \d+\.\d\d GB", str(whole))
    peak = whole_peak(model, GRID, GRID) or 0
    assert str(choose(peak)).endswith(f"peak {peak / 1e9:.2f} GB of {peak / 1e9:.2f} GB")
    assert str(replace(whole, peak_bytes=None)).endswith("; predicted peak not known")
    quick = choose(3_000_000_000, mode="streamed")
    assert re.fullmatch(
        r"96×88×80 streamed along D, 8 slices at a time; predicted peak 0\.\d\d GB of 3\.00 GB",
        str(quick),
    )
    assert quick.streamed is not None
    plan = quick.streamed.plan
    footprint = replace(plan.footprint, disk_bytes=1_230_000_000)
    changed = replace(
        plan, axis=2, chunk=2, recomputed=("a", "b"), spilled=("c",), footprint=footprint,
        plain_flops=plan.plain_flops // 2,
    )  # fmt: skip
    text = str(replace(quick, streamed=replace(quick.streamed, plan=changed), budget=None))
    assert text.startswith(
        "96×88×80 streamed along W, 2 slices at a time; computed twice: a, b (work ×2.00); "
        "on disk: c (1.23 GB); predicted peak 0."
    )


def test_the_size_is_the_one_on_the_models_grid(choose: Callable[..., Pass]) -> None:
    chosen = choose(grid=Grid((20, 30, 40), affine_of((4.0, 1.5, 0.5)), 1))
    assert chosen.size == (40, 30, 20)


def attention(path: Path) -> Path:
    """Every voxel's answer depends on every other voxel, at full resolution."""
    numbers = np.random.default_rng(0).normal(0, 0.01, (3, 1, 1, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"]),
            helper.make_node("Flatten", ["a"], ["flat"], axis=2),
            helper.make_node("Transpose", ["flat"], ["turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["turned", "flat"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
            helper.make_node("MatMul", ["flat", "weights"], ["mixed"]),
            helper.make_node("Shape", ["a"], ["shape"]),
            helper.make_node("Reshape", ["mixed", "shape"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "d", "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "d", "h", "w"])],
        [numpy_helper.from_array(numbers, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def attending(tmp_path: Path) -> Model:
    flags = ForeignModel("native", "any", "none", "background,a,b")
    file = attention(tmp_path / "attention.onnx")
    return open_any(file, "onnxruntime", foreign=flags, threads=1)


def test_a_network_that_cannot_be_streamed(attending: Model, tmp_path: Path) -> None:
    grid = Grid((6, 5, 4), np.eye(4), 1)
    message = r"^attention: no axis along which its slices could be computed one after another\."
    for memory in (None, 10**12):
        with pytest.raises(NotStreamedError, match=message):
            choose_pass(attending, FILES, grid, tmp_path, memory=memory, mode="streamed")
    with pytest.raises(NotStreamedError, match=message):
        choose_pass(attending, FILES, grid, tmp_path, memory=1)
    for memory in (None, 10**12):
        chosen = choose_pass(attending, FILES, grid, tmp_path, memory=memory)
        assert chosen.streamed is None


def test_it_is_run_whole_where_nobody_set_a_budget(
    attending: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "available_bytes", lambda: 0)
    told: list[Pass] = []
    volume = Volume(np.random.default_rng(0).normal(0, 99, (6, 5, 4)), np.eye(4))
    report = Report(planned=lambda name, chosen: told.append(chosen))
    answer = predict(attending, volume, report=report)
    assert [chosen.streamed for chosen in told] == [None]
    assert np.array_equal(answer.array, predict(attending, volume, mode="whole").array)
    with pytest.raises(NotStreamedError):
        predict(attending, volume, memory=1)


def test_a_model_without_its_graph_cannot_be_streamed(model: Model, tmp_path: Path) -> None:
    bare = replace(model, source=None)
    assert choose_pass(bare, FILES, GRID, tmp_path).peak_bytes is None
    with pytest.raises(ConfigError, match=r"^tiny: a model without its graph\."):
        choose_pass(bare, FILES, GRID, tmp_path, mode="streamed")


def test_onnx_runtime_is_taken_for_half_as_much_again(tiny_onnx: Path, model: Model) -> None:
    other = open_any(tiny_onnx, "onnxruntime", threads=1)
    large = Grid((240, 240, 240), GRID.affine, 1)
    own, more = (whole_peak(m, large, large) or 0 for m in (model, other))
    scan_and_answer = BASE + (8 + 8 + 4 * 4 + 8) * 240**3
    assert more - scan_and_answer == int(1.5 * (own - scan_and_answer))
