"""The class of the whole network: its levels as loops over a list of features, and its skips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from volunet.reversing.reading.layers import Layer, LayerForm, split_arguments
from volunet.reversing.structure.grammar import Step
from volunet.reversing.structure.parameters import IN, OUT, literal
from volunet.reversing.structure.scalars import Scalar, layer_forms
from volunet.reversing.writing.block_class import layer_template
from volunet.reversing.writing.forward import Operation
from volunet.reversing.writing.modules import (
    Classes,
    Element,
    Layouts,
    constructor,
    elements,
    sequence_lines,
)
from volunet.reversing.writing.naming import (
    attribute_name,
    chain_name,
    is_upsampling,
    numbered,
    plural,
)
from volunet.reversing.writing.network_items import Item, find_items
from volunet.reversing.writing.text import call_lines, fits


class NetworkClass:
    """Writes the network's class.

    Args:
        steps: The network's steps.
        outputs: Its answers.
        classes: The classes of its blocks.

    Attributes:
        items: What stands together.
        features: The channels through its first loop of blocks that changes them; none without.
        name: The class's name.
        ends: Its arguments for channels → the step, and which of its scalars they are.
    """

    def __init__(self, steps: Sequence[Step], outputs: Sequence[str], classes: Classes) -> None:
        self._classes = classes
        self.items = find_items(steps, outputs, classes)
        self.features = self._features()
        used = {"training", "forward"}
        for item in self.items:
            item.name = self._name(item, used)
        has_skips = any(item.pops >= 0 for item in self.items)
        upsamples = any(is_upsampling(layer) for s in steps for layer in layer_forms(s.form))
        self.name = "UNet" if has_skips and upsamples else "Network"
        self.ends = self._ends(steps)

    def _name(self, item: Item, used: set[str]) -> str:
        first = item.steps[0].form
        names = self._classes.names
        if item.kind == "loop":
            return numbered(plural(attribute_name(first, names)), used)
        if item.kind == "single" or len(item.steps) == 1:
            if isinstance(first, LayerForm):
                _, needs = layer_template(first, [""] * first.count_slots)
                if not needs:
                    return ""
            return numbered(attribute_name(first, names), used)
        return numbered(chain_name([step.form for step in item.steps], names), used)

    # Numbers

    def _columns(self, item: Item) -> dict[str, list[Scalar]]:
        """The arguments of a loop's blocks: name → the value of each block."""
        form = item.steps[0].form
        rows = [self._classes.scalars.of(step) for step in item.steps]
        return {
            p.name: [row[p.index] for row in rows] for p in self._classes.parameters(form).arguments
        }

    def _features(self) -> list[int]:
        for item in self.items:
            if item.kind == "loop":
                chain = _chain(self._columns(item))
                if chain is not None and len(set(chain)) > 1:
                    return chain
        return []

    def _ends(self, steps: Sequence[Step]) -> dict[str, tuple[Step, int]]:
        """The scalars that are the channels of the network's input and of its answer."""
        ends = {}
        for name, among, order in (("in_channels", IN, steps), ("out_channels", OUT, steps[::-1])):
            for step in order:
                places = self._classes.scalars.places(step.form)
                indices = [i for i, place in enumerate(places) if place.name in among]
                if indices:
                    index = indices[0] if name == "in_channels" else indices[-1]
                    value = self._classes.scalars.of(step)[index]
                    in_loop = any(item.kind == "loop" and step in item.steps for item in self.items)
                    if isinstance(value, int) and not in_loop:
                        ends[name] = (step, index)
                    break
        return ends

    def texts(self, step: Step) -> list[str]:
        """A step's scalars as texts: arguments of the network, or numbers."""
        texts = []
        values = self._classes.scalars.of(step)
        places = self._classes.scalars.places(step.form)
        for index, (value, place) in enumerate(zip(values, places, strict=True)):
            name = next((n for n, end in self.ends.items() if end == (step, index)), None)
            if name is None:
                name = self._feature(value) if place.name in IN + OUT else None
            texts.append(literal(value) if name is None else name)
        return texts

    def _feature(self, value: Scalar) -> str | None:
        if not isinstance(value, int) or value not in self.features:
            return None
        index = self.features.index(value)
        is_last = index == len(self.features) - 1
        return "features[-1]" if is_last and index else f"features[{index}]"

    # Lines

    def constructor_lines(self, layouts: Layouts) -> list[str]:
        """The lines of the constructor behind ``super().__init__()``."""
        lines: list[str] = []
        for item in self.items:
            if not item.name:
                continue
            if item.kind == "loop":
                lines += self._loop_lines(item)
                continue
            texts = [self.texts(step) for step in item.steps]
            form = item.steps[0].form
            single = isinstance(form, LayerForm) or form in self._classes.names
            if len(item.steps) == 1 and single:
                made = constructor(form, texts[0], self._classes)
                start = made.index("(")
                arguments = split_arguments(made[start + 1 : -1])
                before = f"self.{item.name} = {made[: start + 1]}"
                lines += call_lines(before, [a for a in arguments if a], ")", 8)
                continue
            found: list[Element] = []
            for step, own in zip(item.steps, texts, strict=True):
                found += elements(step.form, own, self._classes)
            lines += sequence_lines(found, f"self.{item.name} = nn.Sequential(", ")", 8)
        return lines

    def _loop_lines(self, item: Item) -> list[str]:
        name = self._classes.names[item.steps[0].form]
        columns = self._columns(item)
        texts: dict[str, str] = {}
        loops: list[tuple[str, str]] = []
        chain = _chain(columns)
        if chain is not None:
            over = _slice(chain, self.features) or literal(tuple(chain))
            loops.append(("(i, o)", f"pairwise({over})"))
            texts.update(in_channels="i", out_channels="o")
        known: dict[str, str] = {}
        for argument, values in columns.items():
            if argument in texts:
                continue
            if all(value == values[0] for value in values):
                texts[argument] = literal(values[0])
                continue
            over = _slice(values, self.features) or literal(tuple(values))
            if over not in known:
                variable = argument.removesuffix("_channels") if "_" in argument else argument
                known[over] = {"in": "inputs", "out": "outputs"}.get(variable, variable)
                loops.append((known[over], over))
            texts[argument] = known[over]
        made = f"{name}({', '.join(texts[argument] for argument in columns)})"
        if not loops:
            over = f"_ in range({len(item.steps)})"
        elif len(loops) == 1:
            over = f"{loops[0][0].strip('()')} in {loops[0][1]}"
        else:
            targets = ", ".join(target for target, _ in loops)
            over = f"{targets} in zip({', '.join(values for _, values in loops)}, strict=True)"
        if item.is_sequence:
            return _comprehension(f"self.{item.name} = nn.Sequential(*[", made, over, "])")
        return _comprehension(f"self.{item.name} = nn.ModuleList([", made, over, "])")

    def operations(self) -> list[Operation]:
        """What the network computes."""
        operations: list[Operation] = []
        for item in self.items:
            first, last = item.steps[0], item.steps[-1]
            if item.kind == "loop" and not item.is_sequence:
                operations.append(_loop_operation(item))
                continue
            if item.kind == "loop":
                call = f"self.{item.name}({{0}})"
                operations.append(Operation(call, first.inputs, last.output))
                continue
            if len(item.steps) == 1 and isinstance(first.form, LayerForm):
                template, _ = layer_template(first.form, self.texts(first))
                template = template.replace("{module}", f"self.{item.name}")
            else:
                template = (
                    f"self.{item.name}({', '.join(f'{{{i}}}' for i in range(len(first.inputs)))})"
                )
            operations.append(Operation(template, first.inputs, last.output))
        return operations

    def paths(self, layouts: Layouts) -> list[tuple[str, Layer]]:
        """The path of each layer of the network."""
        found: list[tuple[str, Layer]] = []
        for item in self.items:
            if not item.name:
                continue
            if item.kind == "loop":
                for number, step in enumerate(item.steps):
                    found += layouts.paths(step, f"{item.name}.{number}")
            else:
                found += layouts.held(item.steps, item.name)
        return found


def _loop_operation(item: Item) -> Operation:
    """A loop whose blocks read more than one value, or whose values are read later."""
    first = item.steps[0]
    place = item.carried
    fixed = [index for index in range(len(first.inputs)) if index not in (place, item.pops)]
    reads = (first.inputs[place], *(first.inputs[index] for index in fixed))
    variable = item.name.rstrip("0123456789_").removesuffix("s") or "block"

    def lines(names: Sequence[str]) -> list[str]:
        x = names[0]
        arguments = [""] * len(first.inputs)
        arguments[place] = x
        for index, name in zip(fixed, names[1:], strict=True):
            arguments[index] = name
        if item.source is not None:
            arguments[item.pops] = f"{item.source.stack}.pop()"
        body = [f"    {x} = {variable}({', '.join(arguments)})"]
        if not item.pushes:
            return [f"for {variable} in self.{item.name}:", *body]
        push = f"    {item.stack}.append({x})"
        body = [push, *body] if item.pushes == "before" else [*body, push]
        start = f"{item.stack}: list[Tensor] = []"
        return [start, f"for {variable} in self.{item.name}:", *body]

    return Operation("", reads, item.steps[-1].output, lines)


def _comprehension(before: str, made: str, over: str, after: str) -> list[str]:
    """A call of a list comprehension, broken where it is too long."""
    call, _, bracket = before.rpartition("(")
    margin = " " * 8
    one = f"{margin}{before}{made} for {over}{after}"
    if fits(one):
        return [one]
    lines = [f"{margin}{call}("]
    if fits(f"{margin}    {bracket}{made} for {over}]"):
        return [*lines, f"{margin}    {bracket}{made} for {over}]", f"{margin})"]
    lines += [f"{margin}    {bracket}", f"{margin}        {made}"]
    start, _, values = over.partition(" in zip(")
    if fits(f"{margin}        for {over}") or not values:
        lines.append(f"{margin}        for {over}")
    else:
        lines += call_lines(f"for {start} in zip(", split_arguments(values[:-1]), ")", 16)
    return [*lines, f"{margin}    ]", f"{margin})"]


def _chain(columns: Mapping[str, Sequence[Scalar]]) -> list[int] | None:
    """Channels through a loop, each block's input being the answer before; None where not so."""
    if not {"in_channels", "out_channels"} <= set(columns):
        return None
    before, after = columns["in_channels"], columns["out_channels"]
    if list(before[1:]) != list(after[:-1]):
        return None
    chain = [before[0], *after]
    return (
        [v for v in chain if isinstance(v, int)] if all(isinstance(v, int) for v in chain) else None
    )


def _slice(values: Sequence[Scalar], features: list[int]) -> str | None:
    """Values as a part of the features, forwards or backwards."""
    count = len(values)
    for text, source in (("features", features), ("features[::-1]", features[::-1])):
        for start in range(len(source) - count + 1):
            if list(values) != source[start : start + count]:
                continue
            begin = str(start) if start else ""
            end = start + count - len(source)
            if not begin and not end:
                return text
            return f"{text}[{begin}:{end or ''}]"
    return None
