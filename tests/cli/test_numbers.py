"""Flags that are several numbers, or one with a unit."""

from __future__ import annotations

import pytest

from volunet.cli.numbers import (
    read_bytes,
    read_decimals,
    read_numbers,
    read_size,
    read_spacing,
)
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


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0.2", 0.2), ("0,0.1, 1e-3", (0.0, 0.1, 0.001)), (" -1 ", -1.0), ("0", 0.0)],
)
def test_decimals(text, numbers):
    assert read_decimals("--dropout", text) == numbers


@pytest.mark.parametrize("text", ["", "0.1,", "a", "0.1;0.2", "0.1x0.2"])
def test_other_decimals_are_refused(text):
    with pytest.raises(ConfigError) as caught:
        read_decimals("--dropout", text)
    assert str(caught.value) == (
        f"--dropout: {text!r}.\nNumbers, separated by commas.\nFor instance 0.2 or 0,0.1,0.2."
    )


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


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("4GB", 4_000_000_000), ("1.5 GiB", 1_610_612_736), ("800mb", 800_000_000),
        (" 2 TB ", 2 * 10**12), ("512MiB", 2**29), ("64KiB", 65_536), ("0.001kB", 1),
    ],
)  # fmt: skip
def test_bytes(text, num_bytes):
    assert read_bytes("--memory", text) == num_bytes
    assert type(read_bytes("--memory", text)) is int


@pytest.mark.parametrize(
    "text",
    ["", "4", "lots", "-1GB", "0GB", "0.0001kB", "4G", "4 B", "GB", "1e3MB", "4,5GB", ".5GB",
     "1GBs", "infGB", "nan GB"],
)  # fmt: skip
def test_other_amounts_are_refused(text):
    with pytest.raises(ConfigError) as caught:
        read_bytes("--memory", text)
    assert str(caught.value) == (
        f"--memory: {text!r}.\nA number above 0 with a unit: MB, GB (powers of 1000) or MiB, GiB "
        "(of 1024).\nFor instance 4GB."
    )
