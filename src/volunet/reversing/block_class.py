"""The class of a block: its constructor and, unless it is a plain sequence, its ``forward``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from volunet.reversing.describing import describe
from volunet.reversing.forward import Operation, statements
from volunet.reversing.grammar import BlockForm, Form, RepeatForm, Step
from volunet.reversing.layers import LayerForm
from volunet.reversing.modules import (
    Classes,
    Element,
    Layouts,
    body_elements,
    constructor,
    elements,
    sequence_lines,
)
from volunet.reversing.naming import attribute_name, chain_name, numbered
from volunet.reversing.parameters import Parameters
from volunet.reversing.text import WIDTH, call_lines, docstring, split_arguments

Group = list[int]
"""Steps of a block that are written together: one, or modules in a row."""


def block_lines(form: Form, classes: Classes, layouts: Layouts, shapes: object) -> list[str]:
    """The lines of a block's class."""
    parameters = classes.parameters(form)
    name = classes.names[form]
    step = classes.scalars.instances[form][0]
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
    arguments = _input_names(form, step)
    inputs = {str(-1 - index): name for index, name in enumerate(arguments)}
    given = ", ".join(f"{argument}: Tensor" for argument in arguments)
    lines += [*more, "", f"    def forward(self, {given}) -> Tensor:"]
    body = statements(operations, inputs, [str(len(form.steps) - 1)])
    return [*lines, *(f"        {line}" for line in broken(body))]


def broken(lines: Sequence[str]) -> list[str]:
    """Statements that are too long, in brackets over several lines."""
    answer: list[str] = []
    for line in lines:
        answer += _broken(line)
    return answer


def _broken(line: str) -> list[str]:
    if len(line) + 8 <= WIDTH or "(" not in line:
        return [line]
    start = line.index("(")
    if not line.endswith(")"):
        return [line]
    return call_lines(line[: start + 1], split_arguments(line[start + 1 : -1]), ")", 0)


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


_NOT_ARGUMENTS = re.compile(r"True|False|None|float\(\"-?inf\"\)")


def layer_template(form: LayerForm, texts: Sequence[str]) -> tuple[str, bool]:
    """A layer's expression, and whether it needs an attribute for its module."""
    if form.function:
        places = [f"{{{index}}}" for index in range(10)]
        from dataclasses import replace

        plain = replace(form, call=form.function, function="")
        return plain.text("{module}", places, texts), False
    places = [f"{{{index}}}" for index in range(10)]
    return form.text("{module}", places, texts), form.module != ""


def _input_names(form: BlockForm, step: Step) -> list[str]:
    """Names for the inputs of a block."""
    names = ["x"]
    for index in range(1, form.arity):
        names.append("skip" if index == 1 else f"other{index}" if index > 2 else "other")
    return names[: form.arity]
