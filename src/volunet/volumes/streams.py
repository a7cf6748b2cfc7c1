"""Read a byte stream to its very end and say what is wrong with it.

A scan that was cut off or damaged in transit must not become one with black slices. Only reading
to the end of a compressed stream meets its checksum: SimpleITK and nibabel stop before it.
"""

from __future__ import annotations

import gzip
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

_CHUNK_BYTES = 1 << 20
_INFLATE_BYTES = 1 << 14
"""Deflate expands up to 1032 times, so this many bytes become 16 MiB at most."""

LARGEST_EXPANSION = 1032
"""No deflate stream grows more than this, https://zlib.net/zlib_tech.html."""


class Outcome(NamedTuple):
    """What reading a stream gave.

    Attributes:
        num_bytes: Bytes that came out of it, decompressed.
        fault: What went wrong, in words for a message; None for a sound stream.
    """

    num_bytes: int
    fault: str | None


def open_maybe_gzip(path: Path) -> BufferedIOBase:
    """Open a file for reading, through gzip where its first bytes say so, whatever its name."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    if compressed:
        return gzip.open(path, "rb")
    return path.open("rb")


def fill(stream: BufferedIOBase, offset: int, target: memoryview) -> Outcome:
    """Fill a writable buffer of bytes from an offset on; a bad stream gives a fault."""
    done = 0
    try:
        stream.seek(offset)
        while done < len(target):
            # readinto1 hands out what came before a fault; readinto would lose it
            count = stream.readinto1(target[done : done + _CHUNK_BYTES])
            if count == 0:
                return Outcome(done, "the file ends early")
            done += count
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return Outcome(done, _fault("gzip", error))
    return Outcome(done, None)


def drain(stream: BufferedIOBase) -> Outcome:
    """Read what is left of a stream, for its checksum."""
    done = 0
    try:
        while chunk := stream.read1(_CHUNK_BYTES):
            done += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return Outcome(done, _fault("gzip", error))
    return Outcome(done, None)


def drain_zlib(file: BufferedIOBase) -> Outcome:
    """Inflate a zlib stream to its end without keeping it."""
    inflater = zlib.decompressobj()
    done = 0
    try:
        while not inflater.eof and (chunk := file.read(_INFLATE_BYTES)):
            done += len(inflater.decompress(chunk))
    except zlib.error as error:
        return Outcome(done, _fault("zlib", error))
    return Outcome(done, None if inflater.eof else _fault("zlib", EOFError()))


def share_of(num_bytes: int, expected_bytes: int) -> str:
    """In words for a message: how much of the voxels is there."""
    percent = 100.0 * num_bytes / expected_bytes
    return f"{min(percent, 99.9):.3g} % of the voxels are present"


def _fault(kind: str, error: Exception) -> str:
    if isinstance(error, EOFError):
        return f"the {kind} stream ends early"
    return f"the {kind} stream is damaged ({error})"
