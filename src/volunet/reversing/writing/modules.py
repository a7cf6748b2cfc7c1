"""Constructors of modules as text, sequences of them, and the paths of their parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from volunet.reversing.reading.layers import Layer, LayerForm
from volunet.reversing.reading.pytorch import DEFAULTS, POSITIONAL, without_dimensions
from volunet.reversing.structure.grammar import BlockForm, Form, RepeatForm, Step
from volunet.reversing.structure.parameters import Parameters, literal, parameters_of
from volunet.reversing.structure.repeats import Pattern
from volunet.reversing.structure.scalars import Scalars
from volunet.reversing.writing.text import call_lines


@dataclass
class Classes:
    """The classes of a network: their names, and the arguments of each.

    Attributes:
        scalars: The scalars of all forms.
        names: The name of each form that is a class.
    """

    scalars: Scalars
    names: dict[Form, str] = field(default_factory=dict)
    _parameters: dict[Form, Parameters] = field(default_factory=dict)

    def parameters(self, form: Form) -> Parameters:
        """The arguments of a class."""
        if form not in self._parameters:
            self._parameters[form] = parameters_of(form, self.scalars)
        return self._parameters[form]

    def is_module(self, form: Form) -> bool:
        """Whether a form is a module of one input, which can stand in a sequence."""
        if isinstance(form, LayerForm):
            return form.is_module
        return isinstance(form, RepeatForm) or form.arity == 1


@dataclass(frozen=True)
class Element:
    """One or several modules in a sequence.

    Attributes:
        text: Its constructor; of several, a starred generator.
        loop: Lines that append the modules to a list ``layers`` instead, without margin.
    """

    text: str = ""
    loop: tuple[str, ...] = ()


def constructor(form: Form, texts: Sequence[str], classes: Classes) -> str:
    """The constructor of a module.

    Args:
        form: A layer or a class.
        texts: Its scalars as texts.
        classes: The classes.
    """
    if form in classes.names:
        arguments = [texts[p.index] for p in classes.parameters(form).arguments]
        return f"{classes.names[form]}({', '.join(arguments)})"
    if isinstance(form, LayerForm):
        return _layer(form, texts)
    inner = ", ".join(element.text for element in elements(form, texts, classes))
    return f"nn.Sequential({inner})"


def _layer(form: LayerForm, texts: Sequence[str]) -> str:
    kind = without_dimensions(form.module)
    positional = POSITIONAL.get(kind, ())
    defaults = DEFAULTS.get(kind, {})
    arguments = []
    for name, text in zip(form.arguments, texts, strict=False):
        if name in defaults and text == literal(defaults[name]):
            continue
        if name == "stride" and "Pool" in kind and text == "None":
            continue
        by_place = name in positional or name.startswith("argument_")
        arguments.append(text if by_place else f"{name}={text}")
    if form.words:
        arguments.append(form.words)
    if form.module == "nn.Parameter":
        return f"nn.Parameter(torch.zeros({', '.join(arguments)}))"
    return f"{form.module}({', '.join(arguments)})"


def elements(form: Form, texts: Sequence[str], classes: Classes) -> list[Element]:
    """The modules of a chain."""
    if isinstance(form, RepeatForm) and form not in classes.names:
        return [_repeat(form, texts, classes)]
    if isinstance(form, BlockForm) and form not in classes.names:
        return body_elements(form, texts, classes)
    return [Element(constructor(form, texts, classes))]


def body_elements(form: Form, texts: Sequence[str], classes: Classes) -> list[Element]:
    """The modules of a chain that is a class itself."""
    if isinstance(form, RepeatForm):
        return [_repeat(form, texts, classes)]
    if isinstance(form, LayerForm):
        return [Element(constructor(form, texts, classes))]
    offsets = classes.scalars.offsets(form)
    return [
        element
        for index, step in enumerate(form.steps)
        for element in elements(step.form, texts[offsets[index] : offsets[index + 1]], classes)
    ]


def _repeat(form: RepeatForm, texts: Sequence[str], classes: Classes) -> Element:
    """A block several times: a generator, or a loop where it is several modules."""
    loop = _Loop(form, texts, classes)
    inner = [element.text for element in elements(form.body, loop.body, classes)]
    over = loop.over(inner)
    if len(inner) == 1:
        return Element(f"*({inner[0]} for {over})")
    # In a constructor, whose lines begin at 8: the loop's own are at 12.
    lines = [f"for {over}:", *(x[8:] for x in call_lines("layers += [", inner, "]", 12))]
    return Element(loop=tuple(lines))


_VARIABLES: Final = {"in_channels": "inputs", "stride": "step", "out_channels": "outputs"}

_MOST_TURNS: Final = 3
"""Turns of a loop over values; one of more, or of a number that is an argument, counts."""


class _Loop:
    """The loop of a repetition.

    Attributes:
        body: The block's scalars as texts, within the loop.
    """

    def __init__(self, form: RepeatForm, texts: Sequence[str], classes: Classes) -> None:
        self._times, *rest = texts
        self._taken = frozenset(re.findall(r"\w+", " ".join(texts)))
        self._variables: dict[tuple[str, str], str] = {}
        self.body: list[str] = []
        places = classes.scalars.places(form.body)
        patterns = classes.scalars.patterns(form)
        # A loop is over values or over numbers: where one scalar takes its turn's number, all do.
        few = self._times.isdigit() and int(self._times) <= _MOST_TURNS
        self._is_over_values = few and not {"linear", "list"} & set(patterns)
        for place, pattern in zip(places, patterns, strict=True):
            values = [rest.pop(0) for _ in range(2 if pattern in ("first", "linear") else 1)]
            self.body.append(self._text(pattern, values, place.name))

    def _text(self, pattern: Pattern, values: list[str], name: str) -> str:
        """A scalar within the loop."""
        if pattern == "list":
            return f"{values[0]}[index]"
        if pattern == "linear":
            if values[1] == "0":
                return values[0]
            step = f"({values[1]})" if " + " in values[1] else values[1]
            return f"{values[0]} + {'index' if step == '1' else f'{step} * index'}"
        if pattern == "same" or values[0] == values[1]:
            return values[0]
        if not self._is_over_values:
            return f"{values[0]} if index == 0 else {values[1]}"
        key = (values[0], values[1])
        if key not in self._variables:
            variable = _VARIABLES.get(name, name or "value")
            while variable in self._taken or variable in self._variables.values():
                variable += "_"
            self._variables[key] = variable
        return self._variables[key]

    def over(self, inner: Sequence[str]) -> str:
        """What is looped over, behind ``for``, where the loop holds these texts."""
        joined = " ".join(inner)
        used = {k: v for k, v in self._variables.items() if re.search(rf"\b{v}\b", joined)}
        if not used:
            name = "index" if re.search(r"\bindex\b", joined) else "_"
            return f"{name} in range({self._times})"
        turns = []
        for turn in range(int(self._times)):
            values = [first if turn == 0 else other for first, other in used]
            turns.append(f"({', '.join(values)})" if len(values) > 1 else values[0])
        return f"{', '.join(used.values())} in ({', '.join(turns)})"


def sequence_lines(found: Sequence[Element], before: str, after: str, indent: int) -> list[str]:
    """Modules as arguments of a call, by way of a list where loops make some of them."""
    margin = " " * indent
    if not any(element.loop for element in found):
        return call_lines(before, [element.text for element in found], after, indent)
    lines = []
    started = False
    for element in found:
        if not element.loop:
            if not started:
                lines.append(f"{margin}layers: list[nn.Module] = [{element.text}]")
            else:
                lines.append(f"{margin}layers.append({element.text})")
            started = True
            continue
        if not started:
            lines.append(f"{margin}layers: list[nn.Module] = []")
            started = True
        lines += [margin + line for line in element.loop]
    return [*lines, f"{margin}{before}*layers{after}"]


def sequence_paths(
    steps: Sequence[Step], prefix: str, classes: Classes, layouts: Layouts
) -> Iterator[tuple[str, Layer]]:
    """The paths of the layers of modules in a row, which are numbered."""
    number = 0
    for step in steps:
        for module in spliced(step, classes):
            yield from layouts.paths(module, f"{prefix}{number}")
            number += 1


def spliced(step: Step, classes: Classes) -> Iterator[Step]:
    """The modules that a step is in a sequence."""
    if isinstance(step.form, LayerForm) or step.form in classes.names:
        yield step
        return
    for part in step.parts:
        yield from spliced(part, classes)


class Layouts:
    """Where the layers of each class are: the attributes that its writer has chosen.

    Attributes:
        attributes: Of a class with attributes, each attribute's name and which steps it holds;
            a class without is a sequence.
    """

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.attributes: dict[Form, list[tuple[str, list[int]]]] = {}

    def paths(self, step: Step, path: str) -> Iterator[tuple[str, Layer]]:
        """The path of each layer of a step that is the module of a path."""
        if step.layer is not None:
            yield path, step.layer
            return
        before = f"{path}." if path else ""
        if step.form not in self.attributes:
            yield from sequence_paths(step.parts, before, self.classes, self)
            return
        for name, indices in self.attributes[step.form]:
            held = [step.parts[index] for index in indices]
            yield from self.held(held, before + name)

    def held(self, held: Sequence[Step], path: str) -> Iterator[tuple[str, Layer]]:
        """The paths of the layers that an attribute holds."""
        single = held[0].layer is not None or held[0].form in self.classes.names
        if len(held) == 1 and single:
            yield from self.paths(held[0], path)
        else:
            yield from sequence_paths(held, f"{path}.", self.classes, self)
