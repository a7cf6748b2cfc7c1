"""`Operator`: the four rules that every operator has, and what they answer with.

1. `Operator.infer`: its outputs' sizes from its inputs', numbers or formulas.
2. `Operator.reads`: which input slices a range of output slices needs, on an axis.
3. `Operator.flops`: what it computes.
4. `Operator.source`: the PyTorch module or call that computes the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from volunet.graph.node import Node
from volunet.graph.sizes import Expression, Size, product
from volunet.graph.spans import Pointwise, Span
from volunet.graph.tensors import Shape, Tensor

Role = Literal[
    "input", "convolution", "activation", "pooling", "normalisation", "fully connected", "skip",
    "upsampling", "other",
]  # fmt: skip
"""The key layers of a CNN as the notes list them (notes.md, CNN关键的层), with upsampling added."""


@dataclass(frozen=True)
class Read:
    """How an operator reads one axis of one input.

    Attributes:
        axis: The output's axis that follows it; None where the output has no such axis.
        span: Which input slices output slices need.
    """

    axis: int | None
    span: Span


@dataclass(frozen=True)
class Flops:
    """Floating-point operations.

    Attributes:
        products: In convolutions and matrix products, 2 for each multiply-add, biases left out:
            what is usually quoted, and what torch.utils.flop_counter counts.
        others: Everywhere else, one for each arithmetic operation or function call on an element.
    """

    products: int = 0
    others: int = 0

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.products + other.products, self.others + other.others)


@dataclass(frozen=True)
class Source:
    """PyTorch that computes an operator.

    Attributes:
        call: An expression; ``{0}``, ``{1}`` … stand for the operator's inputs, ``{module}`` for
            the module and ``{s0}``, ``{s1}`` … for whole numbers, those of `sizes`. A size stands
            where any expression can: between commas, brackets and colons.
        module: Constructor of the module, None where a function does it. Names are ``torch``,
            ``nn`` and ``F`` (torch.nn.functional).
        weights: Parameter or buffer of the module → which input of the operator it is.
        transposed: Parameters whose first two axes are swapped in the module.
        sizes: The formulas that stand in the call; none for a node whose sizes are numbers.
    """

    call: str
    module: str | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    transposed: tuple[str, ...] = ()
    sizes: tuple[Expression, ...] = ()


class SizeWriter:
    """Writes sizes into a call, a number as it is and a formula as ``{s0}``, ``{s1}`` and so on.

    Example:
        >>> from volunet.graph.sizes import symbol
        >>> writer = SizeWriter()
        >>> writer.listed([1, symbol("d"), symbol("h"), symbol("d")])
        '1, {s0}, {s1}, {s0}'
        >>> writer.formulas
        (<d>, <h>)
    """

    def __init__(self) -> None:
        self._formulas: list[Expression] = []

    @property
    def formulas(self) -> tuple[Expression, ...]:
        """The formulas written so far, in the order of their numbers: `Source.sizes`."""
        return tuple(self._formulas)

    def text(self, size: Size) -> str:
        """One size; the same formula always by the same number."""
        if isinstance(size, int):
            return str(size)
        if size not in self._formulas:
            self._formulas.append(size)
        return f"{{s{self._formulas.index(size)}}}"

    def listed(self, sizes: Sequence[Size]) -> str:
        """Sizes with commas between."""
        return ", ".join(map(self.text, sizes))

    def bracketed(self, sizes: Sequence[Size]) -> str:
        """Sizes as a tuple."""
        return f"({self.listed(sizes)}{',' if len(sizes) == 1 else ''})"


class Operator(ABC):
    """The rules of one ONNX operator; a node says everything that they depend on."""

    role: Role = "other"

    def role_in(self, node: Node) -> Role:
        """The part that the operator plays in a network."""
        return self.role

    @abstractmethod
    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """The outputs, as far as they follow from the inputs and the attributes.

        What the sizes must fulfil is noted with `Node.require`.

        Raises:
            ShapeError: The node contradicts the operator's definition.
        """

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """How an input is read along one of its axes; the same slice of the same axis by default.

        Args:
            node: The node, with inputs whose sizes are numbers, and with its outputs.
            index: Which input.
            axis: An axis of that input, from 0.
        """
        return Read(axis, Pointwise())

    def flops(self, node: Node) -> Flops:
        """Floating-point operations of the node, whose sizes are numbers; none by default."""
        return Flops()

    def parameter_inputs(self, node: Node) -> tuple[int, ...]:
        """Which inputs are learned, where they are constants; none by default."""
        return ()

    def source(self, node: Node) -> Source | None:
        """PyTorch that computes the node; None where there is no single module or call."""
        return None


def count_elements(shape: Shape | None) -> int:
    """Elements of a shape whose sizes are numbers; 0 of one that is not known or a formula."""
    count = 0 if shape is None else product(shape)
    return count if isinstance(count, int) else 0


def element_flops(node: Node, each: int) -> Flops:
    """A number of operations for each element of the first output."""
    return Flops(others=each * count_elements(node.outputs[0].shape))


def positive_axis(node: Node, axis: int, rank: int) -> int:
    """An axis counted from the front, whichever end the file counts it from.

    Raises:
        ShapeError: There is no such axis.
    """
    if not -rank <= axis < rank:
        raise node.fault(f"axis {axis} of a tensor of {rank} axes")
    return axis % rank
