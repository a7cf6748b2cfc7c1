"""Resizing by interpolation: ``Resize`` and its predecessor ``Upsample``."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final, cast, get_args

import numpy as np

from volunet.errors import ShapeError
from volunet.graph.node import Node
from volunet.graph.operators.operator import (
    Flops,
    Operator,
    Read,
    Role,
    SizeWriter,
    Source,
    element_flops,
    positive_axis,
)
from volunet.graph.sizes import Size, divide_exactly, floor
from volunet.graph.spans import Coordinates, Interpolated, Interpolation, Pointwise, Rounding, Span
from volunet.graph.tensors import Tensor

RESIZE_FORMULA: Final = "⌊{input}·{scale}⌋"
"""Output size for a scale; for a wanted size it is that size."""

_TAPS: Final[dict[str, int]] = {"nearest": 0, "linear": 2, "cubic": 4}


def resized(d: Size, scale: Fraction) -> Size:
    """⌊d·scale⌋, exactly.

    Source:
        https://onnx.ai/onnx/operators/onnx__Resize.html
    """
    return floor(d * scale)


def resized_in_float32(d: Size, scale: Fraction) -> Size:
    """⌊d·scale⌋, multiplied as ONNX Runtime does it: in float32.

    The scale of a file is a float32, 0.7 being 0.699999988. Its product with a number is rounded to
    float32 before it is cut off: ⌊10·0.7⌋ is 7. A formula is of the simplest fraction that is this
    float32, ⌊d·7/10⌋; that gives the same number but where the product falls short of a whole one
    by rounding: of scales of one decimal below 4 with 1.3, 2.1, 2.6 and 3.1, as in
    ⌊30·2.1⌋ = 62.
    """
    if isinstance(d, int):
        return math.floor(np.float32(d) * np.float32(float(scale)))
    simplest = scale.limit_denominator(_LARGEST_DENOMINATOR)
    same = np.float32(float(simplest)) == np.float32(float(scale))
    return resized(d, simplest if same else scale)


_LARGEST_DENOMINATOR: Final = 1000


class Resize(Operator):
    """``Resize`` and ``Upsample``: nearest, linear, cubic; by scales or to sizes.

    Size on each axis: ⌊d·scale⌋, or the size asked for.

    Source:
        https://onnx.ai/onnx/operators/onnx__Resize.html,
        https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
    """

    role: Role = "upsampling"

    def infer(self, node: Node) -> tuple[Tensor, ...]:
        """Every axis by its own scale."""
        x = node.shape()
        if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise _unknown(node, "keep_aspect_ratio_policy is not 'stretch'")
        _interpolation(node), _coordinates(node), _rounding(node)  # refused here, not later
        scales, sizes = _scales(node), _wanted(node)
        if sizes is not None:
            return (node.output(sizes),)
        if scales is None:
            raise _unknown(node, "neither its scales nor its sizes follow from the input's size")
        return (
            node.output(tuple(resized_in_float32(d, s) for d, s in zip(x, scales, strict=True))),
        )

    def reads(self, node: Node, index: int, axis: int) -> Read:
        """A place in the input and its neighbours; the same slice where nothing is resized."""
        return Read(axis, _span(node, axis))

    def flops(self, node: Node) -> Flops:
        """A multiply-add for each neighbour on each axis that is resized."""
        kind = _interpolation(node)
        axes = sum(a != b for a, b in zip(node.shape(), node.outputs[0].shape or (), strict=True))
        return element_flops(node, 2 * _TAPS[kind] ** axes if _TAPS[kind] else 0)

    def source(self, node: Node) -> Source | None:
        """``F.interpolate``, by sizes where they are no multiples of the input's.

        None where PyTorch has no such coordinates, or where it would round a size another way.
        """
        kind = _interpolation(node)
        spatial = len(node.shape()) - 2
        coordinates = _coordinates(node)
        names = {
            ("linear", 1): "linear", ("linear", 2): "bilinear", ("linear", 3): "trilinear",
            ("cubic", 2): "bicubic",
        }  # fmt: skip
        mode = "nearest" if kind == "nearest" else names.get((kind, spatial))
        shape, out = node.shape(), tuple(node.outputs[0].shape or ())
        aligned = coordinates == "align_corners"
        if mode is None or shape[:2] != out[:2] or not 1 <= spatial <= _MOST_SPATIAL:
            return None
        if kind == "nearest":
            known = all(_is_pytorchs_nearest(node, axis) for axis in range(2, len(shape)))
        else:
            # Of a single output slice PyTorch's place is the middle, as that of half_pixel.
            usual = coordinates == "pytorch_half_pixel" and 1 not in out[2:]
            known = aligned or usual or coordinates == "half_pixel"
        if not known or not _is_plain(node):
            return None
        writer = SizeWriter()
        factors = _factors(node)
        if factors is None:
            how = f"size={writer.bracketed(out[2:])}"
        else:
            # PyTorch multiplies in float64: a size could come out another.
            pairs = zip(shape[2:], factors, out[2:], strict=True)
            if any(isinstance(d, int) and math.floor(d * f) != size for d, f, size in pairs):
                return None
            how = f"scale_factor={factors[0] if len(set(factors)) == 1 else factors}"
        corners = ", align_corners=True" if aligned and kind != "nearest" else ""
        call = f'F.interpolate({{0}}, {how}, mode="{mode}"{corners})'
        return Source(call, sizes=writer.formulas)


_MOST_SPATIAL: Final = 3

_CUBIC: Final = -0.75


def _is_pytorchs_nearest(node: Node, axis: int) -> bool:
    """Whether PyTorch's nearest slice is ONNX's on an axis; always where it is not resized."""
    size, out = node.shape()[axis], (node.outputs[0].shape or ())[axis]
    scales = _scales(node) if _wanted(node) is None else None
    scale = Fraction(1) if scales is None else scales[axis]
    if out == size and scale == 1:
        return True
    # Sizes are asked for from opset 11 on, where the rounding does not depend on the scale.
    return _coordinates(node) == "asymmetric" and _rounding(node, scale) == "floor"


def _factors(node: Node) -> tuple[int | float, ...] | None:
    """PyTorch's scale factors of the spatial axes, whole ones as such; None where sizes are asked.

    Formulas that are asked for and are multiples of the input's sizes are scales, too.
    """
    scales, wanted = _scales(node), _wanted(node)
    if wanted is None:
        numbers = [float(f"{float(scale):.7g}") for scale in (scales or ())[2:]]
        return tuple(int(number) if number.is_integer() else number for number in numbers)
    if all(isinstance(size, int) for size in wanted[2:]):
        return None
    times = [divide_exactly(b, a) for a, b in zip(node.shape()[2:], wanted[2:], strict=True)]
    whole = tuple(number for number in times if isinstance(number, int) and number > 0)
    return whole if len(whole) == len(times) else None


def _is_plain(node: Node) -> bool:
    """Whether a node has none of the refinements that PyTorch's interpolation lacks."""
    usual = abs(node.real("cubic_coeff_a", _CUBIC) - _CUBIC) < 1e-6
    return usual and not node.integer("antialias", 0) and not node.integer("exclude_outside", 0)


def _span(node: Node, axis: int) -> Span:
    size = node.numbers()[axis]
    out = (node.outputs[0].shape or ())[axis]
    if not isinstance(out, int):
        raise _unknown(node, f"axis {axis} of its output is {out}")
    given = _scales(node)
    scale = Fraction(out, size) if given is None or _wanted(node) is not None else given[axis]
    if out == size and scale == 1:
        return Pointwise()
    return Interpolated(
        size,
        out,
        scale,
        _coordinates(node),
        _interpolation(node),
        _rounding(node, scale),
        bool(node.integer("antialias", 0)),
    )


def _interpolation(node: Node) -> Interpolation:
    mode = node.text("mode", "nearest")
    if mode == "bilinear":  # opset 7's word for it
        mode = "linear"
    if mode not in get_args(Interpolation):
        raise _unknown(node, f"mode {mode!r}")
    return cast("Interpolation", mode)


def _coordinates(node: Node) -> Coordinates:
    before = node.op_type == "Upsample" or node.opset < 11
    mode = node.text("coordinate_transformation_mode", "asymmetric" if before else "half_pixel")
    if mode not in get_args(Coordinates):
        raise _unknown(node, f"coordinate_transformation_mode {mode!r}")
    return cast("Coordinates", mode)


def _rounding(node: Node, scale: Fraction = Fraction(1)) -> Rounding:
    """Which neighbour is the nearest, on an axis of a scale.

    Opset 10 does not say it; ONNX Runtime takes the upper one where an axis shrinks (``SIMPLE``
    in upsamplebase.h).
    """
    before = node.op_type == "Upsample" or node.opset < 11
    if before and scale < 1:
        return "ceil"
    mode = node.text("nearest_mode", "floor" if before else "round_prefer_floor")
    if mode not in get_args(Rounding):
        raise _unknown(node, f"nearest_mode {mode!r}")
    return cast("Rounding", mode)


def _scales(node: Node) -> tuple[Fraction, ...] | None:
    """A scale for each axis; None where sizes are given instead."""
    if node.op_type == "Upsample" and "scales" in node.attributes:
        listed = node.attributes["scales"]
        return tuple(Fraction(s) for s in listed) if isinstance(listed, list | tuple) else None
    index = 1 if node.op_type == "Upsample" or node.opset < 11 else 2
    values = node.values(index)
    if not values or any(not isinstance(value, int | Fraction) for value in values):
        return None
    return _on_axes(node, tuple(cast("int | Fraction", v) for v in values), Fraction(1))


def _wanted(node: Node) -> tuple[Size, ...] | None:
    """A size for each axis; None where scales are given instead."""
    sizes = node.sizes(3)
    if not sizes:
        return None
    shape = list(node.shape())
    for axis, size in zip(_axes(node, len(sizes)), sizes, strict=True):
        shape[axis] = size
    return tuple(shape)


def _on_axes(
    node: Node, values: tuple[int | Fraction, ...], default: Fraction
) -> tuple[Fraction, ...]:
    full = [default] * len(node.shape())
    for axis, value in zip(_axes(node, len(values)), values, strict=True):
        full[axis] = Fraction(value)
    return tuple(full)


def _axes(node: Node, count: int) -> tuple[int, ...]:
    """The axes that scales or sizes are of: the named ones, or all.

    Raises:
        ShapeError: There is not one of them for each axis.
    """
    rank = len(node.shape())
    named = node.integers("axes") if node.opset >= 18 else None
    axes = tuple(range(rank) if named is None else (positive_axis(node, a, rank) for a in named))
    if len(axes) != count:
        raise node.fault(f"{count} scales or sizes for {len(axes)} axes")
    return axes


def _unknown(node: Node, found: str) -> ShapeError:
    return ShapeError(
        f"{node.op_type} '{node.name}'",
        found,
        "Scales or sizes that are constants or follow from the input's size, stretched.",
        "Export the model with fixed scales.",
    )
