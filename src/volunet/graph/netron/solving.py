"""The draft's sizes as programs, one an axis; their answers as attributes of its operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from volunet.errors import ReverseError
from volunet.graph.netron.draft import Draft, DraftNode
from volunet.graph.netron.scales import Program, level_of
from volunet.graph.netron.windows_shown import (
    RESIZES,
    SCALING,
    TRANSPOSED,
    Option,
    exact_options,
    options_of,
)
from volunet.graph.operators.pointwise import POINTWISE

JOINS: Final = ("Concat", "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Pow", "Where")
KEEPING: Final = frozenset(
    (*POINTWISE, "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN",
     "Softmax", "LogSoftmax", "PRelu", "Dropout", "Slice", "Pad", "Split", "LayerNormalization")
)  # fmt: skip


class Sizes:
    """The spatial sizes of a draft's values.

    Args:
        draft: The draft.
        rank: Its spatial axes.
    """

    def __init__(self, draft: Draft, rank: int) -> None:
        self._draft = draft
        self._rank = rank
        self._tensors: dict[str, int] = {}
        self._steps: list[tuple[DraftNode, int, int]] = []
        self._joins: list[tuple[DraftNode, str, str]] = []
        self._count = 0
        self._follow()

    @property
    def has_joins(self) -> bool:
        """Whether there are places at which sizes must agree."""
        return bool(self._joins)

    def _follow(self) -> None:
        """Find the tensors that have a size, and what makes one of another."""
        for name in self._draft.sketch.inputs:
            shape = self._draft.shape(name)
            if not shape or len(shape) == self._rank + 2:
                self._tensors[name] = self._new()
        for node in self._draft.nodes:
            data = [name for name in self._draft.data(node) if name in self._tensors]
            if not data:
                continue
            tensor = self._tensors[data[0]]
            if node.op_type in SCALING:
                after = self._new()
                self._steps.append((node, tensor, after))
                tensor = after
            elif node.op_type in JOINS:
                self._joins += [(node, data[0], name) for name in data[1:] if name != data[0]]
            elif node.op_type not in KEEPING:
                continue
            for name in node.outputs:
                self._tensors[name] = tensor

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def solve(self) -> dict[str, list[Option]]:
        """How each operator that changes sizes works, an option an axis, by its name.

        Raises:
            ReverseError: Some join cannot be satisfied, or the shapes that are shown contradict
                one another.
        """
        found: dict[str, list[Option]] = {node.name: [] for node, _, _ in self._steps}
        for axis in range(self._rank):
            program = Program(self._count)
            known = self._known(axis)
            for node, before, after in self._steps:
                program.step(before, after, self._options(node, axis, known, before, after))
            places = [
                program.equal(self._tensors[left], self._tensors[right])
                for _, left, right in self._joins
            ]
            self._fix(program, axis, known)
            answer = program.solve()
            if answer is None:
                raise self._impossible(axis)
            options, unequal = answer
            for index in unequal:
                if index in places:
                    raise self._unequal(index, axis)
            for (node, _, _), option in zip(self._steps, options, strict=True):
                found[node.name].append(option)
        return found

    def _fix(self, program: Program, axis: int, known: dict[int, int]) -> None:
        sketch = self._draft.sketch
        first = next((name for name in sketch.inputs if name in self._tensors), None)
        if first is None:
            return
        origin = self._tensors[first]
        program.fix(origin, 0.0)
        shown = self._size(first, axis)
        full = known.get(origin)
        for tensor, size in known.items():
            if full is not None:
                program.fix(tensor, level_of(size, full))
        for name in sketch.outputs:
            own = self._size(name, axis)
            if name in self._tensors and isinstance(own, str) and own == shown:
                program.equal(origin, self._tensors[name], 0.3)

    def _size(self, name: str, axis: int) -> object:
        shape = self._draft.shape(name)
        return shape[axis + 2] if len(shape) == self._rank + 2 else None

    def _known(self, axis: int) -> dict[int, int]:
        """Sizes that are shown as numbers, by the tensors that have them."""
        known: dict[int, int] = {}
        for name, tensor in self._tensors.items():
            size = self._size(name, axis)
            if isinstance(size, int) and size > 0:
                known[tensor] = size
        return known

    def _options(
        self, node: DraftNode, axis: int, known: dict[int, int], before: int, after: int
    ) -> list[Option]:
        shown = _shown_option(node, axis) if self._draft.attributes_shown else None
        if shown is not None and before in known and after in known:
            halvings = level_of(known[after], known[before])
            return [Option(halvings, 0.0, shown.kernel, shown.stride)]
        if shown is not None:
            return [shown]
        kernel = self._kernel(node, axis)
        if before in known and after in known:
            exact = sorted(
                exact_options(node.op_type, kernel, known[before], known[after]),
                key=lambda option: option.cost,
            )
            if not exact:
                raise self._no_window(node, axis, kernel, known[before], known[after])
            return exact[:1]
        return list(options_of(node.op_type, kernel, self._downs(node)))

    def _kernel(self, node: DraftNode, axis: int) -> int:
        weight = self._draft.weight(node, 1)
        if node.op_type in ("Conv", TRANSPOSED):
            if weight is None or len(weight.shape) != self._rank + 2:
                raise ReverseError(
                    self._draft.sketch.where,
                    f"{node} shows no weights of {self._rank + 2} axes",
                    "A convolution's kernel is told by the shape of its weights.",
                    "In Netron choose View > Show Weights, and export the picture again.",
                )
            return max(1, weight.shape[axis + 2])
        return 0

    def _downs(self, node: DraftNode) -> float:
        """What it costs to assume that a convolution halves."""
        weight = self._draft.weight(node, 1)
        if weight is None:
            return 2.0
        changes = weight.shape[0] != weight.shape[1]
        source = next(self._draft.data(node), "")
        branches = len(self._draft.readers(source)) > 1
        large = weight.shape[2] > 3
        return 2.0 - 0.8 * changes - 0.3 * branches - 0.2 * large + 0.1 * (weight.shape[2] == 1)

    def _unequal(self, index: int, axis: int) -> ReverseError:
        node, left, right = self._joins[index]
        return ReverseError(
            self._draft.sketch.where,
            f"at {node} '{left}' and '{right}' cannot be of one size on axis {axis + 2}, however "
            "the operators before it are completed",
            "Where tensors are joined, their sizes agree.",
            "An operator or an edge may be missing in the picture; export it again with attributes "
            "(View > Show Attributes), or give the ONNX file.",
        )

    def _impossible(self, axis: int) -> ReverseError:
        return ReverseError(
            self._draft.sketch.where,
            f"the shapes beside its edges contradict one another on axis {axis + 2}",
            "The sizes of tensors follow from one another.",
            "Export the picture again with attributes, or give the ONNX file.",
        )

    def _no_window(
        self, node: DraftNode, axis: int, kernel: int, before: int, after: int
    ) -> ReverseError:
        return ReverseError(
            self._draft.sketch.where,
            f"no {node.op_type} with a kernel of {kernel} makes {after} of {before} on axis "
            f"{axis + 2}, as {node} does",
            "A size behind an operator follows from that before it, its kernel, stride and pads.",
            "Export the picture again with attributes (View > Show Attributes).",
        )


def _shown_option(node: DraftNode, axis: int) -> Option | None:
    """What the attributes of a node say, where they are complete."""
    attributes = node.attributes
    if node.op_type in RESIZES:
        return None
    strides: Sequence[int] = attributes.get("strides") or ()
    stride = strides[axis] if axis < len(strides) else 1
    halvings = 0.0 if stride < 1 else level_of(1, stride)
    return Option(-halvings if node.op_type == TRANSPOSED else halvings, 0.0, stride=stride)
