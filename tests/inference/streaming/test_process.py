"""What the process takes, and what the machine has free: read, not guessed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from volunet.inference.streaming import process
from volunet.inference.streaming.process import available_bytes, resident_bytes, trim

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@ON_LINUX
def test_resident_bytes_are_those_that_are_touched() -> None:
    before = resident_bytes()
    array = np.empty(64_000_000, np.uint8)
    untouched = resident_bytes()
    array[:] = 1
    touched = resident_bytes()
    # A page or two of others come and go; when malloc hands memory back is its own affair.
    assert untouched - before < 8_000_000
    assert touched - before == pytest.approx(64_000_000, abs=8_000_000)


def test_where_only_the_most_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = resident_bytes()
    monkeypatch.setattr(process, "_STATM", tmp_path / "statm")
    most = resident_bytes()
    assert 0.9 * now <= most < 100 * now  # bytes, not kilobytes


def test_what_is_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    monkeypatch.setattr(process, "_MEMINFO", file)
    assert available_bytes() is None
    file.write_text("MemTotal:  9 kB\nMemFree:   1 kB\nMemAvailable:    1234 kB\nBuffers: 5 kB\n")
    assert available_bytes() == 1234 * 1024
    file.write_text("MemTotal:  9 kB\nMemFree:   1 kB\n")
    assert available_bytes() is None


@ON_LINUX
def test_trimming_hands_freed_memory_back() -> None:
    # Below the size from which the C library maps each block by itself; the last one keeps it from
    # handing back the rest unasked.
    blocks = [bytes([1]) * 64_000 for _ in range(1000)]
    kept = blocks[-1]
    full = resident_bytes()
    del blocks
    trim()
    assert resident_bytes() < full - 40_000_000
    assert len(kept) == 64_000
