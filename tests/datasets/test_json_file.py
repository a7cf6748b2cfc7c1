"""JSON files with faults."""

from __future__ import annotations

import pytest

from volunet.datasets.json_file import read_json
from volunet.errors import DatasetError


def test_byte_order_mark_is_taken(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"a": [1]}', encoding="utf-8-sig")
    assert read_json(file) == {"a": [1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.json: it cannot be opened \(No such file or directory\)"),
        (b"", r"not JSON: Expecting value at line 1, column 1"),
        (b'{"a": 1\n"b": 2}', r"line 2, column 1"),
        (b'"\xe4"', r"byte 1 is not UTF-8"),
    ],
    ids=["missing", "empty", "comma", "latin-1"],
)
def test_faults(tmp_path, content, message):
    file = tmp_path / "a.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_json(file)
