"""`Ensemble`: averaged probabilities at any size, and the ensemble that a plan names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from volunet.errors import ConfigError
from volunet.nets import Ensemble, UNet3d, member_of, network_of
from volunet.nets.deployed import DeployedNetwork
from volunet.plan import Plan, read_plan

TOLERANCE = 1e-6
"""Absolute, on probabilities: float32 sums in another order."""


class Fixed(torch.nn.Module):
    """A member that answers what it is given."""

    alignment = "pad_input"
    total_stride = (1, 1, 1)

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.answer = torch.tensor(logits).reshape(1, -1, 1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer


@pytest.fixture(scope="module")
def ensemble_of(trained: Callable[..., Any]) -> Callable[[Plan], Ensemble]:
    """The ensemble of a plan in eval mode, its members as if each was trained by itself."""

    def make(plan: Plan) -> Ensemble:
        ensemble = network_of(plan)
        assert isinstance(ensemble, Ensemble)
        single = plan.model_copy(update={"members": 1})
        for seed, member in enumerate(ensemble.members):
            member.load_state_dict(trained(single, seed).state_dict())
        return ensemble.eval()

    return make


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 9, 7)], ids=str)
def test_the_softmax_of_the_answer_is_the_mean_of_the_members(
    size: tuple[int, int, int], tiny_plan: Callable[..., Plan], ensemble_of: Any
) -> None:
    ensemble = ensemble_of(tiny_plan(members=3))
    x = noise(2, 1, *size)
    with torch.inference_mode():
        got = ensemble(x)
        logits = [member(x).numpy().astype(np.float64) for member in ensemble.members]
    want = sum(softmax(answer) for answer in logits) / 3
    assert got.shape == (2, 3, *size)
    assert np.abs(softmax(got.numpy()) - want).max() <= TOLERANCE
    assert np.abs(np.exp(got.numpy()) - want).max() <= TOLERANCE
    # Averaged logits would be another answer.
    assert np.abs(softmax(sum(logits) / 3) - want).max() > 100 * TOLERANCE


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_probabilities_of_the_members_themselves_are_averaged_as_they_are(
    activation: str, tiny_plan: Callable[..., Plan], ensemble_of: Any
) -> None:
    ensemble = ensemble_of(tiny_plan(members=2, features=(2, 4), output_activation=activation))
    x = noise(1, 1, 3, 4, 5)
    with torch.inference_mode():
        got = ensemble(x).numpy()
        first, second = (member(x).numpy() for member in ensemble.members)
    assert np.abs(first - second).max() > 0.01
    assert np.abs(got - (first + second) / 2).max() <= TOLERANCE


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_deployed_answers_of_an_ensemble_belong_together(
    activation: str, tiny_plan: Callable[..., Plan], ensemble_of: Any
) -> None:
    plan = tiny_plan(members=2, features=(2, 4), output_activation=activation)
    ensemble = ensemble_of(plan)
    x = 150 * noise(1, 1, 5, 6, 7)

    def answered(answer: str) -> NDArray[Any]:
        task = plan.task.model_copy(update={"answer": answer})
        deployed = DeployedNetwork(ensemble, plan.model_copy(update={"task": task})).eval()
        with torch.inference_mode():
            return deployed(x).numpy()

    logits, probabilities, labels = map(answered, ("logits", "probabilities", "labels"))
    want = logits if activation == "sigmoid" else softmax(logits)
    assert np.abs(probabilities - want).max() <= TOLERANCE
    assert np.array_equal(labels[:, 0], probabilities.argmax(axis=1))
    assert len(np.unique(labels)) > 1


def test_certain_members_that_disagree_leave_finite_logarithms() -> None:
    members: list[Any] = [Fixed(500.0, 0.0, 0.0), Fixed(0.0, 500.0, 0.0)]
    answer = Ensemble(members, gives_probabilities=False)(torch.zeros(1, 1, 1, 1, 1))
    # Each class is certain for one member; the third has e⁻⁵⁰⁰ of both, 0 as a float32.
    want = [np.log(0.5), np.log(0.5), -500.0]
    assert answer.flatten().tolist() == pytest.approx(want, abs=1e-4)


def test_an_ensemble_of_one_answers_its_member() -> None:
    member: Any = Fixed(1.0, -2.0, 0.5)
    answer = Ensemble([member], gives_probabilities=False)(torch.zeros(1, 1, 1, 1, 1))
    want = torch.log_softmax(member.answer, dim=1)
    torch.testing.assert_close(answer, want)


def test_an_ensemble_without_members_is_refused() -> None:
    message = r"^Ensemble: no member\.\nAn ensemble averages at least one network\.\nGive it"
    with pytest.raises(ConfigError, match=message):
        Ensemble([], gives_probabilities=False)


def test_alignment_and_strides_are_those_of_the_members(ensemble_of: Any, tiny_plan: Any) -> None:
    strides = ((1, 2, 2), (2, 2, 3))
    ensemble = ensemble_of(tiny_plan(members=2, alignment="crop", strides=strides))
    assert (ensemble.alignment, ensemble.total_stride) == ("crop", (2, 4, 6))
    with torch.inference_mode():
        assert ensemble(noise(1, 1, 5, 9, 13)).shape == (1, 3, 4, 8, 12)


def test_side_heads_do_not_answer_in_eval_mode(ensemble_of: Any, tiny_plan: Any) -> None:
    ensemble = ensemble_of(tiny_plan(members=2, norm="group"))
    plan = tiny_plan(members=2, norm="group", deep_supervision=True)
    deep = network_of(plan)
    deep.load_state_dict(ensemble.state_dict(), strict=False)
    x = noise(1, 1, 4, 5, 6)
    with torch.inference_mode():
        torch.testing.assert_close(deep.eval()(x), ensemble(x), atol=0, rtol=0)


def test_a_plan_says_how_many_networks_there_are(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan(members=3, features=(2, 4))
    ensemble = network_of(plan)
    single = network_of(plan.model_copy(update={"members": 1}))
    assert (type(ensemble), type(single), type(member_of(plan))) == (Ensemble, UNet3d, UNet3d)
    names = single.state_dict().keys()
    wanted = [f"members.{index}.{name}" for index in range(3) for name in names]
    assert list(ensemble.state_dict()) == wanted
    first, second, third = (member.head.weight for member in ensemble.members)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_an_ensemble_comes_back_from_the_text_of_its_plan(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan(members=2, features=(2, 4), dropout=(0.1, 0.4))
    found = read_plan(plan.model_dump_json(), "plan.json")
    assert found == plan
    ensemble = network_of(found)
    probabilities = [
        [block.dropout.p for block in (*member.encoders, *member.decoders)]
        for member in ensemble.members
    ]
    assert probabilities == [[0.1, 0.4, 0.1]] * 2


def test_a_plan_without_a_network_has_no_members(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan().model_copy(update={"network": None, "members": 2})
    for make in (network_of, member_of):
        with pytest.raises(ConfigError, match="tiny: a plan without a network"):
            make(plan)
