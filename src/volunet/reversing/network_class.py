"""The class of the whole network: its levels as loops over a list of features, and its skips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from volunet.reversing.block_class import layer_template
from volunet.reversing.forward import Operation
from volunet.reversing.grammar import Step
from volunet.reversing.layers import Layer, LayerForm
from volunet.reversing.modules import (
    Classes,
    Element,
    Layouts,
    constructor,
    elements,
    sequence_lines,
)
from volunet.reversing.naming import attribute_name, chain_name, is_upsampling, numbered, plural
from volunet.reversing.parameters import IN, OUT, literal
from volunet.reversing.scalars import Scalar, layer_forms
from volunet.reversing.text import call_lines, fits, split_arguments


@dataclass
class Item:
    """Steps that are written together: a loop over blocks, or modules in a row, or one step.

    Attributes:
        steps: The steps.
        kind: ``loop`` (a list of modules with inputs besides), ``chain`` or ``single``.
        name: Its attribute; empty where it needs none.
        pushes: In a loop, whether each input (``before``) or answer (``after``) goes on a stack.
        pops: In a loop, which input comes from the stack; −1: none.
    """

    steps: list[Step]
    kind: str
    name: str = ""
    pushes: str = ""
    pops: int = -1


class NetworkClass:
    """Writes the network's class.

    Args:
        steps: The network's steps.
        inputs: Its inputs.
        outputs: Its answers.
        classes: The classes of its blocks.
    """

    def __init__(
        self, steps: list[Step], inputs: Sequence[str], outputs: Sequence[str], classes: Classes
    ) -> None:
        self._classes = classes
        self._inputs = list(inputs)
        self._outputs = list(outputs)
        self.items = self._itemised(steps)
        self._stacks()
        self.features = self._features()
        used = {"training", "forward"}
        for item in self.items:
            item.name = self._name(item, used)
        ups = [i for i in self.items if i.pops >= 0]
        upsamples = any(is_upsampling(layer) for s in steps for layer in layer_forms(s.form))
        self.name = "UNet" if ups and upsamples else "Network"
        self.ends = self._ends(steps)

    # What stands together

    def _itemised(self, steps: list[Step]) -> list[Item]:
        readers = Counter(name for step in steps for name in set(step.inputs))
        readers.update(self._outputs)
        items: list[Item] = []
        index = 0
        while index < len(steps):
            run = self._run(steps, index)
            if len(run) > 1:
                escapes = any(readers[step.output] > 1 for step in run[:-1])
                plain = len(run[0].inputs) == 1 and not escapes
                items.append(Item(run, "loop", pushes="" if not plain else "none"))
                index += len(run)
                continue
            step = steps[index]
            before = items[-1] if items else None
            joins = (
                before is not None
                and before.kind == "chain"
                and self._classes.is_module(step.form)
                and step.inputs == (before.steps[-1].output,)
                and readers[step.inputs[0]] == 1
                and isinstance(step.form, LayerForm)
            )
            if joins and before is not None:
                before.steps.append(step)
            elif isinstance(step.form, LayerForm) and step.form.is_module:
                items.append(Item([step], "chain"))
            else:
                items.append(Item([step], "single"))
            index += 1
        return items

    def _run(self, steps: list[Step], start: int) -> list[Step]:
        """Steps of one class that read one another, from here on."""
        run = [steps[start]]
        if steps[start].form not in self._classes.names:
            return run
        for step in steps[start + 1 :]:
            carried = step.form == run[0].form and step.inputs.count(run[-1].output) == 1
            if not carried:
                break
            place = step.inputs.index(run[-1].output)
            if len(run) > 1 and run[-1].inputs.index(run[-2].output) != place:
                break
            run.append(step)
        if len(run) > 1:
            place = run[1].inputs.index(run[0].output)
            others = [i for i in range(len(run[0].inputs)) if i != place]
            varying = [i for i in others if len({step.inputs[i] for step in run}) > 1]
            if len(varying) > 1:
                return run[:1]
        return run

    @staticmethod
    def carried(item: Item) -> int:
        """Which input of a loop's steps is the answer of the step before."""
        return item.steps[1].inputs.index(item.steps[0].output)

    def _stacks(self) -> None:
        """Find for each loop with skips the loop that they come from; without one it is opened."""
        while self._find_stacks():
            pass

    def _find_stacks(self) -> bool:
        """Settle the stacks; True where a loop had to be opened and all must be looked at again."""
        for item in self.items:
            item.pops = -1
            if item.pushes != "none":
                item.pushes = ""
        explained: set[str] = set()
        for index, item in enumerate(self.items):
            if item.kind != "loop":
                continue
            place = self.carried(item)
            varying = [
                i
                for i in range(len(item.steps[0].inputs))
                if i != place and len({step.inputs[i] for step in item.steps}) > 1
            ]
            if not varying:
                continue
            wanted = [step.inputs[varying[0]] for step in item.steps]
            source = next((s for s in reversed(self.items[:index]) if self._gives(s, wanted)), None)
            if source is not None:
                item.pops = varying[0]
                explained.update(wanted)
                continue
            self._open(index)
            return True
        inner = {
            step.output: item for item in self.items if item.kind == "loop"
            for step in item.steps[:-1]
        }  # fmt: skip
        for item in self.items:
            for position, step in enumerate(item.steps):
                for place, name in enumerate(step.inputs):
                    if name not in inner:
                        continue
                    within = inner[name] is item and position and place == self.carried(item)
                    if not within and not (place == item.pops and name in explained):
                        self._open(self.items.index(inner[name]))
                        return True
        for name in self._outputs:
            if name in inner:
                self._open(self.items.index(inner[name]))
                return True
        for item in self.items:
            if item.kind == "loop" and not item.pushes and item.pops < 0:
                if len(item.steps[0].inputs) == 1:
                    item.pushes = "none"
            elif item.pushes == "none" and item.pops >= 0:
                item.pushes = ""
        return False

    def _gives(self, source: Item, wanted: list[str]) -> bool:
        """Whether a loop's inputs or answers, last first, begin with what is wanted."""
        if source.kind != "loop" or source.pushes in ("before", "after"):
            return False
        before = [step.inputs[self.carried(source)] for step in source.steps]
        after = [step.output for step in source.steps]
        for way, values in (("before", before), ("after", after)):
            if values[::-1][: len(wanted)] == wanted:
                source.pushes = way
                return True
        return False

    def _open(self, index: int) -> None:
        steps = self.items[index].steps
        self.items[index : index + 1] = [Item([step], "single") for step in steps]

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
        if self.features and value == self.features[0]:
            return "features[0]"
        if self.features and value == self.features[-1]:
            return "features[-1]"
        return None

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
            over = _slice(values, self.features) or literal(tuple(values))  # type: ignore[arg-type]
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
        if item.pushes == "none":
            return _comprehension(f"self.{item.name} = nn.Sequential(*[", made, over, "])")
        return _comprehension(f"self.{item.name} = nn.ModuleList([", made, over, "])")

    def operations(self) -> list[Operation]:
        """What the network computes."""
        operations: list[Operation] = []
        for item in self.items:
            first, last = item.steps[0], item.steps[-1]
            if item.kind == "loop" and item.pushes != "none":
                operations.append(self._loop_operation(item))
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

    def _loop_operation(self, item: Item) -> Operation:
        place = self.carried(item)
        first = item.steps[0]
        fixed = [i for i in range(len(first.inputs)) if i not in (place, item.pops)]
        reads = (first.inputs[place], *(first.inputs[i] for i in fixed))
        variable = item.name.rstrip("0123456789_").removesuffix("s") or "block"

        def lines(names: Sequence[str]) -> list[str]:
            x = names[0]
            arguments = [""] * len(first.inputs)
            arguments[place] = x
            for i, name in zip(fixed, names[1:], strict=True):
                arguments[i] = name
            if item.pops >= 0:
                arguments[item.pops] = "skips.pop()"
            body = [f"    {x} = {variable}({', '.join(arguments)})"]
            start = []
            if item.pushes in ("before", "after"):
                start = ["skips: list[Tensor] = []"]
                push = f"    skips.append({x})"
                body = [push, *body] if item.pushes == "before" else [*body, push]
            return [*start, f"for {variable} in self.{item.name}:", *body]

        return Operation("", reads, item.steps[-1].output, lines)

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
