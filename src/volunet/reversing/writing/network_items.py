"""What is written together in a network: loops over blocks, modules in a row, single steps.

A loop's blocks may read what another loop passed through, last first: the skips of a U-Net. These
go by a list, which one loop appends to and the other pops from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from volunet.reversing.reading.layers import LayerForm
from volunet.reversing.structure.grammar import Step
from volunet.reversing.writing.modules import Classes
from volunet.reversing.writing.naming import numbered


@dataclass(eq=False)
class Item:
    """Steps that are written together: a loop over blocks, or modules in a row, or one step.

    Attributes:
        steps: The steps.
        kind: ``loop`` (blocks of one class, each reading the one before), ``chain`` or ``single``.
        name: Its attribute, which the class's writer chooses; empty where it needs none.
        pushes: In a loop, whether each ``before`` or ``after`` goes on a list.
        stack: That list's name.
        pops: In a loop, which input comes from a list; −1: none.
        source: The loop that has filled the list.
    """

    steps: list[Step]
    kind: Literal["loop", "chain", "single"]
    name: str = ""
    pushes: Literal["", "before", "after"] = ""
    stack: str = ""
    pops: int = -1
    source: Item | None = None

    @property
    def carried(self) -> int:
        """Which input of a loop's steps is the answer of the step before."""
        return _carried(self.steps)

    @property
    def is_sequence(self) -> bool:
        """Whether it is a loop that does nothing but hand on one value."""
        alone = not self.pushes and self.pops < 0 and len(self.steps[0].inputs) == 1
        return self.kind == "loop" and alone


def find_items(steps: Sequence[Step], outputs: Sequence[str], classes: Classes) -> list[Item]:
    """What stands together in a network, in order.

    Args:
        steps: The network's steps.
        outputs: Tensors that are its answers.
        classes: The classes of its blocks.
    """
    items = list(_itemised(steps, outputs, classes))
    while True:
        unfit = _settle_stacks(items, outputs)
        if unfit is None:
            break
        place = items.index(unfit)
        items[place : place + 1] = [Item([step], "single") for step in unfit.steps]
    used: set[str] = set()
    for item in items:
        if item.pushes:
            item.stack = numbered("skips", used)
    return items


def _itemised(steps: Sequence[Step], outputs: Sequence[str], classes: Classes) -> Iterator[Item]:
    """All loops that there could be, and modules in a row."""
    readers = Counter(name for step in steps for name in set(step.inputs))
    readers.update(outputs)
    chain: Item | None = None
    index = 0
    while index < len(steps):
        run = _run(steps, index, classes)
        step = steps[index]
        index += len(run)
        if len(run) > 1:
            yield Item(run, "loop")
            chain = None
            continue
        is_layer = isinstance(step.form, LayerForm) and step.form.is_module
        after = chain is not None and step.inputs == (chain.steps[-1].output,)
        if is_layer and after and chain is not None and readers[step.inputs[0]] == 1:
            chain.steps.append(step)
            continue
        chain = Item([step], "chain") if is_layer else None
        yield chain or Item([step], "single")


def _run(steps: Sequence[Step], start: int, classes: Classes) -> list[Step]:
    """Steps of one class that read one another, from here on."""
    run = [steps[start]]
    if steps[start].form not in classes.names:
        return run
    for step in steps[start + 1 :]:
        carried = step.form == run[0].form and step.inputs.count(run[-1].output) == 1
        if not carried:
            break
        place = step.inputs.index(run[-1].output)
        if len(run) > 1 and run[-1].inputs.index(run[-2].output) != place:
            break
        run.append(step)
    return run[:1] if len(run) > 1 and len(_varying(run)) > 1 else run


def _carried(steps: Sequence[Step]) -> int:
    return steps[1].inputs.index(steps[0].output)


def _varying(steps: Sequence[Step]) -> list[int]:
    """The inputs of a loop that are other tensors in each step, besides the one before."""
    return [
        index
        for index in range(len(steps[0].inputs))
        if index != _carried(steps) and len({step.inputs[index] for step in steps}) > 1
    ]


def _settle_stacks(items: Sequence[Item], outputs: Sequence[str]) -> Item | None:
    """Find for each loop with skips the loop that they come from.

    Returns:
        A loop that there cannot be, since a value within it is read elsewhere; None where all fit.
    """
    loops = [item for item in items if item.kind == "loop"]
    for item in loops:
        item.pushes, item.pops, item.source = "", -1, None
    for index, item in enumerate(loops):
        varying = _varying(item.steps)
        if not varying:
            continue
        wanted = [step.inputs[varying[0]] for step in item.steps]
        item.source = next((s for s in reversed(loops[:index]) if _gives(s, wanted)), None)
        if item.source is None:
            return item
        item.pops = varying[0]
    inner = {step.output: loop for loop in loops for step in loop.steps[:-1]}
    for item in items:
        for position, step in enumerate(item.steps):
            for place, name in enumerate(step.inputs):
                loop = inner.get(name)
                within = loop is item and position > 0 and place == item.carried
                if loop is not None and not within and place != item.pops:
                    return loop
    return next((inner[name] for name in outputs if name in inner), None)


def _gives(source: Item, wanted: list[str]) -> bool:
    """Whether a loop's inputs or answers, last first, begin with what is wanted: it pushes them."""
    if source.pushes:
        return False
    before = [step.inputs[source.carried] for step in source.steps]
    after = [step.output for step in source.steps]
    if before[::-1][: len(wanted)] == wanted:
        source.pushes = "before"
    elif after[::-1][: len(wanted)] == wanted:
        source.pushes = "after"
    return source.pushes != ""
