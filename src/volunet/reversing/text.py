"""Lines of Python, broken the way formatters break them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 100
"""Columns of a line."""


def call_lines(before: str, arguments: Sequence[str], after: str, indent: int) -> list[str]:
    """A call on one line, or with its arguments on the next, or each on a line of its own.

    Args:
        before: What stands in front of the arguments, the bracket included.
        arguments: The arguments.
        after: What stands behind them, the bracket included.
        indent: Columns in front of all.
    """
    margin = " " * indent
    inner = ", ".join(arguments)
    if fits(margin + before + inner + after):
        return [margin + before + inner + after]
    if fits(f"{margin}    {inner}"):
        return [margin + before, f"{margin}    {inner}", margin + after]
    comma = "" if len(arguments) == 1 and arguments[0].startswith("*") else ","
    lines = [margin + before]
    for argument in arguments:
        lines += _argument(argument, comma, indent + 4)
    return [*lines, margin + after]


def _argument(text: str, comma: str, indent: int) -> list[str]:
    """An argument on a line of its own, a call over several where it is too long."""
    line = " " * indent + text + comma
    start = text.find("(")
    if fits(line) or start < 0 or not text.endswith(")") or text.startswith("("):
        return [line]
    if text.startswith("*("):
        inner, _, over = text[2:-1].rpartition(" for ")
        margin = " " * indent
        return [
            f"{margin}*(",
            f"{margin}    {inner}",
            f"{margin}    for {over}",
            f"{margin}){comma}",
        ]
    return call_lines(text[: start + 1], split_arguments(text[start + 1 : -1]), ")" + comma, indent)


def split_arguments(text: str) -> list[str]:
    """The arguments of a call's text."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [part for part in (*parts, text[start:].strip()) if part]


def fits(line: str) -> bool:
    """Whether a line is short enough."""
    return len(line) <= WIDTH


def wrapped(text: str, indent: int) -> list[str]:
    """Words on lines."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) + 1 > WIDTH - indent:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return [" " * indent + line if line else "" for line in lines]


def docstring(text: str) -> list[str]:
    """A class' docstring, on as many lines as it takes."""
    if fits(f'    """{text}."""'):
        return [f'    """{text}."""']
    first, *rest = text.split(" → ")
    lines = [first] + [f"→ {part}" for part in rest]
    lines[-1] += "."
    short = [line for given in lines for line in wrapped(given, 4)]
    short[0] = '    """' + short[0].strip()
    return [*short, '    """']
