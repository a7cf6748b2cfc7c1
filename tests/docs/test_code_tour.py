"""Every file that the code tour names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_tours_files_are_there() -> None:
    text = (ROOT / "docs" / "code-tour.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(named) > 30
    assert [name for name in named if not (ROOT / "src" / "volunet" / name).exists()] == []
