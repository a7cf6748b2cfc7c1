"""`Layer`: one module or call of the network to be written, without a name and without its sizes.

What is alike of two layers is their `LayerForm`; what may differ, channels and kernels and numbers
in a call, are their slots. Names of the file are kept for messages and for reading weights only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from volunet.graph.operators import Source
from volunet.graph.tensors import Shape
from volunet.reversing.reading.pytorch import (
    DEFAULTS,
    POSITIONAL,
    STATELESS,
    Slot,
    without_dimensions,
)

SLOT: Final = re.compile(r"\{=(\d+)\}")
"""A slot in a call."""

PLACE: Final = re.compile(r"\{(\d+)\}")
"""An input in a call."""


@dataclass(frozen=True)
class LayerForm:
    """What layers have in common whose code is the same up to numbers.

    Attributes:
        module: The module's class, such as ``nn.Conv3d``; empty where a function does it.
        arguments: Names of the module's arguments, which are the first slots.
        call: The expression; ``{0}`` … are inputs, ``{module}`` the module, ``{=5}`` a slot.
        function: The same without a module, for a module without weights; else empty.
        words: Arguments of the module that are no numbers, as they are written.
        weights: Parameters and buffers of the module; ``""`` is the module itself.
    """

    module: str
    arguments: tuple[str, ...]
    call: str
    function: str = ""
    words: str = ""
    weights: tuple[str, ...] = ()

    def in_call(self, index: int) -> bool:
        """Whether a slot stands in the call, and not among the module's arguments."""
        return self.function != "" or index >= len(self.arguments)

    @property
    def is_module(self) -> bool:
        """Whether it is a module of one input, which can stand in a sequence of modules."""
        return self.module != "" and self.call == "{module}({0})"

    @property
    def count_slots(self) -> int:
        """How many slots it has."""
        return len(self.arguments) + len(SLOT.findall(self.call if not self.function else ""))

    def slot_name(self, index: int) -> str:
        """The argument that a slot is; of a number in a call, what it is for, if known."""
        if index < len(self.arguments):
            return self.arguments[index]
        known = {"F.pad(": "padding", ".reshape(": "size", "[:": "part", "torch.split(": "parts"}
        return next((name for text, name in known.items() if text in self.call), "")

    def text(self, module: str, inputs: Sequence[str], slots: Sequence[str]) -> str:
        """The expression with texts for the module, the inputs and the slots."""
        call = SLOT.sub(lambda match: slots[int(match.group(1))], self.call)
        call = call.replace("{module}", module)
        return PLACE.sub(lambda match: inputs[int(match.group(1))], call)


@dataclass(frozen=True)
class Weight:
    """Where a parameter's values come from.

    Attributes:
        tensor: The tensor of the file.
        transposed: Whether its first two axes are swapped in the module.
        shape: Its shape in the module; None where it is the tensor's.
        fill: The one value of all its elements, where there is no tensor.
    """

    tensor: str = ""
    transposed: bool = False
    shape: tuple[int, ...] | None = None
    fill: float | None = None


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        form: What is alike.
        slots: What may differ, in the order of the form.
        inputs: Values that it reads: names of tensors of the file.
        output: The tensor that it makes.
        shape: The output's sizes.
        weights: Where each parameter comes from.
        node: The node in messages.
        role: The part that it plays (`volunet.graph.operators.Role`).
    """

    form: LayerForm
    slots: tuple[Slot, ...]
    inputs: tuple[str, ...]
    output: str
    shape: Shape | None
    weights: Mapping[str, Weight] = field(default_factory=dict)
    node: str = ""
    role: str = "other"

    def argument(self, name: str) -> Slot:
        """The value of an argument of its module; None where it has none of this name."""
        arguments = self.form.arguments
        return self.slots[arguments.index(name)] if name in arguments else None


Pieces: TypeAlias = "tuple[LayerForm, tuple[Slot, ...]]"


def form_of(source: Source) -> Pieces:
    """The form and the slots of a source."""
    module, arguments = ("", {}) if source.module is None else module_pieces(source.module)
    call, numbers = _call_pieces(source.call, len(arguments))
    form = LayerForm(module, tuple(arguments), call, weights=tuple(source.weights))
    return _as_module(form, (*arguments.values(), *numbers))


def module_pieces(text: str) -> tuple[str, dict[str, Slot]]:
    """A constructor's class and its arguments by name, with defaults where they are left out."""
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call):
        raise TypeError(f"{text!r} is no constructor")
    module = ast.unparse(call.func)
    kind = without_dimensions(module)
    names = POSITIONAL.get(kind, ())
    if len(call.args) > len(names):
        names = tuple(f"argument_{index}" for index in range(len(call.args)))
    arguments = {
        name: ast.literal_eval(value) for name, value in zip(names, call.args, strict=False)
    }
    for keyword in call.keywords:
        arguments[str(keyword.arg)] = ast.literal_eval(keyword.value)
    known = (*names, *DEFAULTS.get(kind, {}))
    full = {**DEFAULTS.get(kind, {}), **arguments}
    return module, {name: full[name] for name in (*known, *full) if name in full}


def _call_pieces(call: str, before: int) -> tuple[str, tuple[Slot, ...]]:
    """A call with a slot for each number, and the numbers; lists of numbers are one."""
    # Places are names while the text is parsed; both have the same length.
    readable = re.sub(r"\{(\w+)\}", r"_\1_", call)
    found: list[tuple[int, int, Slot]] = []
    _find_numbers(ast.parse(readable, mode="eval").body, found)
    slots: list[Slot] = []
    text, end = "", 0
    offsets = _character_offsets(readable)
    for start, stop, value in sorted(found, key=lambda piece: piece[0]):
        text += call[end : offsets[start]] + f"{{={before + len(slots)}}}"
        end = offsets[stop]
        slots.append(value)
    return text + call[end:], tuple(slots)


def _character_offsets(text: str) -> dict[int, int]:
    """Offset of each byte that begins a character, which is how `ast` counts, in characters."""
    offsets, place = {}, 0
    for index, character in enumerate(text):
        offsets[place] = index
        place += len(character.encode())
    offsets[place] = len(text)
    return offsets


def _find_numbers(node: ast.AST, found: list[tuple[int, int, Slot]]) -> None:
    if isinstance(node, ast.expr):
        value = _number(node)
        if value is not None:
            found.append((node.col_offset, node.end_col_offset or 0, value))
            return
    for child in ast.iter_child_nodes(node):
        _find_numbers(child, found)


def _number(node: ast.expr) -> Slot | None:
    """The value of a number or of a list of numbers; None of anything else."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return None
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _number(node.operand)
        return -value if isinstance(value, int | float) else None
    if isinstance(node, ast.Tuple | ast.List) and node.elts:
        found = map(_number, node.elts)
        values = [value for value in found if isinstance(value, int | float)]
        if len(values) == len(node.elts):
            return tuple(values) if isinstance(node, ast.Tuple) else Listed(values)
    return None


class Listed(tuple[int | float, ...]):
    """A list of numbers, which is written in square brackets."""

    __slots__ = ()


def _as_module(form: LayerForm, slots: tuple[Slot, ...]) -> Pieces:
    """A function as the module without weights that does the same, where there is one."""
    if form.module or form.call not in STATELESS:
        return form, slots
    module, names, words = STATELESS[form.call]
    return replace(
        form,
        module=module,
        arguments=names,
        call="{module}({0})",
        function=form.call,
        words=words,
    ), slots


def is_convolution(form: LayerForm) -> bool:
    """Whether a layer is a convolution, not transposed."""
    return re.fullmatch(r"nn\.Conv\dd", form.module) is not None


def split_arguments(text: str) -> list[str]:
    """The arguments of a call's text."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [part for part in (*parts, text[start:].strip()) if part]
