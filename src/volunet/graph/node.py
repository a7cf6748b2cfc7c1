"""`Node`: one operator of a graph with what is known of its tensors; what its rules read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import onnx_ir as ir

from volunet.errors import ShapeError
from volunet.graph.bounds import lower_bound
from volunet.graph.sizes import Size, shape_text
from volunet.graph.tensors import Shape, Tensor, Value, whole_values

Relation = Literal["==", ">=", "broadcast"]


@dataclass(frozen=True)
class Requirement:
    """Two sizes that an operator needs in a relation.

    Attributes:
        relation: ``==``; ``>=``: left at least right; ``broadcast``: equal, or one of them 1.
        left: A size.
        right: A size.
        reason: What the two are, for messages: ``"axis 2 of 'skip' and of 'up'"``.
    """

    relation: Relation
    left: Size
    right: Size
    reason: str

    @property
    def holds(self) -> bool | None:
        """Whether it holds; None where that depends on the input's sizes."""
        if self.left == self.right:
            return True
        if self.relation == "broadcast" and 1 in (self.left, self.right):
            return True
        difference = self.left - self.right
        if self.relation == ">=":
            if lower_bound(difference) >= 0:
                return True
            return False if lower_bound(difference * -1) > 0 else None
        differ = lower_bound(difference) > 0 or lower_bound(difference * -1) > 0
        if self.relation == "broadcast":
            # Of two sizes that are never equal, one could still be 1.
            differ = differ and lower_bound(self.left) > 1 and lower_bound(self.right) > 1
        return False if differ else None

    def __str__(self) -> str:
        if self.relation == ">=":
            return f"{self.reason}: {self.left}, at least {self.right} is needed"
        return f"{self.reason}: {self.left} and {self.right}"


@dataclass
class Node:
    """One operator of a graph.

    Attributes:
        op_type: The ONNX operator.
        name: Its name in the file, or one made up from its place.
        opset: Version of the operator set, which some rules depend on.
        attributes: Its attributes as plain Python values.
        inputs: Its inputs; None stands for an optional one that is left out.
        output_names: Names of its outputs.
        outputs: Its outputs, once its rule has inferred them.
        requirements: What its sizes must fulfil, collected by its rule.
    """

    op_type: str
    name: str
    opset: int
    attributes: dict[str, object]
    inputs: tuple[Tensor | None, ...]
    output_names: tuple[str, ...]
    outputs: tuple[Tensor, ...] = ()
    requirements: list[Requirement] = field(default_factory=list)

    def input(self, index: int) -> Tensor:
        """An input that the operator cannot do without.

        Raises:
            ShapeError: It is missing.
        """
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None:
            raise self.fault(f"input {index} is missing")
        return tensor

    def count(self, name: str, default: int) -> int:
        """An attribute that is a number of things, at least one."""
        value = self.integer(name, default)
        if value < 1:
            raise self.fault(f"attribute {name} is {value}, not at least 1")
        return value

    def has(self, index: int) -> bool:
        """Whether an optional input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def shape(self, index: int = 0, *, at_least: int = 0) -> Shape:
        """Sizes of an input.

        Args:
            index: Which input.
            at_least: Axes that it has at least.

        Raises:
            ShapeError: They are not known, or too few.
        """
        shape = self.input(index).shape
        if shape is None:
            raise ShapeError(
                f"{self.op_type} '{self.name}'",
                f"the number of axes of input '{self.input(index).name}' is not known",
                "Sizes follow from the model's input and the operators before.",
                "Export the model with the shapes of its inputs.",
            )
        if len(shape) < at_least:
            raise self.fault(
                f"input '{self.input(index).name}' has {len(shape)} axes, not at least {at_least}"
            )
        return shape

    def values(self, index: int) -> tuple[Value, ...] | None:
        """Elements of an optional input; None where they are not known or it is left out."""
        return self.input(index).values if self.has(index) else None

    def numbers(self, index: int = 0) -> tuple[int, ...]:
        """Sizes of an input whose sizes are numbers, as they are once the model's input has a size.

        Raises:
            ShapeError: One is a formula.
        """
        shape = self.shape(index)
        numbers = tuple(size for size in shape if isinstance(size, int))
        if len(numbers) < len(shape):
            raise ShapeError(
                f"{self.op_type} '{self.name}'",
                f"an input of {shape_text(shape)}",
                "Intervals and costs are of an input whose size is a number.",
                "Give the model's input a size.",
            )
        return numbers

    def sizes(self, index: int) -> tuple[Size, ...] | None:
        """Elements of an optional input that are sizes, or None as above."""
        return whole_values(self.values(index))

    def integer(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise self.fault(f"attribute {name} is {value!r}, no whole number")
        return value

    def real(self, name: str, default: float) -> float:
        """An attribute that is a number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            raise self.fault(f"attribute {name} is {value!r}, no number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """An attribute that is a text."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise self.fault(f"attribute {name} is {value!r}, no text")
        return value

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers."""
        value = self.attributes.get(name, default)
        if value is None:
            return None
        if not isinstance(value, Sequence) or not all(isinstance(v, int) for v in value):
            raise self.fault(f"attribute {name} is {value!r}, no list of whole numbers")
        return tuple(value)

    def fault(self, found: str) -> ShapeError:
        """The error of a node that contradicts its operator's definition."""
        return ShapeError(
            f"{self.op_type} '{self.name}'",
            found,
            f"The file follows the definition of {self.op_type}, opset {self.opset}.",
            "Export the model again; volunet check says whether the engines take it.",
        )

    def require(self, relation: Relation, left: Size, right: Size, reason: str) -> None:
        """Note that two sizes must be in a relation; one that always is is not kept."""
        requirement = Requirement(relation, left, right, reason)
        if requirement.holds is not True:
            self.requirements.append(requirement)

    def output(
        self,
        shape: Shape | None,
        *,
        index: int = 0,
        dtype: ir.DataType | None = None,
        values: tuple[Value, ...] | None = None,
        is_data: bool | None = None,
    ) -> Tensor:
        """An output; of the first input's type, and data where an input is and no value is known.

        Args:
            shape: Its sizes.
            index: Which output.
            dtype: Its type, where it is not the first input's.
            values: Its elements, where they are known.
            is_data: Whether it is data, where the inputs do not decide that.
        """
        if dtype is None:
            dtype = self.input(0).dtype
        if is_data is None:
            is_data = values is None and any(t.is_data for t in self.inputs if t is not None)
        return Tensor(self.output_names[index], dtype, shape, values, is_data)

    def __str__(self) -> str:
        shapes = ", ".join(
            "?" if tensor.shape is None else shape_text(tensor.shape)
            for tensor in self.inputs
            if tensor is not None
        )
        return f"{self.op_type} '{self.name}' of {shapes}"
