"""The choice of a batch: what the measurements lead to, and what is measured."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from itertools import count

import pytest
import torch

from volunet.datasets.cache import prepare_cases
from volunet.datasets.layouts import read_dataset
from volunet.errors import ConfigError
from volunet.training.config import TrainingConfig
from volunet.training.planning import batch_size as module
from volunet.training.planning.batch_size import choose_batch_size, decide, smallest_batch
from volunet.training.planning.memory_limit import MemoryLimit
from volunet.training.planning.noise_scale import NoiseScale

PLENTY = MemoryLimit(1000, 10**6, 10**7, 10**10, "plenty is free")


def noise(value: float, *, error: float = 0.1, lowest: float = 0.0) -> NoiseScale:
    """A noise scale with |G|² = 1, told from 0 unless its own error is given to be large."""
    trace = lowest * (1 + 2 * error) if lowest else value
    return NoiseScale(value, 0.1, 1.0, error, trace, pairs=20, steps_before=20)


def memory(largest: int | None) -> MemoryLimit:
    return MemoryLimit(largest, 10**8, 0, 10**9, "what is free")


@pytest.fixture(scope="module")
def cases(blobs, blob_plan, tmp_path_factory):
    dataset = read_dataset(blobs)
    return prepare_cases(dataset.cases, dataset, blob_plan, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    ("value", "a_step"),
    [
        (0.0, 2),
        (0.3, 2),
        (2.8, 2),
        (2.9, 4),  # √8 is as far from 2 as from 4, as a factor
        (5.6, 4),
        (5.7, 8),
        (16.0, 16),
        (23.0, 16),
        (1e6, 16),
    ],
)
def test_nearest_power_of_two(blob_plan, value, a_step):
    choice = decide(noise(value), PLENTY, blob_plan, num_cases=100)
    assert (choice.batch_size, choice.accumulate) == (a_step, 1)


@pytest.mark.parametrize(
    ("largest", "a_pass", "accumulate"),
    [(100, 8, 1), (8, 8, 1), (7, 4, 2), (3, 2, 4), (2, 2, 4), (1, 1, 8)],
)
def test_what_memory_does_not_hold_is_accumulated(blob_plan, largest, a_pass, accumulate):
    choice = decide(noise(8.0), memory(largest), blob_plan, num_cases=100)
    assert (choice.batch_size, choice.accumulate) == (a_pass, accumulate)


@pytest.mark.parametrize(("planned", "a_pass", "accumulate"), [(2, 2, 4), (3, 2, 4), (16, 8, 1)])
def test_unknown_memory_keeps_to_the_planned_pass(blob_plan, planned, a_pass, accumulate):
    plan = blob_plan.model_copy(update={"batch_size": planned})
    choice = decide(noise(8.0), memory(None), plan, num_cases=100)
    assert (choice.batch_size, choice.accumulate) == (a_pass, accumulate)


@pytest.mark.parametrize(
    ("lowest", "planned", "a_step"), [(0.5, 2, 2), (0.5, 4, 4), (7.0, 2, 8), (100.0, 2, 16)]
)
def test_undetermined_noise(blob_plan, lowest, planned, a_step):
    # |G|² = 1 ± 1: the value, 1000, is chance.
    undetermined = noise(1000.0, error=1.0, lowest=lowest)
    plan = blob_plan.model_copy(update={"batch_size": planned})
    choice = decide(undetermined, PLENTY, plan, num_cases=100)
    assert choice.batch_size == a_step
    assert "the gradient noise scale is undetermined from 20 pairs" in choice.reason


def test_infinite_noise_scale(blob_plan):
    lost = NoiseScale(math.inf, math.inf, -0.1, 1.0, 40.0, pairs=20)
    assert decide(lost, PLENTY, blob_plan, num_cases=100).batch_size == 16


@pytest.mark.parametrize(("num_cases", "a_step"), [(1, 2), (3, 2), (4, 4), (9, 8), (160, 16)])
def test_no_more_than_there_are_cases(blob_plan, num_cases, a_step):
    choice = decide(noise(16.0), PLENTY, blob_plan, num_cases=num_cases)
    assert choice.batch_size * choice.accumulate == a_step
    limited = f"{a_step} patches a step are the most, for {num_cases} cases" in choice.reason
    assert limited == (a_step < 16)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.3, "0.3 ± 0.1 patches from 20 pairs of batches after 20 steps; 2 patches a step are "
              "the least; plenty is free"),
        (4.1, "4.1 ± 0.1 patches from 20 pairs of batches after 20 steps; plenty is free"),
        (50.0, "50 ± 0.1 patches from 20 pairs of batches after 20 steps; 16 patches a step are "
               "the most; plenty is free"),
    ],
)  # fmt: skip
def test_reasons(blob_plan, value, words):
    choice = decide(noise(value), PLENTY, blob_plan, num_cases=100)
    assert choice.reason == f"the gradient noise scale is {words}"
    assert choice.noise_scale == noise(value)


@pytest.mark.parametrize(("norm", "said"), [("batch", True), ("group", False)])
def test_batch_norm_of_one_patch_is_said(blob_plan, norm, said):
    network = blob_plan.network.model_copy(update={"norm": norm})
    plan = blob_plan.model_copy(update={"network": network})
    one = decide(noise(2.0), memory(1), plan, num_cases=100)
    assert (one.batch_size, one.accumulate) == (1, 2)
    assert ("a pass holds 1 patch, whose own statistics" in one.reason) == said
    assert "a pass holds 1" not in decide(noise(2.0), memory(2), plan, num_cases=100).reason


@pytest.mark.parametrize(
    ("keys", "smallest"),
    [
        ({"patch_size": (16, 16, 16)}, 1),
        ({"patch_size": (4, 4, 8)}, 1),
        ({"patch_size": (4, 4, 4)}, 2),
        ({"patch_size": (1, 2, 3)}, 2),
        ({"patch_size": (4, 4, 5)}, 1),
        ({"patch_size": (7, 7, 7)}, 1),
        ({"patch_size": (7, 7, 7), "alignment": "crop"}, 2),
        ({"patch_size": (4, 4, 4), "norm": "group"}, 1),
        ({"patch_size": (1, 4, 4), "strides": ((1, 2, 2), (1, 2, 2))}, 2),
        ({"patch_size": (2, 4, 4), "strides": ((1, 2, 2), (1, 2, 2))}, 1),
    ],
)
def test_smallest_batch(tiny_plan, keys, smallest):
    # Three levels of stride 2: total stride 4.
    assert smallest_batch(tiny_plan(**keys)) == smallest


@pytest.mark.parametrize(
    ("patches_left", "processes", "a_step"),
    # 300 steps of 16 are 4800 patches.
    [(4800, 1, 16), (4799, 1, 8), (2400, 2, 16), (700, 1, 2), (0, 1, 2)],
)
def test_no_more_than_leaves_time_for_steps(blob_plan, patches_left, processes, a_step):
    choice = decide(
        noise(16.0), PLENTY, blob_plan,
        num_cases=100, processes=processes, patches_left=patches_left,
    )  # fmt: skip
    assert choice.batch_size * choice.accumulate * processes == a_step
    limited = f"{a_step} patches a step are the most, for 300 steps in the time" in choice.reason
    assert limited == (a_step < 16)


@pytest.mark.parametrize(
    ("processes", "largest", "a_pass", "accumulate"),
    [(2, 100, 4, 1), (2, 2, 2, 2), (3, 100, 2, 1), (16, 100, 1, 1)],
)
def test_processes_share_a_step(blob_plan, processes, largest, a_pass, accumulate):
    choice = decide(noise(8.0), memory(largest), blob_plan, num_cases=100, processes=processes)
    assert (choice.batch_size, choice.accumulate) == (a_pass, accumulate)


@pytest.mark.parametrize(
    ("keys", "rate"),
    [({}, 3e-3), ({"learning_rate": 1e-4}, 1e-4), ({"optimizer": "sgd"}, 3e-3),
     ({"optimizer": "sgd", "learning_rate": 0.1}, 3e-3)],
)  # fmt: skip
def test_trial_steps_are_adamws(blob_plan, cases, measured, keys, rate):
    choose_batch_size(blob_plan, replace(CONFIG, **keys), cases, seconds=60.0)
    assert measured[0]["learning_rate"] == rate


@pytest.fixture
def measured(monkeypatch):
    """Say what the memory is, and note how it was asked and what the noise was measured with."""
    asked = {}

    def set_memory(limit):
        def find(plan, config, **keys):
            asked.update(keys)
            return limit

        monkeypatch.setattr(module, "find_memory_limit", find)

    original = module.measure_noise_scale

    def measure(network, loss, patches, **keys):
        asked.update(keys)
        # As the fit's, whose thin levels compute in float32.
        asked["guarded"] = len(network.encoders[0].conv1._forward_pre_hooks) == 1
        return original(network, loss, patches, **(keys | {"steps": 4}))

    monkeypatch.setattr(module, "measure_noise_scale", measure)
    set_memory(PLENTY)
    return asked, set_memory


CONFIG = TrainingConfig(minutes=1.0, seed=3)


def test_measured_on_cases(blob_plan, cases, measured, caplog):
    state = torch.get_rng_state()
    with caplog.at_level(logging.INFO, "volunet.training.planning.batch_size"):
        choice = choose_batch_size(blob_plan, CONFIG, cases, seconds=60.0)
    assert (choice.noise_scale.pairs, choice.noise_scale.steps_before) == (2, 2)
    assert 0 < choice.noise_scale.gradient_squared_error < math.inf
    assert choice.batch_size * choice.accumulate in (2, 4)  # of 4 cases
    assert torch.equal(torch.get_rng_state(), state)
    asked, _ = measured
    assert asked["micro_batch"] == 2
    assert asked["learning_rate"] == 3e-3
    assert asked["guarded"] is True
    (record,) = caplog.records
    a_step = choice.batch_size * choice.accumulate
    text = record.getMessage()
    assert text.startswith(f"Batch size: {choice.batch_size} a pass, {a_step} a step, chosen in ")
    assert text.endswith(f" s: {choice.reason}.")
    assert "\n" not in text


def test_same_seed_same_estimate(blob_plan, cases, measured):
    first, again = (choose_batch_size(blob_plan, CONFIG, cases, seconds=60.0) for _ in range(2))
    other = choose_batch_size(blob_plan, TrainingConfig(minutes=1.0, seed=4), cases, seconds=60.0)
    assert first.noise_scale.value == pytest.approx(again.noise_scale.value, rel=1e-3)
    assert other.noise_scale.value != pytest.approx(first.noise_scale.value, rel=1e-3)


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (TrainingConfig(minutes=10.0), 20.0),
        (TrainingConfig(minutes=30.0), 54.0),
        (TrainingConfig(epochs=10), 20.0),
    ],
)
def test_time_that_it_takes(blob_plan, cases, measured, config, seconds):
    ticks = count()
    # The clock stands at 0 at the start and at 5 when the memory is known.
    choose_batch_size(blob_plan, config, cases, clock=lambda: 5.0 * min(1, next(ticks)))
    asked, _ = measured
    assert asked["seconds"] == pytest.approx(seconds - 5.0)


def test_time_of_the_memory(monkeypatch, blob_plan, cases, measured):
    seen = []

    def find(plan, config, *, seconds, **_keys):
        seen.append(seconds)
        return PLENTY

    monkeypatch.setattr(module, "find_memory_limit", find)
    choose_batch_size(blob_plan, CONFIG, cases, seconds=50.0)
    assert seen == [pytest.approx(30.0)]


def test_no_time_keeps_the_planned_batch(blob_plan, cases, measured):
    choice = choose_batch_size(blob_plan, CONFIG, cases, seconds=0.0)
    assert choice.noise_scale.pairs == 0
    assert choice.batch_size * choice.accumulate == blob_plan.batch_size
    assert "undetermined from 0 pairs of batches after 0 steps" in choice.reason


def test_memory_of_one_patch(blob_plan, cases, measured):
    asked, set_memory = measured
    set_memory(memory(1))
    choice = choose_batch_size(blob_plan, CONFIG, cases, seconds=60.0)
    assert choice.batch_size == asked["micro_batch"] == 1
    assert asked["least"] == 1


def test_no_room_for_a_step(blob_plan, cases, measured):
    _, set_memory = measured
    set_memory(MemoryLimit(0, None, None, 10**9, "not even the smallest batch fits"))
    words = r"no room for a training step of 1 patch of 8×9×10 voxels \(not even the smallest"
    with pytest.raises(ConfigError, match=words):
        choose_batch_size(blob_plan, CONFIG, cases, seconds=60.0)


def test_no_room_for_the_two_that_batch_norm_takes(blob_plan, cases, measured):
    asked, set_memory = measured
    set_memory(memory(1))
    plan = blob_plan.model_copy(update={"patch_size": (2, 2, 2)})
    with pytest.raises(ConfigError, match="no room for a training step of 2 patches of 2×2×2"):
        choose_batch_size(plan, CONFIG, cases, seconds=60.0)
    assert asked["least"] == 2
