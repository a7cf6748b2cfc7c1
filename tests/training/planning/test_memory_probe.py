"""The steps that the probe makes, and what it takes for an end of memory."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
import torch

from volunet.tasks.segmentation.losses import SegmentationLoss
from volunet.training.device import is_out_of_memory
from volunet.training.planning import memory_probe
from volunet.training.planning.memory_probe import (
    OUT_OF_MEMORY,
    main,
    measure_peaks,
    peak_bytes,
    reset_peak,
)


def request(plan, batches=(1, 2)):
    return {
        "plan": plan.model_dump_json(),
        "loss": "dice_cross_entropy",
        "precision": "float32",
        "batches": batches,
        "threads": 1,
        "most_bytes": 123,
    }


@pytest.fixture
def ask(monkeypatch, capsys):
    """Run `main` here, where no limit is set; its status and the lines that it answered."""
    limits = []
    monkeypatch.setattr(memory_probe, "_go_first", limits.append)

    def run(asked):
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
        status = main()
        assert limits == [asked["most_bytes"]]
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_answers_a_line_a_batch(ask, tiny_plan):
    status, lines = ask(request(tiny_plan(patch_size=(4, 4, 4), features=(4, 8))))
    assert status == 0
    batches, peaks = zip(*lines, strict=True)
    assert batches == (0, 1, 2)
    assert min(peaks) > 10**7  # bytes of a process with PyTorch in it


def test_refused_allocation(ask, monkeypatch, tiny_plan):
    def refuse(*_arguments):
        yield 0, 5
        yield 1, 7
        torch.empty(2**60, dtype=torch.uint8)

    monkeypatch.setattr(memory_probe, "measure_peaks", refuse)
    assert ask(request(tiny_plan())) == (OUT_OF_MEMORY, [[0, 5], [1, 7]])


def test_other_errors_are_raised(ask, tiny_plan):
    # One voxel at the deepest level, of which batch norm takes no statistics.
    with pytest.raises(ValueError, match="1×1×1 at the deepest level"):
        ask(request(tiny_plan(patch_size=(4, 4, 4), features=(4, 8, 16))))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps(monkeypatch, tiny_plan, precision):
    seen = []
    original = SegmentationLoss.forward

    def note(self, logits, label):
        seen.append((logits.dtype, tuple(logits.shape), tuple(label.shape)))
        return original(self, logits, label)

    monkeypatch.setattr(SegmentationLoss, "forward", note)
    plan = tiny_plan(channels=2, patch_size=(4, 6, 8), features=(4, 8))
    taken, resets = [], []

    def peak():
        taken.append(len(seen))
        return 10 + len(taken)

    def reset():
        resets.append(len(seen))

    answers = measure_peaks(plan, "dice", precision, (2, 3), torch.device("cpu"), peak, reset)
    assert list(answers) == [(0, 11), (2, 12), (3, 13)]
    # A step before any counts, then each between a reset and a look.
    assert (taken, resets) == ([0, 2, 3], [1, 2])
    dtype = getattr(torch, precision)
    assert seen == [(dtype, (n, 3, 4, 6, 8), (n, 1, 4, 6, 8)) for n in (2, 2, 3)]


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_peak_stays_until_it_is_reset():
    before = peak_bytes()
    now = memory_probe._data_bytes()
    # More than what other tests have freed may hide in the peak so far.
    size = before + 50_000_000
    array = np.ones(size, np.uint8)
    assert memory_probe._data_bytes() - now > 0.9 * size
    touched = peak_bytes()
    del array
    assert touched - before > 40_000_000
    # Linux counts pages in batches, a few of which may be missing now and then.
    assert peak_bytes() == pytest.approx(touched, abs=5_000_000)
    reset_peak()
    assert peak_bytes() < touched - 40_000_000


def test_peak_elsewhere(monkeypatch, tmp_path):
    peak = peak_bytes()
    monkeypatch.setattr(memory_probe, "_STATUS", tmp_path / "none")
    # ru_maxrss is the same figure here, or the one that the test process' parent had, if larger.
    assert 0.9 * peak < peak_bytes() < 100 * peak


def test_what_is_out_of_memory():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert is_out_of_memory(RuntimeError("terminate called after 'std::bad_alloc'"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
