"""The noise scale of a run's own network and patches."""

from __future__ import annotations

import pytest

from volunet.diagnosing.probes.material import find_cases, prepare_material
from volunet.diagnosing.probes.noise import STEPS, measure_noise


def test_it_is_measured(blob_probe):
    run = blob_probe()
    material = prepare_material(run, find_cases(run, run.training), 9.0)
    noise = measure_noise(material)
    assert (noise.pairs, noise.steps_before) == (STEPS - STEPS // 2, STEPS // 2)
    assert noise.trace > 0
    assert noise.value == pytest.approx(measure_noise(material).value)


def test_time_that_is_over(blob_probe, ticks):
    run = blob_probe()
    material = prepare_material(run, find_cases(run, run.training), 9.0)
    assert measure_noise(material, 3.0, ticks(1.0)) is None
