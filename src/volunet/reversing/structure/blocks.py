"""Finding the blocks of a network: what repeats, as few lines as it can be written in.

Blocks are found greedily by the lines that they save. A block is a stretch of steps with one
answer: of all values made in it, only the last is read outside. After each new block, runs of it
become repetitions, which then count as one step.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from volunet.reversing.reading.layers import LayerForm
from volunet.reversing.structure.grammar import (
    BlockForm,
    Form,
    RepeatForm,
    Step,
    all_steps,
    block_of,
)
from volunet.reversing.structure.repeats import (
    Run,
    collapse,
    find_runs,
    kernels_of,
    patterns_of,
    rebuilt,
    without_single,
)

_LONGEST: Final = 64
"""Steps of the longest stretch that is looked at; longer blocks consist of shorter ones."""

_MOST_INPUTS: Final = 3
"""Inputs of a block; what reads more from outside is no part of a network on its own."""

_CLASS_LINES: Final = 2
"""What a class costs beside its steps, in steps."""

_COMES_WITH: Final = ("convolution", "normalisation", "fully connected", "upsampling")
"""Roles of layers that a norm or an activation belongs to where only it reads them."""


def find_blocks(steps: Sequence[Step], outputs: Sequence[str]) -> list[Step]:
    """Put repeated stretches of steps into blocks, and runs of blocks into repetitions.

    Args:
        steps: A network's layers in order.
        outputs: Tensors that are the network's answers.

    Returns:
        The same network, of fewer steps.
    """
    current = list(steps)
    while True:
        best = _best(_Sequences(current, frozenset(outputs)))
        if best is None:
            return without_small(without_single(current))
        current, form = _with_blocks(current, best)
        current = _with_repeats(current, form, frozenset(outputs))


class _Sequences:
    """The network's steps, and those of one instance of each block: all that would be written."""

    def __init__(self, steps: list[Step], outputs: frozenset[str]) -> None:
        self.lists: list[tuple[Form | None, list[Step], frozenset[str]]] = [(None, steps, outputs)]
        seen: set[Form] = set()
        for step in all_steps(steps):
            if isinstance(step.form, BlockForm) and step.form not in seen:
                seen.add(step.form)
                self.lists.append((step.form, list(step.parts), frozenset((step.output,))))


@dataclass(frozen=True)
class _Stretch:
    """A stretch of steps in several places: in which block, None for the network, and where."""

    places: tuple[tuple[Form | None, tuple[int, ...]], ...]
    length: int


def _best(sequences: _Sequences) -> _Stretch | None:
    """The stretch that saves the most lines."""
    numbers: dict[Form, int] = {}
    found: dict[tuple[object, ...], dict[int, list[int]]] = {}
    lengths: dict[tuple[object, ...], int] = {}
    for index, (_, steps, outputs) in enumerate(sequences.lists):
        for signature, (starts, length) in _stretches(steps, outputs, numbers).items():
            found.setdefault(signature, {})[index] = starts
            lengths[signature] = length
    best: tuple[tuple[object, ...], _Stretch] | None = None
    powers = _powers(found, lengths, sequences)
    for signature, by_sequence in found.items():
        length = lengths[signature]
        apart = {index: _apart(starts, length) for index, starts in by_sequence.items()}
        count = sum(map(len, apart.values()))
        is_whole = [len(sequences.lists[index][1]) == length and index > 0 for index in apart]
        if count - sum(is_whole) < 1 or count < 2 or signature in powers:
            continue
        first = min(apart)
        segment = sequences.lists[first][1][apart[first][0] : apart[first][0] + length]
        saved = (count - 1) * length - count - (0 if any(is_whole) else _CLASS_LINES)
        starts_level = [
            _changes_size(sequences.lists[index][1][start])
            for index, starts in apart.items()
            for start in starts
        ]
        is_level = sum(starts_level) >= min(2, len(starts_level))
        if saved < 1 and not (is_level and _has_block(segment)):
            continue
        rank = (saved, is_level, length, -first, -apart[first][0])
        if best is None or rank > best[0]:
            places = tuple((sequences.lists[i][0], tuple(starts)) for i, starts in apart.items())
            best = (rank, _Stretch(places, length))
    return None if best is None else best[1]


def _powers(
    found: dict[tuple[object, ...], dict[int, list[int]]],
    lengths: dict[tuple[object, ...], int],
    sequences: _Sequences,
) -> set[tuple[object, ...]]:
    """Stretches that are a shorter one several times over, which will be a repetition of it."""
    at: dict[tuple[int, int, int], tuple[object, ...]] = {}
    for signature, by_sequence in found.items():
        for index, starts in by_sequence.items():
            for start in starts:
                at[index, start, lengths[signature]] = signature
    powers = set()
    for (index, start, length), signature in at.items():
        steps = sequences.lists[index][1]
        for part in range(2, length // 2 + 1):
            if length % part:
                continue
            pieces = {at.get((index, begin, part)) for begin in range(start, start + length, part)}
            if len(pieces) == 1 and None not in pieces:
                powers.add(signature)
        if len({step.form for step in steps[start : start + length]}) == 1:
            powers.add(signature)
    return powers


def _with_blocks(steps: list[Step], stretch: _Stretch) -> tuple[list[Step], Form]:
    """The network with a block in place of each stretch, and the block's form."""
    places = dict(stretch.places)
    made: list[Form] = []

    def change(step: Step) -> list[Step] | None:
        starts = places.get(step.form)
        if starts is None or len(step.parts) == stretch.length:
            return None
        return replaced(list(step.parts), starts)

    def replaced(parts: list[Step], starts: Sequence[int]) -> list[Step]:
        answer: list[Step] = []
        index = 0
        while index < len(parts):
            if index in starts:
                answer.append(block_of(parts[index : index + stretch.length]))
                made.append(answer[-1].form)
                index += stretch.length
            else:
                answer.append(parts[index])
                index += 1
        return answer

    current = [rebuilt(step, change) for step in steps]
    if None in places:
        current = replaced(current, places[None])
    return current, made[-1]


def _with_repeats(steps: list[Step], form: Form, outputs: frozenset[str]) -> list[Step]:
    """The network with runs of a form as repetitions, single ones too where there are runs.

    Nothing changes where the slots of runs follow no pattern.
    """
    runs = [(steps, find_runs(steps, form, outputs))]
    for step in all_steps(steps):
        if isinstance(step.form, BlockForm):
            parts = list(step.parts)
            runs.append((parts, find_runs(parts, form, frozenset((step.output,)))))
    alike = {
        kernels_of(sequence[start])
        for sequence, found in runs
        for start, length in found
        if length > 1
    }
    slots = [
        [step.slots for step in sequence[start : start + length]]
        for sequence, found in runs
        for start, length in found
        if kernels_of(sequence[start]) in alike
    ]
    if not slots or "list" in patterns_of(slots):
        return steps

    def change(step: Step) -> list[Step] | None:
        if not isinstance(step.form, BlockForm):
            return None
        found = runs_in(step.parts, frozenset((step.output,)))
        return collapse(step.parts, found) if found and step.form != form else None

    def runs_in(sequence: Sequence[Step], answers: frozenset[str]) -> list[Run]:
        found = find_runs(sequence, form, answers)
        return [run for run in found if kernels_of(sequence[run[0]]) in alike]

    changed = [rebuilt(step, change) for step in steps]
    return collapse(changed, runs_in(changed, outputs))


def _changes_size(step: Step) -> bool:
    """Whether a step begins with another resolution, as a level of a network does."""
    first = step.first
    if first.role in ("pooling", "upsampling") or first.form.module.startswith("nn.ConvTranspose"):
        return True
    return first.form.module.startswith("nn.Conv") and first.argument("stride") != 1


def _has_block(segment: list[Step]) -> bool:
    return any(not isinstance(step.form, LayerForm) for step in segment)


def _stretches(
    steps: list[Step], outputs: frozenset[str], numbers: dict[Form, int]
) -> dict[tuple[object, ...], tuple[list[int], int]]:
    """All stretches that could be blocks, alike ones together: where they begin, their length."""
    places = {step.output: index for index, step in enumerate(steps)}
    last = [-1] * len(steps)  # the last step that reads each step's answer
    readers: Counter[str] = Counter()
    for index, step in enumerate(steps):
        for name in set(step.inputs):
            readers[name] += 1
            if name in places:
                last[places[name]] = index
    for name in outputs:
        if name in places:
            last[places[name]] = len(steps)
            readers[name] += 1
    glued = [_is_glued(step, steps, places, readers) for step in steps]
    forms = [numbers.setdefault(step.form, len(numbers)) for step in steps]
    starts_of: dict[tuple[object, ...], tuple[list[int], int]] = {}
    for start in range(len(steps)):
        if glued[start]:
            continue
        outside: dict[str, int] = {}
        signature: tuple[object, ...] = ()
        reach = -1
        for end in range(start, min(start + _LONGEST, len(steps))):
            step = steps[end]
            read = []
            for name in step.inputs:
                place = places.get(name, -1)
                if place >= start:
                    read.append(place - end)
                else:
                    read.append(1 + outside.setdefault(name, len(outside)))
            if len(outside) > _MOST_INPUTS:
                break
            signature = (hash(signature), forms[end], tuple(read))
            if end > start:
                reach = max(reach, last[end - 1])
            if end == start or reach > end:
                continue
            if end + 1 < len(steps) and glued[end + 1] and last[end] == end + 1:
                continue
            found = starts_of.setdefault(signature, ([], end - start + 1))
            found[0].append(start)
    return starts_of


def _is_glued(step: Step, steps: list[Step], places: dict[str, int], readers: Counter[str]) -> bool:
    """Whether a step belongs to the one before it: its norm or its activation."""
    if step.first.role not in ("normalisation", "activation") or not step.inputs:
        return False
    place = places.get(step.inputs[0])
    if place is None or readers[step.inputs[0]] != 1:
        return False
    before = steps[place].last
    added = before.form.call in ("{0} + {1}",) and step.first.role == "activation"
    return before.role in _COMES_WITH or added


def _apart(starts: list[int], length: int) -> list[int]:
    """Starts of stretches that do not overlap, from the front."""
    apart: list[int] = []
    for start in starts:
        if not apart or start >= apart[-1] + length:
            apart.append(start)
    return apart


def without_small(steps: list[Step]) -> list[Step]:
    """The network with short chains of layers in place of blocks that stand there only.

    What stands once as a block of its own, and else only in repetitions, is no block: two layers
    of a head that happen to be the kind that a double convolution repeats.
    """
    apart: Counter[Form] = Counter()
    for _, sequence, _ in _Sequences(steps, frozenset()).lists:
        apart.update(step.form for step in sequence)
    repeated = {step.form.body for step in all_steps(steps) if isinstance(step.form, RepeatForm)}

    def is_small(form: Form) -> bool:
        if not isinstance(form, BlockForm) or len(form.steps) > _SMALL or not form.is_chain:
            return False
        layers = all(isinstance(step.form, LayerForm) for step in form.steps)
        return layers and form in repeated and apart[form] == 1

    def opened(parts: Sequence[Step]) -> list[Step]:
        return [
            layer for step in parts for layer in (step.parts if is_small(step.form) else (step,))
        ]

    def change(step: Step) -> list[Step] | None:
        return opened(step.parts) if isinstance(step.form, BlockForm) else None

    return opened([rebuilt(step, change) for step in steps])


_SMALL: Final = 3


def sites(steps: Sequence[Step]) -> dict[Form, int]:
    """How many places of the source make an instance of each form."""
    count: defaultdict[Form, int] = defaultdict(int)
    seen: set[Form] = set()

    def visit(form: Form) -> None:
        count[form] += 1
        if form in seen or isinstance(form, LayerForm):
            return
        seen.add(form)
        if isinstance(form, RepeatForm):
            visit(form.body)
            return
        for step in form.steps:
            visit(step.form)

    for step in steps:
        visit(step.form)
    return dict(count)
