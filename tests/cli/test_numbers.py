"""Flags that are several numbers."""

from __future__ import annotations

import pytest

from volunet.cli.numbers import read_numbers, read_size, read_spacing
from volunet.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("16,32,64", (16, 32, 64)), ("64x96x96", (64, 96, 96)), ("8×9", (8, 9)), (" 7 , 10", (7, 10))],
)
def test_numbers(text, numbers):
    assert read_numbers("--features", text) == numbers


@pytest.mark.parametrize("text", ["", "16,", "0", "1,0", "-3", "1.5", "a", "16 32", "08", "1;2"])
def test_other_texts_are_refused(text):
    with pytest.raises(ConfigError, match=r"--features: '.*'\.\nWhole numbers above 0\.\nFor inst"):
        read_numbers("--features", text)


def test_sizes():
    assert read_size("--patch-size", "64x96x80") == (64, 96, 80)
    assert read_size("--patch-size", "32") == (32, 32, 32)
    with pytest.raises(ConfigError, match=r"--patch-size: '64,96'\.\nOne number or three, D×H×W"):
        read_size("--patch-size", "64,96")


@pytest.mark.parametrize(
    ("text", "spacing"),
    [("3,1,0.5", (3.0, 1.0, 0.5)), ("2", (2.0, 2.0, 2.0)), ("1e-1, 1, 1", (0.1, 1.0, 1.0))],
)
def test_spacings(text, spacing):
    assert read_spacing("--spacing-mm", text) == spacing


@pytest.mark.parametrize(
    "text", ["", "1,1", "1,1,1,1", "0,1,1", "1,-1,1", "a,1,1", "1,nan,1", "nan", "inf,1,1", "3x1x1"]
)
def test_other_spacings_are_refused(text):
    message = r"--spacing-mm: '.*'\.\nOne number or three above 0, D,H,W in mm\.\nFor instance"
    with pytest.raises(ConfigError, match=message):
        read_spacing("--spacing-mm", text)
