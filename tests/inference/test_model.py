"""Opening a model: with a plan of its own, or with the flags that replace it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from volunet.errors import ConfigError
from volunet.inference import ForeignModel, open_model
from volunet.inference.model import plan_of_foreign
from volunet.plan import Normalisation, Plan

FLAGS = {
    "spacing": "3,1.5,1",
    "orientation": "LPS",
    "normalisation": "clip_zscore:-200,300,40,75",
    "classes": "background, hip,femur",
}


@pytest.fixture
def foreign_onnx(tiny_onnx: Path, tmp_path: Path) -> Path:
    """The tiny model as another exporter would leave it: without a plan."""
    proto = onnx.load(tiny_onnx)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "foreign.onnx")
    return tmp_path / "foreign.onnx"


def test_our_own_model_says_itself_what_it_is(
    tiny_onnx: Path, tiny_plan: Callable[..., Plan]
) -> None:
    model = open_model(str(tiny_onnx), "onnxruntime", threads=1)
    assert model.plan == tiny_plan()
    assert model.normalises
    assert model.engine.name == "onnxruntime"
    assert open_model(tiny_onnx, foreign=ForeignModel()).plan == tiny_plan()


def test_a_foreign_model_needs_four_flags(foreign_onnx: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_model(foreign_onnx)
    assert str(caught.value) == (
        f"{foreign_onnx}: no volunet.plan in its metadata: not a model of volunet export.\n"
        "Without it, flags say what the model expects and answers: --spacing native|D,H,W, "
        "--orientation RAS|…|any, --normalisation none|zscore|clip_zscore:LOW,HIGH,MEAN,STD, "
        "--classes background,NAME,….\n"
        "Add --spacing, --orientation, --normalisation, --classes."
    )


@pytest.mark.parametrize("left_out", FLAGS)
def test_the_flag_that_is_missing_is_named(foreign_onnx: Path, left_out: str) -> None:
    given = {name: value for name, value in FLAGS.items() if name != left_out}
    with pytest.raises(ConfigError, match=rf"\nAdd --{left_out}\.$"):
        open_model(foreign_onnx, foreign=ForeignModel(**given))


def test_flags_make_a_plan(foreign_onnx: Path) -> None:
    model = open_model(foreign_onnx, foreign=ForeignModel(**FLAGS))
    plan = model.plan
    assert not model.normalises
    assert (plan.dataset, plan.channels) == ("foreign", ("channel 0",))
    assert (plan.spacing_mm, plan.orientation) == ((3.0, 1.5, 1.0), "LPS")
    rule = Normalisation(kind="clip_zscore", low=-200, high=300, mean=40, std=75)
    assert plan.normalisation == (rule,)
    assert (plan.task.classes, plan.task.label_values) == (
        ("background", "hip", "femur"),
        (0, 1, 2),
    )
    assert (plan.task.answer, plan.network) == ("logits", None)
    assert model.engine.run(np.zeros((1, 1, 2, 3, 4), np.float32)).shape == (1, 3, 2, 3, 4)


def test_native_any_and_none_leave_the_scan_as_it_is() -> None:
    given = ForeignModel("native", "any", "none", "background,all")
    plan = plan_of_foreign(given, 2, Path("m.onnx"))
    assert (plan.spacing_mm, plan.orientation) == (None, "any")
    assert plan.normalisation == (Normalisation(kind="none"),) * 2
    assert plan.channels == ("channel 0", "channel 1")


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("spacing", "1,1", r"--spacing: 1,1\.\n.*three numbers above 0: mm along D,H,W"),
        ("spacing", "1,1,x", r"--spacing: 1,1,x\."),
        ("spacing", "1,0,1", r"--spacing: 1,0,1\."),
        ("spacing", "-1,1,1", r"--spacing: -1,1,1\."),
        ("orientation", "RAR", r"--orientation, --classes: 'RAR'.*\n.*three letters such as RAS"),
        ("orientation", "ras", "--orientation, --classes: 'ras'"),
        ("normalisation", "minmax", r"--normalisation: minmax\.\nIt is none, zscore or clip_zscor"),
        ("normalisation", "zscore:1", r"--normalisation: zscore:1\."),
        ("normalisation", "clip_zscore", r"--normalisation: clip_zscore\."),
        ("normalisation", "clip_zscore:1,2,3", r"--normalisation: clip_zscore:1,2,3\."),
        ("normalisation", "clip_zscore:2,1,0,1", "with LOW < HIGH and STD > 0"),
        ("normalisation", "clip_zscore:1,2,0,0", "with LOW < HIGH and STD > 0"),
    ],
)
def test_a_flag_that_cannot_be_read_is_named(flag: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of_foreign(ForeignModel(**(FLAGS | {flag: value})), 1, Path("m.onnx"))


def test_flags_that_contradict_our_own_model_are_refused(tiny_onnx: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_model(tiny_onnx, foreign=ForeignModel(spacing="native", classes="a,b"))
    assert str(caught.value) == (
        f"{tiny_onnx}: a plan in its metadata, and flags that say otherwise.\n"
        "A model of volunet export says itself what it expects.\n"
        "Leave out --classes, --spacing."
    )


@pytest.mark.parametrize(
    "shape", [[1, 3, "h", "w"], [1, "c", "d", "h", "w"], None], ids=["4D", "any channels", "none"]
)
def test_a_foreign_model_without_fixed_channels_is_refused(
    tmp_path: Path, shape: list[int | str] | None
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    with pytest.raises(
        ConfigError, match=r"an input of shape .*\n.*\(1, C, D, H, W\) with C fixed"
    ):
        open_model(tmp_path / "m.onnx", foreign=ForeignModel(**FLAGS))
