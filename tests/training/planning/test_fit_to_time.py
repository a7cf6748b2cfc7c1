"""What can converge in the time: the rules, on machines whose steps cost what a table says."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace

import pytest

from volunet.errors import ConfigError
from volunet.training.config import TrainingConfig
from volunet.training.planning import fit_to_time as module
from volunet.training.planning.fit_to_time import (
    ENOUGH_STEPS,
    FEWEST_STEPS,
    LARGEST_BATCH,
    MEASURING_SHARE,
    PATCH_SHARES,
    WIDTHS,
    fit_to_time,
)

CONFIG = TrainingConfig(minutes=10)
CHOICES = {"choose_network": True, "choose_batch": True, "choose_precision": True}


@pytest.fixture
def replan(blob_plan):
    """Patches of 64×8×8 voxels at the most, of which the share is the length's."""
    asked = []

    def make(width, share):
        asked.append((width, share))
        network = blob_plan.network.model_copy(update={"features": (width, 2 * width)})
        patch = (round(64 * share), 8, 8)
        return blob_plan.model_copy(update={"network": network, "patch_size": patch})

    make.asked = asked
    return make


@pytest.fixture
def machine(monkeypatch):
    """Say what a step costs: a function of width, share, batch and precision.

    Measuring itself takes no time, but where a test says so.
    """
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 0.0))

    def of(cost, precisions=("float32",)):
        measured = []

        def measure(plan, config):
            width, share = plan.network.features[0], plan.patch_size[0] / 64
            measured.append((width, share, plan.batch_size, config.precision))
            return cost(width, share, plan.batch_size, config.precision)

        monkeypatch.setattr(module, "measure_step", measure)
        monkeypatch.setattr(module, "precisions", lambda: precisions)
        return measured

    return of


def in_proportion(seconds):
    """A step of the narrowest network, on whole patches in batches of 2, takes so long."""

    def cost(width, share, batch, precision):
        faster = 0.5 if precision == "bfloat16" else 1.0
        return seconds * (width / 8) * share * (batch / 2) * faster

    return cost


def chosen(timed):
    return (
        timed.plan.network.features[0],
        timed.plan.patch_size[0] / 64,
        timed.plan.batch_size,
        timed.config.precision,
    )


def test_the_numbers_that_the_rules_speak_of():
    assert (WIDTHS, PATCH_SHARES) == ((8, 16, 24, 32), (1.0, 0.5, 0.25, 0.125))
    assert (ENOUGH_STEPS, FEWEST_STEPS, LARGEST_BATCH) == (1500, 300, 8)
    assert MEASURING_SHARE == 0.03


def test_time_in_plenty(replan, machine):
    measured = machine(in_proportion(0.01), ("float32", "bfloat16"))
    timed = fit_to_time(replan, CONFIG, 3600.0, **CHOICES)
    assert chosen(timed) == (32, 1.0, 8, "bfloat16")
    # 0.01 s × 4 × 4 × ½ a step.
    assert timed.steps == 45_000
    assert measured == [
        (8, 1.0, 2, "float32"), (8, 1.0, 2, "bfloat16"),
        (16, 1.0, 2, "bfloat16"), (24, 1.0, 2, "bfloat16"), (32, 1.0, 2, "bfloat16"),
        (32, 1.0, 4, "bfloat16"), (32, 1.0, 8, "bfloat16"),
    ]  # fmt: skip
    assert (timed.config.minutes, timed.config.seed) == (10, 0)


def test_the_widest_network_that_makes_enough_steps(replan, machine):
    # Of 400 s: 4000, 2000, 1333 and 1000 steps.
    measured = machine(in_proportion(0.1))
    timed = fit_to_time(replan, CONFIG, 400.0, **CHOICES)
    assert chosen(timed) == (16, 1.0, 2, "float32")
    assert timed.steps == 2000
    # The widest is not tried where a narrower one is too slow; no time for larger batches.
    assert measured == [(width, 1.0, 2, "float32") for width in (8, 16, 24)]


def test_enough_steps_exactly(replan, machine):
    machine(in_proportion(0.25))
    assert chosen(fit_to_time(replan, CONFIG, 750.0, **CHOICES))[0] == 16
    assert chosen(fit_to_time(replan, CONFIG, 749.0, **CHOICES))[0] == 8


def test_without_room_no_wider_network_is_tried(replan, machine):
    measured = machine(in_proportion(0.1))
    timed = fit_to_time(replan, CONFIG, 100.0, **CHOICES)
    assert chosen(timed) == (8, 1.0, 2, "float32")
    assert measured == [(8, 1.0, 2, "float32")]
    assert timed.steps == 1000


@pytest.mark.parametrize(
    ("left_s", "share", "steps"),
    [
        (600.0, 1.0, 300),
        (599.0, 0.5, 599),
        (160.0, 0.25, 320),
        (80.0, 0.125, 320),
        (9.0, 0.125, 36),
    ],
    ids=["whole", "half", "quarter", "eighth", "too-slow-for-any"],
)
def test_a_slow_machine_has_smaller_patches(replan, machine, left_s, share, steps):
    machine(in_proportion(2.0))
    timed = fit_to_time(replan, CONFIG, left_s, **CHOICES)
    assert chosen(timed) == (8, share, 2, "float32")
    assert timed.steps == steps


def test_a_wider_network_has_the_patch_that_was_chosen(replan, machine):
    # A machine that likes wide networks on small patches: the whole patch is too slow.
    machine(lambda width, share, batch, precision: 10.0 if share > 0.5 else 0.1)
    timed = fit_to_time(replan, CONFIG, 200.0, **CHOICES)
    assert chosen(timed) == (32, 0.5, 2, "float32")


def test_a_patch_that_the_memory_does_not_hold(replan, machine):
    machine(lambda width, share, batch, precision: math.inf if width * share > 16 else 0.1)
    timed = fit_to_time(replan, CONFIG, 200.0, **CHOICES)
    assert chosen(timed) == (16, 1.0, 2, "float32")


@pytest.mark.parametrize("choose_network", [True, False])
def test_a_memory_that_holds_no_patch(replan, machine, choose_network):
    machine(lambda width, share, batch, precision: math.inf)
    size = "8×8×8" if choose_network else "64×8×8"
    message = (
        f"volunet train: no room in memory for a step of 2 patches of {size} voxels\\.\n"
        r"Network, patch and batch fit into the memory that is free\.\nGive a smaller --patch-size"
    )
    with pytest.raises(ConfigError, match=message):
        fit_to_time(replan, CONFIG, 200.0, **CHOICES | {"choose_network": choose_network})


def test_without_time_to_measure_smaller_patches_count_by_their_voxels(
    replan, machine, monkeypatch
):
    clock = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def cost(*plan):
        clock[0] += 8.0
        return in_proportion(4.0)(*plan)

    # 3 % of 200 s are 6 s, which one measurement takes: of 50 whole patches' steps 400 eighths.
    measured = machine(cost)
    timed = fit_to_time(replan, CONFIG, 200.0, **CHOICES)
    assert measured == [(8, 1.0, 2, "float32")]
    assert (chosen(timed), timed.steps) == ((8, 0.125, 2, "float32"), 400)


@pytest.mark.parametrize(
    ("left_s", "batch"),
    # At width 32 a step of 2 takes 0.4 s. 8 × 1500 of them are 4800 s; doubled, 4 × 1500 are too.
    [(4799.0, 2), (4801.0, 4), (9599.0, 4), (9601.0, 8), (1e6, 8)],
)
def test_batches_grow_with_the_time(replan, machine, left_s, batch):
    machine(in_proportion(0.1))
    assert chosen(fit_to_time(replan, CONFIG, left_s, **CHOICES)) == (32, 1.0, batch, "float32")


def test_a_larger_batch_that_costs_too_much_is_left(replan, machine):
    # Twice the batch takes five times as long, as where memory is short.
    machine(lambda width, share, batch, precision: 0.1 if batch == 2 else 0.5)
    assert chosen(fit_to_time(replan, CONFIG, 2000.0, **CHOICES))[2] == 2
    assert chosen(fit_to_time(replan, CONFIG, 3001.0, **CHOICES))[2] == 4


@pytest.mark.parametrize(("share", "precision"), [(0.9, "bfloat16"), (0.91, "float32")])
def test_bfloat16_must_pay(replan, machine, share, precision):
    machine(lambda *plan: 1.0 * share if plan[-1] == "bfloat16" else 1.0, ("float32", "bfloat16"))
    timed = fit_to_time(replan, CONFIG, 1000.0, **CHOICES)
    assert timed.config.precision == precision
    assert timed.steps == (1111 if precision == "bfloat16" else 1000)


def test_a_precision_that_was_given_stays(replan, machine):
    measured = machine(in_proportion(0.1), ("float32", "bfloat16"))
    timed = fit_to_time(replan, CONFIG, 100.0, **CHOICES | {"choose_precision": False})
    assert timed.config.precision == "float32"
    assert measured == [(8, 1.0, 2, "float32")]


def test_a_network_that_was_given_stays(replan, machine):
    measured = machine(in_proportion(1.0))
    timed = fit_to_time(replan, CONFIG, 100.0, **CHOICES | {"choose_network": False})
    # What was given is in what `replan` answers: it is asked once, and no smaller is tried.
    assert replan.asked == [(32, 1.0)]
    assert measured == [(32, 1.0, 2, "float32")]
    assert timed.steps == 25


def test_a_patch_that_was_given_stays_and_the_width_is_chosen(replan, machine):
    measured = machine(in_proportion(0.1))
    timed = fit_to_time(lambda width, share: replan(width, 0.5), CONFIG, 100.0, **CHOICES)
    assert chosen(timed) == (8, 0.5, 2, "float32")
    assert timed.steps == 2000
    assert measured == [(8, 0.5, 2, "float32"), (16, 0.5, 2, "float32")]


def test_a_patch_that_stays_the_same_is_not_measured_again(replan, machine):
    # Volumes of a quarter of the largest patch: the half changes nothing, the eighth does.
    measured = machine(in_proportion(2.0))
    volume = 0.25
    timed = fit_to_time(
        lambda width, share: replan(width, min(share, volume)), CONFIG, 80.0, **CHOICES
    )
    assert chosen(timed) == (8, 0.125, 2, "float32")
    assert measured == [(8, 0.25, 2, "float32"), (8, 0.125, 2, "float32")]


def test_a_batch_that_was_given_stays(replan, machine):
    measured = machine(in_proportion(0.001))
    timed = fit_to_time(replan, CONFIG, 1e5, **CHOICES | {"choose_batch": False})
    assert chosen(timed) == (32, 1.0, 2, "float32")
    assert {batch for _, _, batch, _ in measured} == {2}


@pytest.mark.parametrize(
    ("takes_s", "measurements", "expected"),
    [
        (31.0, 1, (8, 1.0, 2, "float32")),
        (20.0, 2, (8, 1.0, 2, "bfloat16")),
        (12.0, 3, (16, 1.0, 2, "bfloat16")),
        (8.0, 4, (24, 1.0, 2, "bfloat16")),
        (5.5, 6, (32, 1.0, 4, "bfloat16")),
    ],
)
def test_measuring_ends_with_its_share_of_the_time(
    replan, machine, monkeypatch, takes_s, measurements, expected
):
    clock = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def cost(*plan):
        clock[0] += takes_s
        return in_proportion(0.001)(*plan)

    measured = machine(cost, ("float32", "bfloat16"))
    # 3 % of 1000 s are 30 s; what is begun within them is ended, and the best so far is taken.
    timed = fit_to_time(replan, CONFIG, 1000.0, **CHOICES)
    assert len(measured) == measurements
    assert chosen(timed) == expected


@pytest.mark.parametrize(
    ("left_s", "step_s", "cases"),
    [
        # A validation case is a third of a step of two patches, and a training case stands beside
        # it; 5 % of the interval of 50 s are 2.5 s.
        (600.0, 0.48, 15),
        (600.0, 0.01, 24),
        (600.0, 10.0, 4),
        # Validations are 5 s apart at the least, of which 0.25 s.
        (12.0, 0.1, 7),
    ],
    ids=["some", "most", "fewest", "short"],
)
def test_validation_takes_a_twentieth_of_the_time(replan, machine, left_s, step_s, cases):
    machine(lambda *_: step_s)
    fixed = dict.fromkeys(CHOICES, False)
    assert fit_to_time(replan, CONFIG, left_s, **fixed).config.validation_cases == cases


def test_the_choice_is_said(replan, machine, caplog):
    machine(in_proportion(0.1))
    with caplog.at_level(logging.INFO):
        fit_to_time(replan, CONFIG, 400.0, **CHOICES)
    assert caplog.messages == [
        "Network of 16, 32 channels, patches of 64×8×8 voxels, batches of 2, float32: a step takes "
        "0.20 s here, about 2000 fit into the time."
    ]
