from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from volunet.errors import VolumeError
from volunet.volumes.payload import check_payload

NRRD = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 10 10 10\nencoding: raw\n"
META = b"NDims = 3\nDimSize = 10 10 10\nElementType = MET_UCHAR\n"


@pytest.mark.parametrize(
    ("name", "header"),
    [("a.nrrd", NRRD + b"\n"), ("a.mha", META + b"ElementDataFile = LOCAL\n")],
)
def test_one_byte_too_few(tmp_path: Path, name: str, header: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(header + bytes(1000))
    check_payload(path, 1000)
    path.write_bytes(header + bytes(520))
    with pytest.raises(VolumeError, match="the file ends early: 52 % of the voxels are present"):
        check_payload(path, 1000)


def test_voxels_in_a_file_beside_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.mhd"
    path.write_bytes(META + b"ElementDataFile = a.raw\n")
    (tmp_path / "a.raw").write_bytes(np.zeros(900, np.uint8).tobytes())
    with pytest.raises(VolumeError, match="90 % of the voxels"):
        check_payload(path, 1000)
    (tmp_path / "a.raw").write_bytes(bytes(1000))
    check_payload(path, 1000)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.nrrd", NRRD.replace(b"raw", b"ascii") + b"\n"),
        ("a.nrrd", NRRD + b"line skip: 2\n\n"),
        ("a.nhdr", NRRD + b"data file: a%03d.raw 1 9 1\n\n"),
        ("a.mha", META + b"BinaryData = False\nElementDataFile = LOCAL\n"),
        ("a.mhd", META + b"ElementDataFile = LIST\na.raw\n"),
    ],
    ids=["text", "skip", "nrrd_files", "meta_text", "meta_files"],
)
def test_rare_forms_are_left_to_simpleitk(tmp_path: Path, name: str, header: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(header)
    check_payload(path, 1000)
