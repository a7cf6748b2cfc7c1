"""How long a step takes: which of the measured counts, of what, and that nothing is left behind."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from volunet.training.config import TrainingConfig
from volunet.training.device import training_device
from volunet.training.planning import step_time
from volunet.training.planning.step_time import measure_step, precisions

CONFIG = TrainingConfig(minutes=1)


@pytest.fixture
def steps(monkeypatch):
    """Record the steps, which take what the test says by a clock that it turns."""
    clock, made = [0.0], []
    monkeypatch.setattr(step_time, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def of(*seconds):
        def take(module, optimizer, image, label, precision):
            clock[0] += seconds[len(made)]
            made.append((module, image, label, precision))

        monkeypatch.setattr(step_time, "_step", take)
        return made

    return of


@pytest.mark.parametrize(("seconds", "expected"), [((9.0, 3.0, 2.0), 2.0), ((1.0, 4.0, 5.0), 4.0)])
def test_the_quicker_of_two_behind_a_warm_up(blob_plan, steps, seconds, expected):
    made = steps(*seconds)
    assert measure_step(blob_plan, CONFIG) == expected
    assert len(made) == 3


def test_a_step_is_of_the_plans_patches(blob_plan, steps):
    plan = blob_plan.model_copy(update={"batch_size": 3, "channels": ("a", "b")})
    plan = plan.model_copy(
        update={"network": blob_plan.network.model_copy(update={"in_channels": 2})}
    )
    made = steps(1.0, 1.0, 1.0)
    measure_step(plan, CONFIG)
    module, image, label, precision = made[0]
    assert (tuple(image.shape), image.dtype) == ((3, 2, 8, 9, 10), torch.float32)
    assert image.is_contiguous(memory_format=torch.channels_last_3d)
    assert (tuple(label.shape), label.dtype) == ((3, 1, 8, 9, 10), torch.int64)
    assert set(label.unique().tolist()) == {0, 1}
    assert precision == "float32"
    assert module.training is True


def test_the_fits_own_random_numbers_stay(blob_plan):
    torch.manual_seed(4)
    expected = torch.rand(3).tolist()
    torch.manual_seed(4)
    seconds = measure_step(blob_plan, CONFIG)
    assert torch.rand(3).tolist() == expected
    assert 0 < seconds < math.inf


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_short_memory_is_an_endless_step(blob_plan, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(step_time, "_step", fail)
    assert measure_step(blob_plan, CONFIG) == math.inf


def test_other_errors_stay_what_they_are(blob_plan, monkeypatch):
    def fail(*_):
        raise RuntimeError("ours")

    monkeypatch.setattr(step_time, "_step", fail)
    with pytest.raises(RuntimeError, match=r"^ours$"):
        measure_step(blob_plan, CONFIG)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_a_step_is_a_step(blob_plan, precision, dtype):
    """Forward in the precision, back, the weights move, and no gradient stays in memory."""
    module = step_time.FittedModule(blob_plan, CONFIG).train()
    answers = []
    module.network.register_forward_hook(lambda *call: answers.append(call[-1].dtype))
    before = module.network.head.weight.detach().clone()
    label = torch.zeros(2, 1, 4, 4, 4, dtype=torch.int64)
    optimizer = module.configure_optimizers()
    step_time._step(module, optimizer, torch.randn(2, 1, 4, 4, 4), label, precision)
    assert answers == [dtype]
    assert not torch.equal(module.network.head.weight, before)
    assert module.network.head.weight.dtype == torch.float32
    assert all(weight.grad is None for weight in module.network.parameters())


@pytest.mark.parametrize("available", [True, False])
def test_bfloat16_needs_its_instructions(monkeypatch, available):
    monkeypatch.setattr(step_time, "training_device", lambda: torch.device("cpu"))
    own = SimpleNamespace(_is_mkldnn_bf16_supported=lambda: available)
    monkeypatch.setattr(torch.ops, "mkldnn", own, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert precisions() == (("float32", "bfloat16") if available else ("float32",))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert precisions() == ("float32",)


@pytest.mark.parametrize(("has_cuda", "kind"), [(True, "cuda"), (False, "cpu")])
def test_where_a_fit_runs(monkeypatch, has_cuda, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    assert training_device().type == kind
