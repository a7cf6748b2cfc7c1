"""`Tensor`: what is known of one value of a graph before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, prod
from typing import Any, Final, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from volunet.graph.sizes import Expression, Size, product

Shape: TypeAlias = tuple[Size, ...]

Value: TypeAlias = int | Fraction | Expression
"""One element whose value is known: of sizes that a graph computes with, or of a constant."""

MOST_VALUES: Final = 64
"""Elements up to which a constant's values are kept: lists of sizes, axes and scales are short."""


@dataclass(frozen=True)
class Tensor:
    """One value of a graph.

    Attributes:
        name: Its name in the file.
        dtype: Its element type.
        shape: Its sizes. None: not even the number of axes is known.
        values: Its elements in storage order, where they are known: constants of up to
            `MOST_VALUES` elements, and what a graph computes from its input's sizes.
        is_data: Whether it depends on what is in the graph's inputs, and not only on their sizes.
    """

    name: str
    dtype: ir.DataType
    shape: Shape | None
    values: tuple[Value, ...] | None = None
    is_data: bool = True

    @property
    def num_elements(self) -> Size | None:
        """Number of elements."""
        return None if self.shape is None else product(self.shape)

    @property
    def num_bytes(self) -> int | None:
        """Bytes in memory, where the sizes are numbers."""
        count = self.num_elements
        if not isinstance(count, int) or self.dtype in _UNREADABLE:
            return None
        return -(-count * self.dtype.bitwidth // 8)


def arranged(tensor: Tensor) -> NDArray[np.object_] | None:
    """The known elements of a tensor in its shape; None where they or a size are not known."""
    if tensor.values is None or not all(isinstance(size, int) for size in tensor.shape or ()):
        return None
    array = np.empty(len(tensor.values), dtype=object)
    array[:] = tensor.values
    return array.reshape(tuple(size for size in tensor.shape or () if isinstance(size, int)))


def constant_tensor(name: str, content: ir.TensorProtocol) -> Tensor:
    """The tensor of a constant; its elements are read only where they are few."""
    shape = tuple(int(size) for size in content.shape.numpy())
    values = None
    if prod(shape) <= MOST_VALUES and content.dtype not in _UNREADABLE:
        values = known_values(content.numpy())
    return Tensor(name, content.dtype, shape, values, is_data=False)


def known_values(array: NDArray[Any]) -> tuple[Value, ...] | None:
    """The elements of an array as exact numbers; None where one is infinite or no number."""
    if array.dtype.kind in "iub":
        return tuple(int(element) for element in array.ravel())
    elements = [float(element) for element in array.ravel()]
    return tuple(map(Fraction, elements)) if all(map(isfinite, elements)) else None


def whole_values(values: Sequence[Value] | None) -> tuple[Size, ...] | None:
    """Values as sizes; None where they are not known or one has a fraction."""
    if values is None or not all(_is_whole(value) for value in values):
        return None
    return tuple(int(v) if isinstance(v, Fraction) else v for v in values)


def _is_whole(value: Value) -> bool:
    if isinstance(value, Expression):
        return value.is_whole
    return isinstance(value, int) or value.denominator == 1


_UNREADABLE: Final = (ir.DataType.STRING, ir.DataType.UNDEFINED)
