"""A plan is read as it was written, or refused with the reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from volunet.errors import ConfigError
from volunet.nets.presets import build_network
from volunet.plan import (
    PLAN_VERSION,
    Alignment,
    NetworkPlan,
    Normalisation,
    Plan,
    Regularisation,
    Size3,
    read_plan,
)

MakePlan = Callable[..., Plan]

TASK = {
    "kind": "segmentation",
    "classes": ["background", "hip", "femur"],
    "label_values": [0, 5, 300],
    "colours": [[0, 0, 0], [255, 0, 0], [0, 255, 0]],
}


def test_a_plan_survives_its_json(tiny_plan: MakePlan) -> None:
    plan = tiny_plan(
        channels=2,
        kernels=((1, 3, 3),) * 3,
        strides=((1, 2, 2), (2, 2, 2)),
        alignment="crop",
        dropout=(0.0, 0.1, 0.25),
        regularisation=Regularisation(l1=1e-5, l2=0.0, augmentation="strong", patience=3),
        members=5,
    )
    found = read_plan(plan.model_dump_json(), "here")
    assert found == plan
    assert found.network is not None
    assert (found.network.dropout, found.members) == ((0.0, 0.1, 0.25), 5)
    assert found.regularisation.patience == 3


def test_what_a_plan_does_not_say(tiny_plan: MakePlan) -> None:
    """A plan of before there were measures against overfitting is read as what it was."""
    content = tiny_plan().model_dump(mode="json")
    del content["regularisation"], content["members"], content["network"]["dropout"]
    plan = read_plan(json.dumps(content), "here")
    assert plan.members == 1
    assert plan.network is not None
    assert plan.network.dropout == 0.0
    assert plan.regularisation == Regularisation(
        l1=0.0, l2=0.01, augmentation="moderate", patience=0
    )


def test_a_plan_of_version_1_is_a_segmentation(tiny_plan: MakePlan) -> None:
    content = tiny_plan(answer="labels").model_dump(mode="json")
    task = content.pop("task")
    assert task.pop("kind") == "segmentation"
    old = content | task | {"plan_version": 1}
    assert read_plan(json.dumps(old), "here") == tiny_plan(answer="labels")
    del old["answer"]
    assert read_plan(json.dumps(old), "here") == tiny_plan(answer="logits")
    with pytest.raises(
        ConfigError, match=r"not a plan of version 1: task\.classes: Field required"
    ):
        read_plan(json.dumps({name: old[name] for name in old if name != "classes"}), "here")


@given(
    size=st.tuples(*[st.integers(1, 21)] * 3),
    strides=st.lists(st.tuples(*[st.integers(1, 3)] * 3), max_size=3),
    alignment=st.sampled_from(["crop", "pad", "pad_input"]),
)
@settings(max_examples=40, deadline=None)
def test_the_deepest_size_is_the_networks(
    size: Size3, strides: list[Size3], alignment: Alignment
) -> None:
    plan = NetworkPlan(
        in_channels=1,
        out_channels=2,
        features=(1,) * (len(strides) + 1),
        strides=tuple(strides),
        alignment=alignment,
        norm="none",
    )
    network = build_network(plan).eval()
    seen: list[torch.Size] = []
    network.encoders[-1].register_forward_hook(lambda _, __, y: seen.append(y.shape[2:]))
    network(torch.zeros(1, 1, *size))
    assert plan.total_stride == network.total_stride
    assert plan.deepest_size(size) == tuple(seen[0])


@pytest.mark.parametrize("version", [0, PLAN_VERSION + 1])
def test_another_version_is_refused_whatever_else_is_in_it(version: int) -> None:
    text = json.dumps({"plan_version": version, "a key of another time": 1})
    with pytest.raises(ConfigError) as caught:
        read_plan(text, "run/plan.json")
    assert str(caught.value) == (
        f"run/plan.json: a plan of version {version}.\n"
        f"This volunet reads versions 1 to {PLAN_VERSION}.\n"
        "Train again, or use the volunet that wrote it."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 3}, "epochs: Extra inputs are not permitted"),
        ({"orientation": "RAR"}, "orientation: String should match pattern"),
        ({"task": {"kind": "chess"}}, "task: Value error, kind 'chess', of segmentation"),
        ({"task": None}, "task: Input should be an object"),
        (
            {"task": {**TASK, "answer": "scores"}},
            "task.answer: Input should be 'logits', 'probabilities' or 'labels'",
        ),
        ({"task": {**TASK, "spacing": 1}}, "task.spacing: Extra inputs are not permitted"),
        ({"batch_size": 0}, "batch_size: Input should be greater than or equal to 1"),
        ({"channels": []}, "channels: Tuple should have at least 1 item"),
        ({"network": {"in_channels": 1}}, "network.out_channels: Field required"),
        ({"members": 0}, "members: Input should be greater than or equal to 1"),
        ({"regularisation": {"l3": 1}}, "regularisation.l3: Extra inputs are not permitted"),
        (
            {"regularisation": {"augmentation": "wild"}},
            "regularisation.augmentation: Input should be 'none', 'light', 'moderate' or 'strong'",
        ),
        (
            {"normalisation": [{}, {}]},
            "the text: Value error, 1 channels but 2 normalisations",
        ),
        (
            {"task": {**TASK, "label_values": [0, 1]}},
            "task: Value error, 3 classes, 2 label values and 3 colours; all three must be as",
        ),
        (
            {"task": {**TASK, "colours": [[0, 0, 0]]}},
            "task: Value error, 3 classes, 3 label values and 1 colours",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_plan_that_does_not_fit_is_refused_with_the_place(
    tiny_plan: MakePlan, change: dict[str, Any], message: str
) -> None:
    text = json.dumps(tiny_plan().model_dump(mode="json") | change)
    with pytest.raises(ConfigError) as caught:
        read_plan(text, "plan.json")
    assert caught.value.found.startswith(f"not a plan of version {PLAN_VERSION}: {message}")
    assert caught.value.where == "plan.json"


@pytest.mark.parametrize("text", ["", "[]", "{}", "no JSON", '{"plan_version": "one"}'])
def test_a_text_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^plan\.json: not a plan of version 2: "):
        read_plan(text, "plan.json")


def test_a_plan_cannot_be_changed(tiny_plan: MakePlan) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        tiny_plan().dataset = "labels"


def test_clipping_bounds_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match=r"clip_zscore needs low < high, got 3\.0 and 3\.0"):
        Normalisation(kind="clip_zscore", low=3, high=3)
    assert Normalisation(kind="zscore", low=3, high=3).std == 1.0
    with pytest.raises(ValidationError, match="greater than 0"):
        Normalisation(std=0)


@pytest.mark.parametrize("name", ["l1", "l2"])
@pytest.mark.parametrize("value", [-1e-9, math.inf, math.nan])
def test_penalties_are_finite_and_not_negative(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        Regularisation.model_validate({name: value})


def test_patience_is_a_number_of_validations() -> None:
    with pytest.raises(ValidationError, match="patience"):
        Regularisation(patience=-1)
    with pytest.raises(ValidationError, match="patience"):
        Regularisation.model_validate({"patience": 2.5})


@pytest.mark.parametrize("dropout", [1.0, -0.1, math.nan, (0.1, 1.0), (-0.1, 0.0)], ids=str)
def test_dropout_is_a_probability_below_1(dropout: float | tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="dropout"):
        NetworkPlan(in_channels=1, out_channels=2, dropout=dropout)


def test_a_network_plan_says_whether_its_answer_is_probabilities() -> None:
    found = {
        name: NetworkPlan(in_channels=1, out_channels=2, output_activation=name).gives_probabilities
        for name in ("none", "relu", "sigmoid", "softmax")
    }
    assert found == {"none": False, "relu": False, "sigmoid": True, "softmax": True}
