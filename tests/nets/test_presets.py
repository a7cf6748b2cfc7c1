"""The notes' network: its weights under our names, and its own answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from volunet.errors import ConfigError
from volunet.nets import build_network, load_notes_weights, network_of, notes_plan
from volunet.nets.presets import from_notes_names
from volunet.plan import NetworkPlan

TOLERANCE = 1e-5
"""Absolute, on answers of about 1: float32 sums in another order."""


def test_every_weight_of_the_notes_has_its_place_and_shape(reference_folder: Path) -> None:
    listed = json.loads((reference_folder / "notes_unet3d_state_dict_shapes.json").read_text())
    assert len(listed) == 136
    empty = {name: torch.empty(shape) for name, shape in listed.items()}
    renamed = {name: tuple(t.shape) for name, t in from_notes_names(empty).items()}
    out_channels = listed["output.conv.weight"][0]
    ours = build_network(notes_plan(1, out_channels)).state_dict()
    assert renamed == {name: tuple(tensor.shape) for name, tensor in ours.items()}
    assert len(renamed) == 136


@pytest.fixture(scope="module")
def answers(reference_folder: Path) -> dict[str, np.ndarray]:
    with np.load(reference_folder / "notes_unet3d_small_io.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("x", "y"), [("x", "y_eval"), ("x2", "y2_eval")])
def test_the_notes_weights_give_the_notes_answers(
    reference_folder: Path, answers: dict[str, np.ndarray], x: str, y: str
) -> None:
    network = load_notes_weights(reference_folder / "notes_unet3d_small.pt").eval()
    with torch.inference_mode():
        got = network(torch.from_numpy(answers[x])).numpy()
    assert got.shape == answers[y].shape
    assert float(np.ptp(answers[y])) > 0.1  # not a constant, which any network could answer
    assert np.abs(got - answers[y]).max() <= TOLERANCE


def test_in_train_mode_the_answers_are_the_notes_too(
    reference_folder: Path, answers: dict[str, np.ndarray]
) -> None:
    network = load_notes_weights(reference_folder / "notes_unet3d_small.pt").train()
    with torch.no_grad():
        got = network(torch.from_numpy(answers["x"])).numpy()
    assert np.abs(got - answers["y_train"]).max() <= TOLERANCE
    assert np.abs(answers["y_train"] - answers["y_eval"]).max() > 100 * TOLERANCE


def test_changed_weights_of_the_lowest_level_are_seen(
    reference_folder: Path, answers: dict[str, np.ndarray]
) -> None:
    """In train mode, that is: in eval mode its share of these answers is below 1e-6."""
    network = load_notes_weights(reference_folder / "notes_unet3d_small.pt").train()
    with torch.no_grad():
        weight = network.encoders[-1].conv2.weight
        weight.copy_(weight.roll(1, dims=1))
        got = network(torch.from_numpy(answers["x"])).numpy()
    assert np.abs(got - answers["y_train"]).max() > 100 * TOLERANCE


def test_a_name_of_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^down1\.conv\.weight: no weight of the notes' network"):
        from_notes_names({"down1.conv.weight": torch.zeros(1)})


def test_a_pickle_that_is_more_than_weights_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "whole.pt"
    torch.save(torch.nn.Linear(1, 1), file)
    with pytest.raises(Exception, match="Weights only load failed"):
        load_notes_weights(file)


def test_a_network_is_built_with_every_argument_of_its_plan() -> None:
    plan = NetworkPlan(
        in_channels=2,
        out_channels=3,
        features=(2, 4),
        kernels=((1, 3, 3), (3, 3, 3)),
        strides=((1, 2, 2),),
        alignment="pad",
        upsampling="trilinear",
        norm="group",
        activation="elu",
        output_activation="sigmoid",
        residual=True,
        dropout=0.5,
        deep_supervision=True,
    )
    network = build_network(plan)
    assert network.encoders[0].conv1.weight.shape == (2, 2, 1, 3, 3)
    assert network.head.weight.shape == (3, 2, 1, 1, 1)
    assert (network.total_stride, network.alignment) == ((1, 2, 2), "pad")
    assert (network.norm, network.deep_supervision) == ("group", True)
    kinds = [type(m).__name__ for m in network.modules()]
    assert {"Upsample", "AnySizeGroupNorm", "ELU", "Sigmoid", "Dropout3d"} <= set(kinds)
    assert network.encoders[1].residual is not None


def test_a_plan_without_a_network_is_refused(tiny_plan: Any) -> None:
    with pytest.raises(ConfigError, match="tiny: a plan without a network"):
        network_of(tiny_plan().model_copy(update={"network": None}))
