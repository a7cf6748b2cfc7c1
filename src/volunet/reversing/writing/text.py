"""Lines of Python, broken the way formatters break them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Final

from volunet.reversing.reading.layers import split_arguments

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
    if not arguments or fits(margin + before + inner + after):
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
    start = opening(text)
    if fits(line) or start < 0 or text.startswith("("):
        return [line]
    clauses = text[start + 1 : -1].split(" for ")
    if len(clauses) > 1 and text[:start] in ("", "*"):
        margin = " " * indent
        inner = [clauses[0], *(f"for {clause}" for clause in clauses[1:])]
        return [
            margin + text[: start + 1],
            *(f"{margin}    {part}" for part in inner),
            margin + text[-1] + comma,
        ]
    parts = split_arguments(text[start + 1 : -1])
    if len(parts) == 1 and text[start] == "(" and not re.search(r"[\w)\]]$", text[:start]):
        return [line]  # brackets of a tuple, to which a comma matters, or of a sum
    return call_lines(text[: start + 1], parts, text[-1] + comma, indent)


def opening(text: str) -> int:
    """Where the bracket is opened that a text ends with; −1 where it ends otherwise."""
    depth = 0
    for index in range(len(text) - 1, -1, -1):
        depth += (text[index] in ")]}") - (text[index] in "([{")
        if depth <= 0:
            return index if depth == 0 and text[index] in "([{" else -1
    return -1


def spaced(line: str) -> str:
    """A statement with the spaces that formatters give to slices and powers.

    Source:
        https://docs.astral.sh/ruff/formatter/black/ (as in black: a colon is an operator of the
        lowest priority where a bound is more than a name or a number, and ``**`` one of the highest
        where both sides are no more)
    """
    while line.isascii():
        edits = [edit for edit in _edits(line) if line[edit[0] : edit[1]] != edit[2]]
        if not edits:
            break
        # One after the other, the innermost first: what it is part of changes along with it.
        start, end, text = max(edits, key=lambda edit: (edit[0], -edit[1]))
        line = line[:start] + text + line[end:]
    return line


def _edits(line: str) -> Iterator[tuple[int, int, str]]:
    """Where a statement's slices and powers are, and how they are written."""
    for node in ast.walk(ast.parse(line)):
        if isinstance(node, ast.Slice) and node.step is None:
            bounds = [bound for bound in (node.lower, node.upper) if bound is not None]
            if not all(map(_is_plain, bounds)):
                sides = (_segment(line, bound) for bound in (node.lower, node.upper))
                yield node.col_offset, node.end_col_offset or 0, " : ".join(sides).strip()
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            is_base = isinstance(node.left, ast.Name | ast.Constant)  # a sign needs its brackets
            if is_base and _is_plain(node.right):
                text = f"{_segment(line, node.left)}**{_segment(line, node.right)}"
                yield node.col_offset, node.end_col_offset or 0, text


def _segment(line: str, node: ast.expr | None) -> str:
    return "" if node is None else ast.get_source_segment(line, node) or ""


def _is_plain(bound: ast.expr) -> bool:
    if isinstance(bound, ast.UnaryOp):
        return isinstance(bound.operand, ast.Name | ast.Constant)
    return isinstance(bound, ast.Name | ast.Constant)


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
