"""Flags that are several numbers: sizes such as 64x96x96, spacings such as 3,1,1."""

from __future__ import annotations

import math
import re
from typing import Final

from volunet.errors import ConfigError
from volunet.plan import Size3, Triple


def read_numbers(flag: str, text: str) -> tuple[int, ...]:
    """Whole numbers above 0, separated by commas or ``x``.

    Raises:
        ConfigError: The text is something else.

    Example:
        >>> read_numbers("--features", "16,32,64")
        (16, 32, 64)
    """
    parts = re.split(r"[,x×]", text)
    if not all(re.fullmatch(r"\s*[1-9]\d*\s*", part) for part in parts):
        raise ConfigError(
            flag, repr(text), "Whole numbers above 0.", "For instance 16,32,64 or 64x96x96."
        )
    return tuple(int(part) for part in parts)


def read_decimals(flag: str, text: str) -> tuple[float, ...] | float:
    """One number, or several that are separated by commas; which are allowed is not said here.

    Raises:
        ConfigError: The text is something else.

    Example:
        >>> read_decimals("--dropout", "0.2"), read_decimals("--dropout", "0,0.1")
        (0.2, (0.0, 0.1))
    """
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            flag, repr(text), "Numbers, separated by commas.", "For instance 0.2 or 0,0.1,0.2."
        ) from error
    return numbers if len(numbers) > 1 else numbers[0]


def read_size(flag: str, text: str) -> Size3:
    """A size in voxels, (D, H, W); one number stands for all axes.

    Raises:
        ConfigError: The text is something else.
    """
    numbers = read_numbers(flag, text)
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3:
        raise ConfigError(
            flag, repr(text), "One number or three, D×H×W in voxels.", "For instance 64x96x96."
        )
    return numbers[0], numbers[1], numbers[2]


def read_spacing(flag: str, text: str) -> Triple:
    """A voxel spacing in mm, (D, H, W); one number stands for all axes.

    Raises:
        ConfigError: The text is something else.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(0 < number < math.inf for number in numbers):
        raise ConfigError(
            flag, repr(text), "One number or three above 0, D,H,W in mm.", "For instance 3,1,1."
        )
    return numbers[0], numbers[1], numbers[2]


_UNITS: Final = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
                 "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip


def read_bytes(flag: str, text: str) -> int:
    """An amount of memory, with its unit.

    Raises:
        ConfigError: The text is something else.

    Example:
        >>> read_bytes("--memory", "4GB"), read_bytes("--memory", "1.5 GiB")
        (4000000000, 1610612736)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?b)\s*", text.lower())
    count = 0 if match is None else int(float(match[1]) * _UNITS[match[2]])
    if count < 1:
        raise ConfigError(
            flag,
            repr(text),
            "A number above 0 with a unit: MB, GB (powers of 1000) or MiB, GiB (of 1024).",
            "For instance 4GB.",
        )
    return count
