"""The four-part message, and the built-in that each class also is."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from volunet.errors import (
    ConfigError,
    DatasetError,
    EngineError,
    ExportError,
    OutputError,
    ShapeError,
    VolumeError,
    VolunetError,
)


def test_a_message_says_where_what_what_else_and_what_to_do() -> None:
    error = VolumeError(Path("a.nii.gz"), "4 axes", "A volume has 3.", "Split it")
    assert str(error) == "a.nii.gz: 4 axes.\nA volume has 3.\nSplit it."
    assert (error.where, error.found, error.expected, error.do) == (
        "a.nii.gz",
        "4 axes",
        "A volume has 3.",
        "Split it",
    )


@pytest.mark.parametrize("ending", [".", ":", "?"])
def test_a_line_that_ends_keeps_its_ending(ending: str) -> None:
    error = VolunetError("x", f"found{ending}", "Expected.", "Do.")
    assert str(error).splitlines()[0] == f"x: found{ending}"


@pytest.mark.parametrize(
    ("kind", "builtin", "status"),
    [
        (ShapeError, ValueError, 2),
        (VolumeError, ValueError, 2),
        (DatasetError, ValueError, 2),
        (ConfigError, ValueError, 2),
        (OutputError, OSError, 2),
        (EngineError, RuntimeError, 2),
        (ExportError, RuntimeError, 1),
    ],
)
def test_each_error_is_a_builtin_and_has_its_exit_status(
    kind: type[VolunetError], builtin: type[Exception], status: int
) -> None:
    error = kind("w", "f", "e", "d")
    assert isinstance(error, builtin)
    assert isinstance(error, VolunetError)
    assert error.exit_status == status
    assert str(error) == "w: f.\ne.\nd."


@pytest.mark.parametrize("kind", [VolumeError, OutputError, EngineError])
def test_an_error_crosses_processes(kind: type[VolunetError]) -> None:
    """A data loader's worker hands its error over as a pickle."""
    copy = pickle.loads(pickle.dumps(kind("w", "f", "e", "d")))  # noqa: S301  (our own bytes)
    assert type(copy) is kind
    assert str(copy) == "w: f.\ne.\nd."
