"""Whether all voxels of an NRRD or MetaImage file are there, before SimpleITK reads them.

SimpleITK accepts a damaged compressed MetaImage: of 60 files with one flipped bit each it read all
without an error, and none rightly. So the stream is inflated here once, to its checksum.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

from volunet.errors import VolumeError
from volunet.volumes.streams import Outcome, drain, drain_zlib, share_of

_METAIMAGE = (".mha", ".mhd")
_LONGEST_HEADER_LINES = 10_000


class _Payload(NamedTuple):
    path: Path
    offset: int
    compressed: bool


def check_payload(path: Path, expected_bytes: int) -> None:
    """Refuse an NRRD or MetaImage file of which voxels are missing or damaged.

    Voxels as text, in several files or after lines to skip are left to SimpleITK's own checks.

    Args:
        path: The file, or the header that names one.
        expected_bytes: Bytes of voxels that the header promises, uncompressed.

    Raises:
        VolumeError: Voxels are missing, or a compressed stream fails its checksum.
    """
    is_metaimage = path.suffix.lower() in _METAIMAGE
    payload = _metaimage(path) if is_metaimage else _nrrd(path)
    if payload is None:
        return
    if not payload.path.is_file():
        raise VolumeError(
            path,
            f"its voxels are in {payload.path.name}, which is missing",
            "The header and the file of voxels lie in one folder.",
            f"Copy {payload.path.name} there, or save both as one .nrrd or .mha.",
        )
    outcome = _measure(payload, is_metaimage)
    short = outcome.num_bytes < expected_bytes
    if outcome.fault is None and not short:
        return
    fault = outcome.fault or "the file ends early"
    raise VolumeError(
        path,
        f"{fault}: {share_of(outcome.num_bytes, expected_bytes)}" if short else fault,
        f"Its header promises {expected_bytes:,} bytes of voxels in an unbroken stream.",
        "Copy or download the file again.",
    )


def _measure(payload: _Payload, is_metaimage: bool) -> Outcome:
    if not payload.compressed:
        return Outcome(payload.path.stat().st_size - payload.offset, None)
    with payload.path.open("rb") as file:
        file.seek(payload.offset)
        if is_metaimage:
            return drain_zlib(file)
        with gzip.GzipFile(fileobj=file) as stream:
            return drain(stream)


def _metaimage(path: Path) -> _Payload | None:
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for line in _lines(file):
            key, _, value = line.partition("=")
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                break
        offset = file.tell()
    name = fields.get("ElementDataFile", "LIST")
    skipped = fields.get("HeaderSize", "0") != "0"
    if name.startswith("LIST") or "%" in name or skipped or fields.get("BinaryData") == "False":
        return None
    compressed = fields.get("CompressedData", "False") == "True"
    if name in ("LOCAL", "Local", "local"):
        return _Payload(path, offset, compressed)
    return _Payload(path.parent / name, 0, compressed)


def _nrrd(path: Path) -> _Payload | None:
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for line in _lines(file):
            if not line:
                break
            key, _, value = line.partition(":")
            fields[key.strip().replace(" ", "")] = value.strip()
        offset = file.tell()
    encoding = fields.get("encoding", "").lower()
    skipped = any(fields.get(key, "0") != "0" for key in ("lineskip", "byteskip"))
    name = fields.get("datafile")
    if encoding not in ("raw", "gzip", "gz") or skipped or (name and len(name.split()) > 1):
        return None
    compressed = encoding != "raw"
    return (
        _Payload(path.parent / name, 0, compressed) if name else _Payload(path, offset, compressed)
    )


def _lines(file: BufferedIOBase) -> Iterator[str]:
    for _ in range(_LONGEST_HEADER_LINES):
        line = file.readline()
        if not line:
            return
        yield line.decode("latin-1").strip()
