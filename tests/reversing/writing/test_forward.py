"""Statements compute what the operations say, in names that do not take one another's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunet.reversing.writing.forward import Operation, statements


def op(template: str, reads: str, writes: str) -> Operation:
    return Operation(template, tuple(reads.split()), writes)


def run(lines: Sequence[str], **names: Any) -> Any:
    """The answer of statements as a function of its inputs."""
    space: dict[str, Any] = {}
    body = "\n".join(f"    {line}" for line in lines)
    exec(f"def forward({', '.join(names)}):\n{body}", {"f": f, "ups": UPS}, space)  # noqa: S102 - our own text
    return space["forward"](**names)


def f(*values: Any) -> Any:
    return ("f", *values)


def _up(number: int) -> Callable[..., Any]:
    return lambda *values: (number, *values)


UPS = [_up(number) for number in range(3)]


def test_short_expressions_stand_within_one_another() -> None:
    operations = [op("F.relu({0})", "x", "a"), op("{0} + {1}", "a x", "b"), op("f({0})", "b", "y")]
    assert statements(operations, {"x": "x"}, ["y"]) == ["return f(F.relu(x) + x)"]


def test_what_is_read_twice_has_a_name() -> None:
    operations = [op("f({0})", "x", "a"), op("{0} + {1}", "a a", "y")]
    assert statements(operations, {"x": "x"}, ["y"]) == ["x = f(x)", "return x + x"]


def test_a_name_that_is_still_read_is_not_taken() -> None:
    operations = [
        op("f({0})", "x", "a"),
        op("f({0}, {1})", "a a", "b"),
        op("f({0}, {1}, {2}, {3})", "b b a x", "y"),
    ]
    assert statements(operations, {"x": "x"}, ["y"]) == [
        "y = f(x)",
        "z = f(y, y)",
        "return f(z, z, y, x)",
    ]


def test_long_expressions_have_lines_of_their_own() -> None:
    for digits, lines in [
        (40, [f"return f(f(x, {'1' * 40}))"]),
        (41, [f"x = f(x, {'1' * 41})", "return f(x)"]),
    ]:
        operations = [op(f"f({{0}}, {'1' * digits})", "x", "a"), op("f({0})", "a", "y")]
        assert statements(operations, {"x": "x"}, ["y"]) == lines


def test_several_answers_are_returned_by_name() -> None:
    operations = [op("f({0})", "x", "a"), op("f({0}, 2)", "a", "b")]
    assert statements(operations, {"x": "x"}, ["a", "b", "x"]) == [
        "y = f(x)",
        "z = f(y, 2)",
        "return y, z, x",
    ]
    assert statements(operations, {"x": "x"}, ["x"])[-1] == "return x"


def test_many_values_at_once_have_numbered_names() -> None:
    operations = [op(f"f({{0}}, {index})", "x", f"t{index}") for index in range(13)]
    answers = [operation.writes for operation in operations]
    lines = statements(operations, {"x": "x"}, [*answers, "x"])
    assert [line.split(" = ")[0] for line in lines[:-1]] == [*"yzvwutsrqp", "x1", "x2", "x3"]


@pytest.mark.parametrize(
    ("inner", "outer", "line"),
    [
        ("{0} + 1", "{0} * 2", "(x + 1) * 2"),
        ("{0} + 1", "f({0})", "f(x + 1)"),
        ("{0} + 1", "{0}.reshape(1)", "(x + 1).reshape(1)"),
        ("{0} + 1", "{0}[1:]", "(x + 1)[1:]"),
        ("{0} + 1", "-{0}", "-(x + 1)"),
        ("-{0}", "{0} ** 2", "(-x) ** 2"),
        ("-{0}", "{0}.shape", "(-x).shape"),
        ("~{0}", "{0}.to(torch.float32)", "(~x).to(torch.float32)"),
        ("f({0} + 1)", "{0} * 2", "f(x + 1) * 2"),
        ("{0}[:, 1 : 2]", "{0} * 2", "x[:, 1 : 2] * 2"),
        ("{0} < 3", "~{0}", "~(x < 3)"),
        ("{0} if True else 1", "{0} + 2", "(x if True else 1) + 2"),
        ("{0}.abs()", "2 * {0}", "2 * x.abs()"),
    ],
)
def test_brackets_stand_where_they_must(inner: str, outer: str, line: str) -> None:
    operations = [op(inner, "x", "a"), op(outer, "a", "y")]
    assert statements(operations, {"x": "x"}, ["y"]) == [f"return {line}"]


def loop(reads: str, writes: str) -> Operation:
    """A loop over `ups`, which reads the values behind the first in each turn."""

    def lines(names: Sequence[str]) -> list[str]:
        return ["for up in ups:", f"    {names[0]} = up({', '.join(names)})"]

    return Operation("", tuple(reads.split()), writes, lines)


def turns(x: Any, *others: Any) -> Any:
    for up in UPS:
        x = up(x, *others)
    return x


@pytest.mark.parametrize(
    ("operations", "answers", "lines", "answer"),
    [
        ([loop("x", "a"), op("f({0})", "a", "y")], ["y"],
         ["for up in ups:", "    x = up(x)", "return f(x)"], f(turns(1))),
        ([loop("x", "a"), op("f({0}, {1})", "a x", "y")], ["y"],
         ["y = x", "for up in ups:", "    y = up(y)", "return f(y, x)"], f(turns(1), 1)),
        ([loop("x x", "a")], ["a"],
         ["y = x", "for up in ups:", "    y = up(y, x)", "return y"], turns(1, 1)),
        ([op("f({0})", "x", "a"), op("f({0}, {0})", "a", "b"), op("f({0}, {0}, {0})", "a", "c"),
          loop("b c", "d"), op("f({0}, {1})", "d b", "y")], ["y"],
         ["x = f(x)", "y = f(x, x)", "x = f(x, x, x)", "z = y", "for up in ups:",
          "    z = up(z, x)", "return f(z, y)"],
         f(turns(f(f(1), f(1)), f(f(1), f(1), f(1))), f(f(1), f(1)))),
    ],
    ids=["carried on", "kept", "beside itself", "beside another that ends"],
)  # fmt: skip
def test_a_loop_changes_a_name_that_nothing_else_reads(
    operations: list[Operation], answers: list[str], lines: list[str], answer: Any
) -> None:
    found = statements(operations, {"x": "x"}, answers)
    assert found == lines
    assert run(found, x=1) == answer


TEMPLATES = st.sampled_from(
    [
        "{0}", "-{0}", "~{0}", "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} - 3 * {1}", "3 & {0}",
        "max({0}, {1})", "abs({0})", "({0}, {1})[0]", "[{1}, {0}][{0} % 2]", "{0} % 7 - {1} % 5",
        "({0}).conjugate()", "{0}.real", "{0} if {1} < {0} else {1}", "{0} // 3",
    ]
)  # fmt: skip

REPLACED = {"{0}.real": "({0}).real", "{0} if {1} < {0} else {1}": "max({0}, {1})"}


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(TEMPLATES, st.integers(0, 999), st.integers(0, 999), st.booleans()), max_size=25
    ),
    st.lists(st.integers(0, 999), min_size=1, max_size=3),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
)
def test_statements_compute_what_operations_do(
    drawn: list[tuple[str, int, int, bool]], answers: list[int], given_numbers: tuple[int, int]
) -> None:
    """Whole numbers stand for tensors; loops add up, as the network's loops carry on a value."""
    names = ["x", "x2"]
    values: dict[str, int] = dict(zip(names, given_numbers, strict=True))
    operations = []
    for index, (template, a, b, is_loop) in enumerate(drawn):
        reads = (names[a % len(names)], names[b % len(names)])
        x, y = (values[name] % 100_000 for name in reads)
        writes = f"t{index}"
        reads_limited = tuple(f"m{index}{place}" for place in "ab")
        for name, read in zip(reads_limited, reads, strict=True):
            operations.append(Operation("{0} % 100000", (read,), name))
        if is_loop:
            operations.append(Operation("", reads_limited, writes, _adding))
            values[writes] = x + 3 * y
        else:
            operations.append(Operation(template, reads_limited, writes))
            text = REPLACED.get(template, template).replace("{0}", f"({x})")
            values[writes] = eval(text.replace("{1}", f"({y})"))  # noqa: S307 - our own text
        names.append(writes)
    wanted = [names[-1 - number % len(names)] for number in answers]
    lines = statements(operations, {"x": "x", "x2": "x2"}, wanted)
    answer = run(lines, x=given_numbers[0], x2=given_numbers[1])
    assert (list(answer) if len(wanted) > 1 else [answer]) == [values[name] for name in wanted]


def _adding(names: Sequence[str]) -> list[str]:
    return ["for _ in range(3):", f"    {names[0]} = {names[0]} + {names[1]}"]


def test_operations_are_not_computed_twice() -> None:
    """Each template stands in the statements exactly once."""
    operations = [op(f"f({{0}}, {index})", f"t{index}", f"t{index + 1}") for index in range(40)]
    lines = "\n".join(statements(operations, {"t0": "x"}, ["t40"]))
    assert [lines.count(f", {index})") for index in range(40)] == [1] * 40
    makers: Callable[..., Any] = f
    expected: Any = 1
    for index in range(40):
        expected = makers(expected, index)
    assert run(lines.splitlines(), x=1) == expected
