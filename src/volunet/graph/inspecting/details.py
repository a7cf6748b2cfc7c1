"""What a node says beyond its operator's name, in words: ``kernel 3×3×3, stride 2``.

Only what differs from the operator's defaults; shared by the table of `volunet inspect` and the
picture of `volunet draw`. A file is not trusted: an attribute of an unexpected kind is written as
it is or left out, and no weights are ever written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

import onnx_ir as ir

from volunet.graph.node import Node
from volunet.graph.sizes import Expression
from volunet.graph.tensors import Value

LONGEST: Final = 48
"""Signs of one value that are written out."""


def details(node: Node) -> list[tuple[str, str]]:
    """A node's attributes that are not its operator's defaults.

    Returns:
        Name and value, such as ``("kernel", "3×3×3")``, ``("stride", "2")``; those that most say
        what the operator does first.

    Example:
        >>> pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
        >>> details(Node("Conv", "conv", 18, pads, (), ()))
        [('kernel', '3×3'), ('padding', '1')]
    """
    found = _INPUTS.get(node.op_type, _nothing)(node)
    found |= {_WORDS.get(key, _words(key)): text for key, text in _attributes(node)}
    kernel = _kernel(node)
    if kernel is not None:
        found["kernel"] = kernel
    ranks = {word: rank for rank, word in enumerate(_ORDER)}
    return sorted(found.items(), key=lambda item: ranks.get(item[0], len(ranks)))


def channels_text(node: Node) -> str | None:
    """What a convolution or a fully connected layer does to the channels: ``32 → 64 channels``."""
    if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and node.has(0) and node.outputs:
        before, after = node.input(0).shape, node.outputs[0].shape
        axis, word = (1, "channels") if "Conv" in node.op_type else (-1, "features")
        if before is not None and after is not None and min(len(before), len(after)) > 1:
            return f"{before[axis]} → {after[axis]} {word}"
    return None


def _attributes(node: Node) -> list[tuple[str, str]]:
    texts = []
    for name, value in node.attributes.items():
        default = _DEFAULTS.get((node.op_type, name), _DEFAULTS.get(("", name)))
        if name in _LEFT_OUT or _is_default(value, default):
            continue
        if name == "nearest_mode" and node.attributes.get("mode") != "nearest":
            continue
        text = _FORMS.get(name, _plain)(value)
        if text:
            texts.append((name, _short(text)))
    return texts


def _is_default(value: object, default: object) -> bool:
    if isinstance(value, float) and isinstance(default, int | float):
        return math.isclose(value, default, rel_tol=1e-6)
    if isinstance(value, list) and isinstance(default, int):
        return all(item == default for item in value)
    return value == default


def _kernel(node: Node) -> str | None:
    """The kernel of a convolution, which is its weights' where no attribute says it."""
    value = node.attributes.get("kernel_shape")
    if value is None and node.op_type in ("Conv", "ConvTranspose") and node.has(1):
        value = list((node.input(1).shape or ())[2:])
    return _short(_product(value)) or None


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]}…{text[1 - LONGEST // 2 :]}"


def _words(name: str) -> str:
    return _short(name.replace("_", " "))


def _number(value: object) -> str:
    if isinstance(value, float | Fraction):
        return f"{float(value):.6g}"
    return str(value) if isinstance(value, int | Expression) else ""


def _numbers(value: object) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return []
    texts = [_number(item) for item in value]
    return texts if all(texts) else []


def _plain(value: object) -> str:
    """Numbers, texts and short lists of them; nothing of tensors and graphs."""
    if isinstance(value, str):
        return value.replace("_", " ")
    if isinstance(value, list | tuple):
        texts = list(value) if all(isinstance(v, str) for v in value) else _numbers(value)
        return ", ".join(texts[:8]) + (", …" if len(texts) > 8 else "")
    return _number(value)


def _product(value: object) -> str:
    return "×".join(_numbers(value))


def _each(value: object) -> str:
    """One number where all axes have the same, else one an axis."""
    texts = _numbers(value)
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def _pads(value: object) -> str:
    """ONNX lists all ends in front and then all behind; here by axis, ``0…1`` where they differ."""
    texts = _numbers(value)
    half = len(texts) // 2
    pairs = zip(texts[:half], texts[half:], strict=False)
    return _each_text([front if front == back else f"{front}…{back}" for front, back in pairs])


def _each_text(texts: list[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _dtype(value: object) -> str:
    try:
        return ir.DataType(value).name.lower() if isinstance(value, int) else ""
    except ValueError:
        return str(value)


def _values(node: Node, index: int) -> Sequence[Value]:
    """An input's elements where they are known; none where the file lacks it."""
    tensor = node.inputs[index] if index < len(node.inputs) else None
    return () if tensor is None or tensor.values is None else tensor.values


def _nothing(node: Node) -> dict[str, str]:
    return {}


def _of_pad(node: Node) -> dict[str, str]:
    """Padding that is an input; axes that are not padded are not named."""
    values = _values(node, 1)
    half = len(values) // 2
    axes = _values(node, 3) or range(half)
    pairs = {axis: (values[i], values[half + i]) for i, axis in enumerate(list(axes)[:half])}
    padded = {axis: pair for axis, pair in pairs.items() if pair != (0, 0)}
    texts = {_short(f"{a}" if a == b else f"{a}…{b}") for a, b in padded.values()}
    if len(texts) == 1:
        return {"padding": f"{texts.pop()} on {_axes(padded)}"}
    return {"padding": f"on {_axes(padded)}"} if padded else {}


def _of_slice(node: Node) -> dict[str, str]:
    """Which axes are cut, and where, as far as that does not depend on the input."""
    starts, stops = _values(node, 1), _values(node, 2)
    axes = list(_values(node, 3)) or list(range(len(starts)))
    steps = list(_values(node, 4)) or [1] * len(starts)
    texts = {}
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=False):
        open_end = isinstance(stop, int) and abs(stop) >= 2**31 - 1
        behind = "" if open_end else f"{stop}"
        texts[f"axis {axis}"] = _short(f"{start}:{behind}" + ("" if step == 1 else f":{step}"))
    return texts


def _of_resize(node: Node) -> dict[str, str]:
    scales = _values(node, 2 if node.opset > 10 else 1)[2:]
    return {"scale": _product(scales)} if scales else {}


def _of_axes(node: Node) -> dict[str, str]:
    axes = _values(node, 1)
    return {"axes": ", ".join(_numbers(axes)[:8])} if axes else {}


def _of_scalar(node: Node) -> dict[str, str]:
    """The number that is added, multiplied with …, where it is one for all elements."""
    for index in range(len(node.inputs)):
        values = _values(node, index)
        if len(values) == 1:
            return {"constant": _short(_number(values[0]))}
    return {}


def _of_clip(node: Node) -> dict[str, str]:
    bounds = {"min": _values(node, 1), "max": _values(node, 2)}
    return {name: _number(values[0]) for name, values in bounds.items() if values}


def _axes(axes: dict[Value, object] | dict[Value, tuple[Value, Value]]) -> str:
    names = [str(axis) for axis in axes]
    return f"axis {names[0]}" if len(names) == 1 else f"axes {', '.join(names)}"


_INPUTS: Final[dict[str, Callable[[Node], dict[str, str]]]] = {
    "Pad": _of_pad,
    "Slice": _of_slice,
    "Resize": _of_resize,
    "Upsample": _of_resize,
    "Clip": _of_clip,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"), _of_scalar),
    **dict.fromkeys(
        ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "Squeeze", "Unsqueeze"), _of_axes
    ),
}
"""Operators that newer opsets tell by inputs what older ones tell by attributes."""

_FORMS: Final[dict[str, Callable[[object], str]]] = {
    "kernel_shape": _product,
    "strides": _each,
    "dilations": _each,
    "output_padding": _each,
    "output_shape": _product,
    "pads": _pads,
    "scales": _product,
    "ceil_mode": _yes,
    "count_include_pad": _yes,
    "keepdims": _yes,
    "to": _dtype,
}

_WORDS: Final = {
    "kernel_shape": "kernel",
    "strides": "stride",
    "dilations": "dilation",
    "pads": "padding",
    "group": "groups",
    "ceil_mode": "size rounded up",
    "count_include_pad": "padding counted",
    "coordinate_transformation_mode": "coordinates",
    "num_groups": "groups",
    "perm": "order",
    "to": "type",
    "scales": "scale",
    "keepdims": "axis kept",
    "transA": "transposed A",
    "transB": "transposed B",
}

_ORDER: Final = (
    "kernel", "stride", "dilation", "padding", "output padding", "groups", "mode", "scale",
    "coordinates", "axis", "axes",
)  # fmt: skip

_LEFT_OUT: Final = ("momentum", "training_mode", "transB", "allowzero", "storage_order", "value")
"""Of training only, of storage only, or a tensor."""

_DEFAULTS: Final[dict[tuple[str, str], object]] = {
    ("", "strides"): 1,
    ("", "dilations"): 1,
    ("", "pads"): 0,
    ("", "group"): 1,
    ("", "output_padding"): 0,
    ("", "auto_pad"): "NOTSET",
    ("", "ceil_mode"): 0,
    ("", "count_include_pad"): 0,
    ("", "epsilon"): 1e-5,
    ("", "keepdims"): 1,
    ("", "select_last_index"): 0,
    ("", "noop_with_empty_axes"): 0,
    ("", "transA"): 0,
    ("", "alpha"): 1.0,
    ("", "beta"): 1.0,
    ("", "approximate"): "none",
    ("", "saturate"): 1,
    ("Elu", "alpha"): 1.0,
    ("LeakyRelu", "alpha"): 0.01,
    ("HardSigmoid", "alpha"): 0.2,
    ("HardSigmoid", "beta"): 0.5,
    ("LRN", "alpha"): 1e-4,
    ("LRN", "beta"): 0.75,
    ("LRN", "bias"): 1.0,
    ("Dropout", "ratio"): 0.5,
    ("Flatten", "axis"): 1,
    ("ArgMax", "axis"): 0,
    ("ArgMin", "axis"): 0,
    ("Softmax", "axis"): -1,
    ("LogSoftmax", "axis"): -1,
    ("Gather", "axis"): 0,
    ("LayerNormalization", "axis"): -1,
    ("Pad", "mode"): "constant",
    ("Resize", "mode"): "nearest",
    ("Upsample", "mode"): "nearest",
    ("Resize", "coordinate_transformation_mode"): "half_pixel",
    ("Resize", "nearest_mode"): "round_prefer_floor",
    ("Resize", "cubic_coeff_a"): -0.75,
    ("Resize", "exclude_outside"): 0,
    ("Resize", "extrapolation_value"): 0.0,
    ("Resize", "antialias"): 0,
    ("Resize", "keep_aspect_ratio_policy"): "stretch",
    ("Shape", "start"): 0,
}
"""Of an operator, or of all that have the attribute; a number stands for a list of it."""
