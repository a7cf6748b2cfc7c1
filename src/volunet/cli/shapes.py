"""``volunet shapes``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from volunet.cli.json_output import JsonOption, check_json_target, write_json
from volunet.cli.numbers import read_numbers
from volunet.errors import ConfigError

if TYPE_CHECKING:
    from volunet.api.shapes import Padding, Shapes
    from volunet.graph.shapes.question import ShapeQuestion
    from volunet.graph.shapes.wanted import Nearest, Suggestion, Wanted


def shapes(
    operator: Annotated[
        str, typer.Argument(help="conv, conv-transpose, max-pool, avg-pool or resize.")
    ],
    input_size: Annotated[
        str, typer.Option("--input", help="Spatial size, 1 to 3 axes, such as 9,9,9 or 64x96x96.")
    ],
    kernel: Annotated[str | None, typer.Option(help="Taps, one number or one an axis.")] = None,
    stride: Annotated[
        str | None, typer.Option(help="Default 1; of a pooling its kernel.", show_default=False)
    ] = None,
    padding: Annotated[
        str | None, typer.Option(help="Default 0; FRONT:BEHIND where they differ.")
    ] = None,
    dilation: Annotated[str | None, typer.Option(help="Default 1.")] = None,
    output_padding: Annotated[
        str | None, typer.Option(help="Default 0; of conv-transpose.")
    ] = None,
    ceil: Annotated[bool, typer.Option(help="Whether a pooling rounds up.")] = False,
    scale: Annotated[str | None, typer.Option(help="Factor of a resize, such as 1.5.")] = None,
    size: Annotated[str | None, typer.Option(help="Size that a resize is asked for.")] = None,
    want: Annotated[
        str | None, typer.Option(help="A size to get: say which settings give it.")
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Show one operator's output size and its formula, and which settings give a wanted size.

    Exit status 1 if no setting gives the wanted size.
    """
    from volunet.api.shapes import shapes as work_out

    to_stdout = check_json_target(json_file)
    answer = work_out(
        operator,
        read_numbers("--input", input_size),
        kernel=_numbers("--kernel", kernel),
        stride=_numbers("--stride", stride),
        padding=None if padding is None else read_paddings("--padding", padding),
        dilation=_numbers("--dilation", dilation),
        output_padding=None if output_padding is None else read_counts(output_padding),
        ceil=ceil,
        scale=None if scale is None else read_scales("--scale", scale),
        size=_numbers("--size", size),
        want=_numbers("--want", want),
    )
    if not to_stdout:
        for line in answer_lines(answer):
            typer.echo(line)
    write_json(json_file, answer.to_json())
    if answer.wanted is not None and not answer.wanted.reachable:
        raise typer.Exit(1)


def read_paddings(flag: str, text: str) -> tuple[Padding, ...]:
    """Whole numbers from 0 up, or pairs of them for front and behind.

    Raises:
        ConfigError: The text is something else.

    Example:
        >>> read_paddings("--padding", "0:1,2")
        ((0, 1), 2)
    """
    parts = [part.strip() for part in re.split(r"[,x×]", text)]
    if not all(re.fullmatch(r"\d{1,18}(:\d{1,18})?", part) for part in parts):
        raise ConfigError(
            flag,
            repr(text),
            "Whole numbers from 0 up, or FRONT:BEHIND.",
            "For instance 1, or 0:1,1,1 for three axes of which the first has none in front.",
        )
    pairs = (tuple(int(number) for number in part.split(":")) for part in parts)
    return tuple((pair[0], pair[1]) if len(pair) == 2 else pair[0] for pair in pairs)


def read_counts(text: str) -> tuple[int, ...]:
    """Output paddings: whole numbers from 0 up.

    Raises:
        ConfigError: The text is something else.
    """
    parts = [part.strip() for part in re.split(r"[,x×]", text)]
    if not all(re.fullmatch(r"\d{1,18}", part) for part in parts):
        raise ConfigError(
            "--output-padding", repr(text), "Whole numbers from 0 up.", "For instance 1 or 1,0,0."
        )
    return tuple(int(part) for part in parts)


def read_scales(flag: str, text: str) -> tuple[float, ...]:
    """Numbers above 0.

    Raises:
        ConfigError: The text is something else.
    """
    parts = [part.strip() for part in re.split(r"[,x×]", text)]
    if not all(re.fullmatch(r"\d{1,18}(\.\d*)?|\.\d+", part) for part in parts):
        raise ConfigError(flag, repr(text), "Numbers above 0.", "For instance 2, 1.5 or 2,2,1.")
    return tuple(float(part) for part in parts)


def answer_lines(answer: Shapes) -> Iterator[str]:
    """What is printed: the sizes, the formula, the formula with numbers, the source."""
    question = answer.question
    yield f"{_sizes([axis.input for axis in question.axes])} → {_sizes(question.output)}"
    if question.flags == ("--size",):
        yield "The size that is asked for, whatever the input's."
    else:
        yield question.formula
        yield from _equations(question)
    yield from question.notes
    yield question.source
    if answer.wanted is not None:
        yield ""
        yield from _wanted_lines(question, answer.wanted)


def _equations(question: ShapeQuestion) -> Iterator[str]:
    places: dict[str, list[int]] = {}
    for index in range(len(question.axes)):
        places.setdefault(question.equation(index), []).append(index)
    for equation, indices in places.items():
        yield f"{equation}   {_axes(question, indices)}".rstrip()


def _axes(question: ShapeQuestion, indices: list[int]) -> str:
    """Some axes, by their names; nothing where there is but one."""
    if len(question.axes) == 1:
        return ""
    if len(indices) == len(question.axes):
        return "each axis"
    names = ", ".join(question.names[index] for index in indices)
    return f"axis {names}" if len(indices) == 1 else f"axes {names}"


def _wanted_lines(question: ShapeQuestion, wanted: Wanted) -> Iterator[str]:
    from volunet.graph.shapes.question import FLAGS

    if wanted.is_output:
        yield f"{_sizes(wanted.size)} is what comes out already."
        return
    if wanted.suggestions:
        yield f"To get {_sizes(wanted.size)}, all else kept, one of:"
        for suggestion in wanted.suggestions:
            note = f"   ({suggestion.note})" if suggestion.note else ""
            yield f"  {suggestion.flags}{note}"
        if wanted.more:
            yield f"  and {wanted.more:,} more"
        return
    tried = [flag for flag in FLAGS[question.operator] if flag not in ("--kernel", "--dilation")]
    flags = f"{', '.join(tried[:-1])} or {tried[-1]}"
    yield f"No {flags} gives {_sizes(wanted.size)}, all else kept. The nearest:"
    for nearest in wanted.nearest:
        axes = _axes(question, list(nearest.axes))
        sides = (
            _nearest("below", nearest.below, nearest),
            _nearest("above", nearest.above, nearest),
        )
        yield f"  {'; '.join(sides)}{'   ' if axes else ''}{axes}"


def _nearest(side: str, suggestion: Suggestion | None, nearest: Nearest) -> str:
    if suggestion is None:
        return f"none {side}"
    size = suggestion.question.output[nearest.axes[0]]
    note = f" ({suggestion.note})" if suggestion.note else ""
    return f"{size} {side}: {suggestion.flags or 'as it is'}{note}"


def _numbers(flag: str, text: str | None) -> tuple[int, ...] | None:
    return None if text is None else read_numbers(flag, text)


def _sizes(sizes: list[int] | tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))
