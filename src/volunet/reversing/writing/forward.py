"""The statements of a ``forward``: expressions within one another where they are short."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from volunet.reversing.reading.layers import PLACE

_LONGEST_INNER: Final = 46
"""Characters of an expression that is still written within another."""

_NAMES: Final = ("x", "y", "z", "v", "w", "u", "t", "s", "r", "q", "p")


@dataclass(frozen=True)
class Operation:
    """One value that is computed.

    Attributes:
        template: Its expression, ``{0}`` … for what it reads.
        reads: The values that it reads.
        writes: The value that it makes.
        lines: Instead of an expression, statements that change the first value that is read into
            the one that is made, given the names of what is read.
    """

    template: str
    reads: tuple[str, ...]
    writes: str
    lines: Callable[[Sequence[str]], list[str]] | None = None


@dataclass
class _Statement:
    operation: Operation
    text: str
    reads: list[str] = field(default_factory=list)


def statements(
    operations: Sequence[Operation], inputs: Mapping[str, str], answers: Sequence[str]
) -> list[str]:
    """Write operations as statements.

    Args:
        operations: What is computed, in order.
        inputs: The names of the values that are given.
        answers: The values that are returned.

    Returns:
        Lines without margin; the last one returns.
    """
    made = _inlined(operations, answers)
    names = dict(inputs)
    lines: list[str] = []
    single = len(answers) == 1
    for index, statement in enumerate(made):
        later = {name for other in made[index + 1 :] for name in other.reads} | set(answers)
        operation = statement.operation
        text = _filled(statement, names)
        if operation.lines is not None:
            carried = names[operation.reads[0]]
            name = carried
            others = set(operation.reads[1:])
            if operation.reads[0] in later | others:
                name = _free(names, later | others, "")
                lines.append(f"{name} = {carried}")
            lines += operation.lines([name, *(names[value] for value in operation.reads[1:])])
            names[operation.writes] = name
            continue
        is_last = index == len(made) - 1
        if is_last and single and operation.writes == answers[0]:
            return [*lines, f"return {text}"]
        name = _free(names, later, "x")
        names[operation.writes] = name
        lines.append(f"{name} = {text}")
    return [*lines, f"return {', '.join(names[answer] for answer in answers)}"]


def _filled(statement: _Statement, names: Mapping[str, str]) -> str:
    """A statement's expression with the names of what it reads."""
    return _READ.sub(lambda match: names[statement.reads[int(match.group(1))]], statement.text)


_READ: Final = re.compile(r"\{=(\d+)\}")


def _free(names: Mapping[str, str], later: set[str], first: str) -> str:
    """A name that no value has that is still read."""
    taken = {name for value, name in names.items() if value in later}
    order = ([first] if first else []) + [name for name in _NAMES if name != first]
    free = next((name for name in order if name not in taken), None)
    if free is not None:
        return free
    number = 1
    while f"x{number}" in taken:
        number += 1
    return f"x{number}"


def _inlined(operations: Sequence[Operation], answers: Sequence[str]) -> list[_Statement]:
    """Operations as statements, those that only one reads within it where they are short."""
    uses: Counter[str] = Counter(answers)
    for operation in operations:
        if operation.lines is not None:
            uses.update(dict.fromkeys(operation.reads, 2))
            continue
        for place in PLACE.findall(operation.template):
            uses[operation.reads[int(place)]] += 1
    expressions: dict[str, _Statement] = {}
    made: list[_Statement] = []
    for operation in operations:
        statement = _Statement(operation, "", [])

        def fill(match: re.Match[str], o: Operation = operation, s: _Statement = statement) -> str:
            value = o.reads[int(match.group(1))]
            if value in expressions:
                inner = expressions.pop(value)
                offset = len(s.reads)
                s.reads += inner.reads
                text = re.sub(
                    r"\{=(\w+)\}", lambda m: f"{{={int(m.group(1)) + offset}}}", inner.text
                )
                return _closed(text, o.template, match)
            s.reads.append(value)
            return f"{{={len(s.reads) - 1}}}"

        if operation.lines is None:
            statement.text = PLACE.sub(fill, operation.template)
        else:
            statement.reads = list(operation.reads)
        short = len(re.sub(r"\{=\w+\}", "x", statement.text)) <= _LONGEST_INNER
        once = uses[operation.writes] == 1 and operation.writes not in answers
        if operation.lines is None and once and short:
            expressions[operation.writes] = statement
        else:
            made.append(statement)
    return made


def _closed(text: str, template: str, match: re.Match[str]) -> str:
    """An expression as part of another, in brackets where it must be."""
    compound = re.search(r" [-+*/%@&|<>=]+ |^[-~]| if ", _without_brackets(text)) is not None
    before = template[: match.start()]
    after = template[match.end() :]
    operand = bool(re.search(r"[-+*/%@&|<>=~] ?$", before)) or bool(
        re.match(r" [-+*/%@&|<>=]|\.|\[", after)
    )
    return f"({text})" if compound and operand else text


def _without_brackets(text: str) -> str:
    depth = 0
    outside = []
    for character in text:
        depth += (character in "([") - (character in ")]")
        if depth == 0:
            outside.append(character)
    return "".join(outside)
