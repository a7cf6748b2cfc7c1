from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import pytest

from volunet.volumes.streams import drain, drain_zlib, fill, open_maybe_gzip, share_of

BYTES = np.random.default_rng(0).bytes(50_000)


def test_gzip_is_told_by_its_bytes_not_its_name(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed.nii"
    plain.write_bytes(BYTES)
    packed.write_bytes(gzip.compress(BYTES))
    for path in (plain, packed):
        with open_maybe_gzip(path) as stream:
            assert stream.read() == BYTES


def test_fill_from_an_offset() -> None:
    target = bytearray(100)
    outcome = fill(io.BytesIO(BYTES), 40, memoryview(target))
    assert outcome == (100, None)
    assert bytes(target) == BYTES[40:140]


def test_fill_counts_what_a_short_file_holds() -> None:
    outcome = fill(io.BytesIO(BYTES[:60]), 40, memoryview(bytearray(100)))
    assert outcome == (20, "the file ends early")


def test_a_cut_gzip_stream() -> None:
    packed = gzip.compress(BYTES)
    stream = gzip.GzipFile(fileobj=io.BytesIO(packed[: len(packed) // 2]))
    outcome = fill(stream, 0, memoryview(bytearray(len(BYTES))))
    assert outcome.fault == "the gzip stream ends early"
    assert 0.4 < outcome.num_bytes / len(BYTES) < 0.6  # noise does not compress
    assert drain(gzip.GzipFile(fileobj=io.BytesIO(packed[:-1]))).fault == outcome.fault


def test_a_false_checksum_is_met_at_the_end() -> None:
    packed = bytearray(gzip.compress(BYTES))
    packed[-6] ^= 1  # in the CRC
    stream = gzip.GzipFile(fileobj=io.BytesIO(packed))
    outcome = drain(stream)
    assert outcome.fault is not None
    assert "CRC check failed" in outcome.fault


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda packed: packed, None),
        (lambda packed: packed[:-1], "the zlib stream ends early"),
        (lambda packed: packed[:-1] + b"\x00", "incorrect data check"),
    ],
    ids=["sound", "cut", "checksum"],
)
def test_drain_zlib(change, fault: str | None) -> None:
    outcome = drain_zlib(io.BytesIO(change(zlib.compress(bytes(3_000_000)))))
    if fault is None:
        assert outcome == (3_000_000, None)
    else:
        assert outcome.fault is not None
        assert fault in outcome.fault


def test_share_never_says_all() -> None:
    assert share_of(52, 100) == "52 % of the voxels are present"
    assert share_of(99_999, 100_000) == "99.9 % of the voxels are present"
