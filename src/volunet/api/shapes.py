"""`shapes`: one operator's output size, the formula behind it, and how to get another size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from volunet.errors import ConfigError
from volunet.graph.shapes.question import (
    AXIS_NAMES,
    FLAGS,
    AxisSetting,
    OperatorName,
    ShapeQuestion,
    check_question,
)
from volunet.graph.shapes.wanted import Wanted, plan_wanted

Padding = int | tuple[int, int]
"""Slices on both sides of an axis, or in front and behind."""

LARGEST: Final = 2**31 - 1
"""Largest number that is taken: more slices than any axis has, and still exact everywhere."""

_Number = TypeVar("_Number")


@dataclass(frozen=True)
class Shapes:
    """An operator's output size.

    Attributes:
        question: The operator, its settings, what comes out of them, formula and source.
        wanted: How the wanted size can be had; None where none was.
    """

    question: ShapeQuestion
    wanted: Wanted | None = None

    @property
    def output(self) -> tuple[int, ...]:
        """The output size."""
        return self.question.output

    def to_json(self) -> dict[str, Any]:
        """The answer as plain data."""
        wanted = None if self.wanted is None else self.wanted.to_json()
        return {**self.question.to_json(), "wanted": wanted}


def shapes(
    operator: str,
    input: int | Sequence[int],
    *,
    kernel: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Padding] | None = None,
    dilation: int | Sequence[int] | None = None,
    output_padding: int | Sequence[int] | None = None,
    ceil: bool = False,
    scale: float | Sequence[float] | None = None,
    size: int | Sequence[int] | None = None,
    want: int | Sequence[int] | None = None,
) -> Shapes:
    """Work out which size an operator answers; nothing is run.

    One number stands for all axes. What is not given is as in PyTorch.

    Args:
        operator: ``conv``, ``conv-transpose``, ``max-pool``, ``avg-pool`` or ``resize``.
        input: Spatial size, 1 to 3 axes, (D, H, W) for a volume.
        kernel: Taps; all but a resize need it.
        stride: Slices from one window to the next; 1, of a pooling the kernel.
        padding: Slices on both sides, or for each axis a number or (in front, behind); 0.
        dilation: Slices from one tap to the next; 1.
        output_padding: Slices added behind the output of a transposed convolution; 0.
        ceil: Whether a pooling rounds up.
        scale: Factors of a resize; either these or `size`.
        size: Size that a resize is asked for.
        want: A size to get: the answer then says which settings give it.

    Returns:
        The size with its formula, and what gives the wanted one.

    Raises:
        ConfigError: An operator, a flag or a number of numbers that there is not.
        ShapeError: Settings that PyTorch does not take, or of which nothing comes out.

    Source:
        The operators' pages, https://docs.pytorch.org/docs/stable/nn.html

    Example:
        >>> found = shapes("conv-transpose", (9, 9, 9), kernel=2, stride=2, want=20)
        >>> found.output, found.question.equation(0)
        ((18, 18, 18), '(9 − 1)·2 − 0 − 0 + 1·(2 − 1) + 0 + 1 = 18')
        >>> found.wanted.reachable, found.wanted.nearest[0].below.flags
        (False, '--output-padding 1')
    """
    name = _operator(operator)
    sizes = _listed(input)
    if len(sizes) not in AXIS_NAMES:
        raise ConfigError(
            f"--input {_text(sizes)}",
            f"{len(sizes)} axes",
            "The spatial size, 1 to 3 axes, without batch and channels.",
            "For instance --input 64,96,96.",
        )
    given = {
        "--kernel": kernel,
        "--stride": stride,
        "--padding": padding,
        "--dilation": dilation,
        "--output-padding": output_padding,
        "--ceil": ceil or None,
        "--scale": scale,
        "--size": size,
    }
    _check_flags(name, {flag for flag, value in given.items() if value is not None})
    rank = len(sizes)
    inputs = _each("--input", input, sizes)
    kernels = _each("--kernel", 1 if kernel is None else kernel, sizes)
    default = kernels if name in ("max-pool", "avg-pool") else (1,) * rank
    strides = default if stride is None else _each("--stride", stride, sizes)
    pads = _paddings(0 if padding is None else padding, sizes)
    dilations = _each("--dilation", 1 if dilation is None else dilation, sizes)
    behind = _each("--output-padding", output_padding or 0, sizes, least=0)
    scales = (None,) * rank if scale is None else _scales(scale, sizes)
    asked = (None,) * rank if size is None else _each("--size", size, sizes)
    question = ShapeQuestion(
        name,
        tuple(
            AxisSetting(
                inputs[i], kernels[i], strides[i], dilations[i], *pads[i], behind[i], ceil,
                scales[i], asked[i],
            )
            for i in range(rank)
        ),
    )  # fmt: skip
    wanted = None if want is None else _each("--want", want, sizes)
    check_question(question)
    return Shapes(question, None if wanted is None else plan_wanted(question, wanted))


def _operator(text: str) -> OperatorName:
    if text in FLAGS:
        return text
    close = get_close_matches(text.lower().replace("_", "-"), FLAGS, n=1, cutoff=0.5)
    raise ConfigError(
        f"operator {text!r}",
        f"unknown; did you mean {close[0]}?" if close else "unknown",
        f"One of {', '.join(FLAGS)}.",
        f"Write {close[0]}." if close else "Name one of these.",
    )


def _check_flags(operator: OperatorName, given: set[str]) -> None:
    """Check that an operator has the flags that are given, and is given those that it needs."""
    known = FLAGS[operator]
    others = sorted(given - set(known))
    if others:
        owners = [name for name, flags in FLAGS.items() if others[0] in flags]
        raise ConfigError(
            others[0],
            f"{operator} has no such setting; {', '.join(owners)} {_has(owners)}",
            f"{operator} takes {', '.join(known)}.",
            "Leave it out, or name another operator.",
        )
    if operator == "resize" and len(given) != 1:
        raise ConfigError(
            "resize",
            "both --scale and --size" if given else "neither --scale nor --size",
            "The one or the other says how large it gets.",
            "For instance --scale 2, or --size 64,64,32.",
        )
    if operator != "resize" and "--kernel" not in given:
        raise ConfigError(
            operator, "no --kernel", "A window has a size.", "For instance --kernel 3."
        )


def _has(owners: Sequence[str]) -> str:
    return "has it" if len(owners) == 1 else "have it"


def _each(
    flag: str, value: int | Sequence[int], sizes: tuple[int, ...], least: int = 1
) -> tuple[int, ...]:
    """A whole number for each axis."""
    numbers = _spread(flag, _listed(value), sizes)
    if not all(_is_whole(number, least) for number in numbers):
        raise _wrong(flag, _text(_listed(value)), f"Whole numbers from {least} to {LARGEST:,}.")
    return numbers


def _paddings(value: int | Sequence[Padding], sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Padding in front of and behind each axis."""
    listed: tuple[Padding, ...] = (value,) if isinstance(value, int) else tuple(value)
    each = _spread("--padding", listed, sizes)
    pairs = [pad if isinstance(pad, tuple) else (pad, pad) for pad in each]
    if not all(len(pair) == 2 and all(_is_whole(n, 0) for n in pair) for pair in pairs):
        expected = f"Whole numbers from 0 to {LARGEST:,}, or FRONT:BEHIND."
        raise _wrong("--padding", _text(listed), expected)
    return pairs


def _scales(value: float | Sequence[float], sizes: tuple[int, ...]) -> tuple[float, ...]:
    listed = _listed(value)
    numbers = tuple(float(number) for number in _spread("--scale", listed, sizes))
    if not all(0 < number <= LARGEST and math.isfinite(number) for number in numbers):
        raise _wrong("--scale", _text(listed), "Numbers above 0.")
    return numbers


def _is_whole(number: object, least: int) -> bool:
    return isinstance(number, int) and least <= number <= LARGEST


def _listed(value: _Number | Sequence[_Number]) -> tuple[_Number, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)


def _spread(flag: str, numbers: tuple[_Number, ...], sizes: tuple[int, ...]) -> tuple[_Number, ...]:
    """One number for each axis of the input; a single one is that of all axes."""
    if len(numbers) == 1:
        return numbers * len(sizes)
    if len(numbers) != len(sizes):
        raise ConfigError(
            f"{flag} {_text(numbers)}",
            f"{len(numbers)} numbers for {len(sizes)} {'axis' if len(sizes) == 1 else 'axes'} "
            f"(--input {_text(sizes)})",
            "One number for all axes, or one for each axis of --input.",
            "Give as many numbers as --input has, or one.",
        )
    return numbers


def _wrong(flag: str, text: str, expected: str) -> ConfigError:
    example = "2" if flag != "--padding" else "1, or 0:1 for none in front and 1 behind"
    return ConfigError(flag, text, expected, f"For instance {flag} {example}.")


def _text(numbers: Sequence[object]) -> str:
    """Numbers as they are typed, pairs as FRONT:BEHIND."""
    return ",".join(":".join(map(str, n)) if isinstance(n, tuple) else str(n) for n in numbers)
