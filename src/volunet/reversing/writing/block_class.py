"""The class of a block: its constructor and, unless it is a plain sequence, its ``forward``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from volunet.graph.tensors import Shape
from volunet.reversing.reading.layers import PLACE, LayerForm, split_arguments
from volunet.reversing.structure.grammar import BlockForm, Form, RepeatForm
from volunet.reversing.structure.parameters import Parameters
from volunet.reversing.writing.describing import describe
from volunet.reversing.writing.forward import Operation, statements
from volunet.reversing.writing.modules import (
    Classes,
    Element,
    Layouts,
    body_elements,
    constructor,
    elements,
    sequence_lines,
)
from volunet.reversing.writing.naming import attribute_name, chain_name, numbered
from volunet.reversing.writing.text import WIDTH, call_lines, docstring, opening, spaced

Group = list[int]
"""Steps of a block that are written together: one, or modules in a row."""

_NOT_ARGUMENTS: Final = re.compile(r"True|False|None|float\(\"-?inf\"\)")
"""Words in a slot's text that are values of their own."""


def block_lines(
    form: Form, classes: Classes, layouts: Layouts, shapes: Mapping[str, Shape | None]
) -> list[str]:
    """The lines of a block's class."""
    parameters = classes.parameters(form)
    name = classes.names[form]
    doc = describe(form, classes, shapes)
    if isinstance(form, RepeatForm) or (
        isinstance(form, BlockForm) and _is_sequence(form, classes)
    ):
        head = [f"class {name}(nn.Sequential):", *docstring(doc), ""]
        head += _signature(parameters)
        found = body_elements(form, parameters.texts, classes)
        return [*head, *sequence_lines(found, "super().__init__(", ")", 8)]
    if not isinstance(form, BlockForm):
        raise TypeError(f"{form} is no block")
    groups = _groups(form, classes)
    lines = [f"class {name}(nn.Module):", *docstring(doc), ""]
    lines += [*_signature(parameters), "        super().__init__()"]
    operations, attributes, more = _operations(form, groups, parameters.texts, classes)
    layouts.attributes[form] = attributes
    arguments = _input_names(form)
    inputs = {str(-1 - index): name for index, name in enumerate(arguments)}
    given = ", ".join(f"{argument}: Tensor" for argument in arguments)
    lines += [*more, "", f"    def forward(self, {given}) -> Tensor:"]
    body = statements(operations, inputs, [str(len(form.steps) - 1)])
    return [*lines, *method_lines(body)]


def method_lines(statements: Sequence[str]) -> list[str]:
    """Statements as the lines of a method; calls that are too long over several lines."""
    return [line for statement in statements for line in _method_lines(statement)]


def _method_lines(statement: str) -> list[str]:
    if re.search(r"\[|\*\*", statement) and not statement.endswith(":"):
        indented = statement[: len(statement) - len(statement.lstrip())]
        statement = indented + spaced(statement.lstrip())
    line = " " * 8 + statement
    start = opening(line)
    if len(line) <= WIDTH or not re.search(r"[\w)]$", line[: max(start, 0)]):
        return [line]  # short, or neither a call nor an index
    indent = len(line) - len(line.lstrip())
    arguments = split_arguments(line[start + 1 : -1])
    return call_lines(line[indent : start + 1], arguments, line[-1], indent)


def _is_sequence(form: BlockForm, classes: Classes) -> bool:
    return form.is_chain and all(classes.is_module(step.form) for step in form.steps)


def _signature(parameters: Parameters) -> list[str]:
    given = [f"{p.name}: {p.type}" for p in parameters.arguments]
    return call_lines("def __init__(", ["self", *given], ") -> None:", 4)


def _groups(form: BlockForm, classes: Classes) -> list[Group]:
    """The steps of a block: modules in a row together, each other one alone."""
    readers: Counter[int] = Counter(i for step in form.steps for i in set(step.inputs))
    groups: list[Group] = []
    for index, step in enumerate(form.steps):
        place = step.inputs[0] if len(step.inputs) == 1 else -1
        tail = next((g for g in groups if g[-1] == place), None)
        joins = (
            place >= 0
            and readers[place] == 1
            and classes.is_module(step.form)
            and classes.is_module(form.steps[place].form)
            and tail is not None
        )
        if joins and tail is not None:
            tail.append(index)
        else:
            groups.append([index])
    return sorted(groups, key=lambda group: group[-1])


def _operations(
    form: BlockForm, groups: Sequence[Group], texts: Sequence[str], classes: Classes
) -> tuple[list[Operation], list[tuple[str, list[int]]], list[str]]:
    """What a block computes, its attributes, and the lines that make them."""
    offsets = classes.scalars.offsets(form)
    operations: list[Operation] = []
    attributes: list[tuple[str, list[int]]] = []
    lines: list[str] = []
    used: set[str] = {"training", "forward"}
    for group in groups:
        first, last = form.steps[group[0]], group[-1]
        reads = tuple(str(value) for value in first.inputs)
        own = [texts[offsets[index] : offsets[index + 1]] for index in group]
        if len(group) == 1 and isinstance(first.form, LayerForm):
            stored, kept = _stored(first.form, own[0], used)
            lines += kept
            template, needs = layer_template(first.form, stored)
            if not needs:
                operations.append(Operation(template, reads, str(last)))
                continue
            name = numbered(attribute_name(first.form, classes.names), used)
            made = constructor(first.form, own[0], classes)
            start = made.index("(")
            before = f"self.{name} = {made[: start + 1]}"
            lines += call_lines(before, split_arguments(made[start + 1 : -1]), ")", 8)
            template = template.replace("{module}", f"self.{name}")
        elif len(group) == 1 and first.form in classes.names:
            name = numbered(attribute_name(first.form, classes.names), used)
            made = constructor(first.form, own[0], classes)
            start = made.index("(")
            lines += call_lines(
                f"self.{name} = {made[: start + 1]}", split_arguments(made[start + 1 : -1]), ")", 8
            )
            template = f"self.{name}({', '.join(f'{{{i}}}' for i in range(len(reads)))})"
        else:
            forms = [form.steps[index].form for index in group]
            name = numbered(chain_name(forms, classes.names), used)
            found: list[Element] = []
            for index, own_texts in zip(group, own, strict=True):
                found += elements(form.steps[index].form, own_texts, classes)
            lines += sequence_lines(found, f"self.{name} = nn.Sequential(", ")", 8)
            template = f"self.{name}({{0}})"
        attributes.append((name, list(group)))
        operations.append(Operation(template, reads, str(last)))
    return operations, attributes, lines


def _stored(form: LayerForm, texts: Sequence[str], used: set[str]) -> tuple[list[str], list[str]]:
    """Texts for a call in ``forward``, and lines that keep the arguments that stand in it."""
    stored, lines = [], []
    for index, text in enumerate(texts):
        if not form.in_call(index) or not re.search(r"[a-z_]{2,}", _NOT_ARGUMENTS.sub("", text)):
            stored.append(text)
            continue
        name = text if text.isidentifier() else form.slot_name(index) or "size"
        line = f"        self.{name} = {text}"
        if line not in lines:
            while name in used:
                name += "_"
            used.add(name)
            line = f"        self.{name} = {text}"
            lines.append(line)
        stored.append(f"self.{name}")
    return stored, lines


def layer_template(form: LayerForm, texts: Sequence[str]) -> tuple[str, bool]:
    """A layer's expression, and whether it needs an attribute for its module."""
    call = replace(form, call=form.function, function="") if form.function else form
    count = 1 + max(map(int, PLACE.findall(call.call)), default=-1)
    places = [f"{{{index}}}" for index in range(count)]
    return call.text("{module}", places, texts), call is form and form.module != ""


def _input_names(form: BlockForm) -> list[str]:
    """Names for the inputs of a block."""
    names = ("x", "skip", "other")
    return [names[index] if index < 3 else f"other{index}" for index in range(form.arity)]
