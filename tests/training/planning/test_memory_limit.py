"""The largest batch: the straight line, and a process that may be ended in any way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from volunet.training.config import TrainingConfig
from volunet.training.planning import memory_limit
from volunet.training.planning.memory_limit import (
    MemoryLimit,
    Peaks,
    find_memory_limit,
    limit_from_peaks,
)

GB = 10**9
CONFIG = TrainingConfig(minutes=1.0)


@pytest.fixture
def free(monkeypatch):
    """Say what is free."""
    return lambda value: monkeypatch.setattr(memory_limit, "free_bytes", lambda _device: value)


@pytest.fixture
def process(monkeypatch, tmp_path):
    """Make the probe a program of our own: what is started as Python runs it, whatever is asked."""
    python = tmp_path / "python"
    first_line = f"#!{sys.executable}\n"

    def run(code):
        python.write_text(first_line + code)
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))

    return run


@pytest.mark.parametrize(
    ("peaks", "free_gb", "largest", "each_gb", "fixed_gb"),
    [
        # 80 % of 10 GB less 1 GB is 7 GB.
        pytest.param({0: 1, 2: 4, 4: 6}, 10, 7, 1, 1, id="line"),
        pytest.param({0: 1, 1: 9, 2: 4, 4: 6}, 10, 7, 1, 1, id="1 is not on it"),
        pytest.param({0: 1, 1: 4, 2: 6}, 10, 3, 2, 1, id="no time for 4"),
        pytest.param({0: 1, 2: 4, 4: 6}, 2, 0, 1, 1, id="nothing fits"),
        pytest.param({0: 9, 2: 10, 4: 14}, 10, 4, 2, 0, id="fixed part below 0"),
    ],
)
def test_straight_line(peaks, free_gb, largest, each_gb, fixed_gb):
    measured = Peaks({batch: peak * GB for batch, peak in peaks.items()})
    limit = limit_from_peaks(measured, free_gb * GB)
    assert limit.largest_batch == largest
    assert (limit.bytes_per_patch, limit.fixed_bytes) == (each_gb * GB, fixed_gb * GB)


def test_straight_line_in_words():
    limit = limit_from_peaks(Peaks({0: 0, 2: 110 * 10**6, 4: 210 * 10**6}), 5 * GB)
    assert limit.reason == (
        "a step takes 10 MB and 50 MB a patch; 5.0 GB are free, of which 20% stay so"
    )


def test_peak_that_does_not_grow():
    limit = limit_from_peaks(Peaks({0: 0, 2: GB, 4: GB}), 5 * GB)
    assert limit.bytes_per_patch == 1
    assert limit.largest_batch > 10**9


@pytest.mark.parametrize(
    ("measured", "largest", "reason"),
    [
        (Peaks({}, ran_out=True), 0, "not even the smallest batch fits into 5.0 GB"),
        (Peaks({0: 1}, ran_out=True), 0, "not even the smallest batch fits into 5.0 GB"),
        (Peaks({0: 1, 1: 2}, ran_out=True), 1, "a batch of 1 fits into 5.0 GB, a larger one does "
                                               "not"),
        # The line through 1 and 2 would say that 4 fits.
        (Peaks({0: 1, 1: 2, 2: 3}, ran_out=True), 2, "a batch of 2 fits into 5.0 GB, a larger one "
                                                     "does not"),
        (Peaks({0: 1}, failure="it said no"), None, "it said no"),
        (Peaks({0: 1, 1: 2}, failure="it said no"), None, "it said no"),
    ],
    ids=["start", "first", "second", "third", "failure", "later failure"],
)  # fmt: skip
def test_what_ended_early(measured, largest, reason):
    limit = limit_from_peaks(measured, 5 * GB)
    assert limit == MemoryLimit(largest, None, None, 5 * GB, reason)


def test_free_memory_not_known():
    limit = limit_from_peaks(Peaks({0: 0, 2: 2 * GB, 4: 4 * GB}), None)
    assert limit == MemoryLimit(
        None, GB, 0, None, "a step takes 0 MB and 1.0 GB a patch; what is free is not known"
    )


@pytest.mark.long
def test_a_real_step(tiny_plan, free):
    free(8 * GB)
    # In this process, so that its memory would show if the other's peak began with it.
    large = np.ones(700 * 10**6, np.uint8)
    plan = tiny_plan(features=(8, 16), patch_size=(48, 48, 48))
    limit = find_memory_limit(plan, CONFIG, seconds=600)
    assert large[-1] == 1
    level = 8 * 48**3 * 4
    # Backward needs at least what each of four convolutions and norms on the top level answered,
    # and the concatenation; there are no more than 40 tensors of this size in a step.
    assert 9 * level < limit.bytes_per_patch < 40 * level
    assert 0 <= limit.fixed_bytes < 5 * 10**8
    assert limit.largest_batch == (int(0.8 * 8 * GB) - limit.fixed_bytes) // limit.bytes_per_patch
    assert limit.largest_batch > 50


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on data is Linux's")
def test_a_real_step_that_does_not_fit(tiny_plan, free):
    # The top level of a pass takes 64 · 128³ · 4 bytes for each of a dozen tensors, 6 GB.
    free(400 * 10**6)
    limit = find_memory_limit(
        tiny_plan(features=(64, 8), patch_size=(128,) * 3), CONFIG, seconds=600
    )
    assert limit.largest_batch == 0
    assert limit.reason == "not even the smallest batch fits into 400 MB"


@pytest.mark.parametrize(
    ("ending", "largest"),
    [
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", 0, id="killed"),
        pytest.param("sys.exit(3)", 0, id="refused"),
        pytest.param("sys.stderr.write('std::bad_alloc'); os.abort()", 0, id="aborted"),
        pytest.param("print('[1, 6]', flush=True); sys.exit(3)", 1, id="refused at the second"),
        pytest.param("os.abort()", None, id="aborted otherwise"),
        pytest.param("print('Traceback'); sys.exit('no module')", None, id="failed"),
    ],
)
def test_processes_that_end(process, free, tiny_plan, ending, largest):
    process(f"import os, signal, sys; sys.stdin.read(); print('[0, 5]', flush=True); {ending}")
    free(8 * GB)
    limit = find_memory_limit(tiny_plan(), CONFIG)
    assert limit.largest_batch == largest


def test_failures_are_told(process, free, tiny_plan):
    free(8 * GB)
    process("import sys; sys.stdin.read(); sys.exit('first\\nno module')")
    reason = find_memory_limit(tiny_plan(), CONFIG).reason
    assert reason == "the memory of a step was not measured (no module)"
    process("import os, sys; sys.stdin.read(); os.abort()")
    reason = find_memory_limit(tiny_plan(), CONFIG).reason
    assert reason == f"the memory of a step was not measured (status -{signal.SIGABRT:d})"


def test_a_process_that_takes_too_long(process, free, tiny_plan):
    free(8 * GB)
    process("import time; print('[0, 5]', flush=True); time.sleep(600)")
    limit = find_memory_limit(tiny_plan(), CONFIG, seconds=0.3)
    assert limit.largest_batch is None
    assert limit.reason == "the memory of a step was not measured within 0.3 s"


def test_what_is_known_when_the_time_is_over(monkeypatch, free, tiny_plan):
    free(10 * GB)

    def run(_command, *, timeout, **_keys):
        answers = f"[0, {GB}]\n[1, {3 * GB}]\n[2, {4 * GB}]\n[4, 70"
        raise subprocess.TimeoutExpired("probe", timeout, output=answers.encode())

    monkeypatch.setattr(subprocess, "run", run)
    limit = find_memory_limit(tiny_plan(), CONFIG)
    assert (limit.largest_batch, limit.bytes_per_patch) == (7, GB)


def test_what_the_process_is_asked(process, free, tiny_plan, tmp_path):
    free(8 * GB)
    asked = tmp_path / "asked"
    process(f"import sys; open({str(asked)!r}, 'w').write(sys.stdin.read()); print('[2, 7]')")
    plan = tiny_plan()
    find_memory_limit(
        plan, TrainingConfig(minutes=1.0, loss="focal", precision="bfloat16"), least=2
    )
    request = json.loads(asked.read_text())
    assert request.pop("plan") == plan.model_dump_json()
    assert request == {
        "loss": "focal",
        "precision": "bfloat16",
        "batches": [2, 4],
        "threads": torch.get_num_threads(),
        "most_bytes": 8 * GB,
    }


def test_other_devices(free, tiny_plan):
    free(None)
    limit = find_memory_limit(tiny_plan(), CONFIG, device=torch.device("meta"))
    assert limit.largest_batch is None
    assert limit.reason == "the memory of a step is not measured on meta"


@pytest.mark.parametrize(("fits", "largest"), [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_cuda(monkeypatch, free, tiny_plan, fits, largest):
    # As no GPU is here, its allocator is played: 1 GB a patch and 1 GB for the rest.
    free(5 * GB)
    for name in ("reset_peak_memory_stats", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(torch.random, "fork_rng", lambda **_: nullcontext())

    def play(_plan, _loss, _precision, batches, device, _peak, _reset):
        assert device.type == "cuda"
        yield 0, 0
        for batch in batches[:fits]:
            yield batch, (1 + batch) * GB
        if fits < 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(memory_limit, "measure_peaks", play)
    limit = find_memory_limit(tiny_plan(), CONFIG, device=torch.device("cuda"))
    assert limit.largest_batch == largest
