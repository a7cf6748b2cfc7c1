"""The pictures that the real program drew, and the same as other programs save them."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[2] / "golden"
PICTURES = GOLDEN / "pictures"


@pytest.fixture(scope="session")
def pictures() -> Path:
    return PICTURES


@pytest.fixture(scope="session")
def resaved() -> dict[str, Any]:
    """Functions that change a picture's text as another program would."""
    return runpy.run_path(str(GOLDEN / "resaved.py"))


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """A picture with a part of its text replaced; it must have been there."""

    def edit(name: str, old: str, new: str, count: int = -1) -> Path:
        text = (PICTURES / f"{name}.svg").read_text()
        assert old in text
        file = tmp_path / "edited.svg"
        file.write_text(text.replace(old, new, count))
        return file

    return edit


@pytest.fixture(scope="session")
def described() -> Callable[[str], dict[str, Any]]:
    """What the network of a picture is: its nodes, edges, weights' shapes and attributes."""

    def describe(name: str) -> dict[str, Any]:
        network = name.partition("_")[0]
        found: dict[str, Any] = json.loads((PICTURES / f"{network}.onnx.json").read_text())
        return found

    return describe
