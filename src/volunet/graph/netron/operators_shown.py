"""Which operator a drawn node is: by its title, its tooltip, its name, or what is written in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from volunet.graph.netron.drawing import Colour, DrawnNode
from volunet.graph.netron.lines import CUT, ShownLine
from volunet.graph.netron.schema import operator_names

_ATEN: Final = {
    "conv1d": "Conv", "conv2d": "Conv", "conv3d": "Conv", "convolution": "Conv",
    "conv_transpose1d": "ConvTranspose", "conv_transpose2d": "ConvTranspose",
    "conv_transpose3d": "ConvTranspose", "max_pool1d": "MaxPool", "max_pool2d": "MaxPool",
    "max_pool3d": "MaxPool", "avg_pool2d": "AveragePool", "avg_pool3d": "AveragePool",
    "cat": "Concat", "relu": "Relu", "leaky_relu": "LeakyRelu", "batch_norm": "BatchNormalization",
    "instance_norm": "InstanceNormalization", "linear": "Gemm", "addmm": "Gemm",
    "softmax": "Softmax", "sigmoid": "Sigmoid", "add": "Add", "mul": "Mul", "sub": "Sub",
    "div": "Div", "view": "Reshape", "upsample_trilinear3d": "Resize",
    "upsample_bilinear2d": "Resize", "upsample_nearest3d": "Resize", "gelu": "Gelu", "elu": "Elu",
}  # fmt: skip
"""PyTorch's names of operators, after which its newer exporter names nodes."""

_COLOURS: Final[dict[Colour, str]] = {
    (51, 85, 136): "layer",
    (112, 41, 33): "activation",
    (75, 27, 22): "activation",
    (51, 85, 51): "pool",
    (51, 85, 68): "normalization",
    (89, 66, 59): "tensor",
}
"""Netron's colours of the heads of nodes, light and dark."""

_BY_COLOUR: Final = {"activation": "Relu", "pool": "MaxPool", "tensor": "Concat"}
"""The most usual operator of a colour, where nothing else tells one."""


def operator_of(node: DrawnNode, lines: Iterable[ShownLine]) -> tuple[str, str]:
    """The operator of a node, and how it was told: ``shown``, or why it was inferred.

    Empty where nothing tells it.
    """
    title, tooltip = node.title.text, node.title.tooltip
    for text in (title, tooltip):
        plain = text.strip("[]").rpartition(".")[2]
        if plain in operator_names():
            return plain, "shown"
    cut = _uncut(title)
    if cut:
        return cut, "shown"
    for text in (tooltip, node.title.hint, title):
        name = _in_name(text)
        if name:
            return name, "the end of its name"
    inferred = _by_lines(list(lines), category_of(node))
    return (inferred, "its colour and its weights") if inferred else ("", "")


def category_of(node: DrawnNode) -> str:
    """Netron's category of a node by the colour of its head; empty where that is none of its."""
    return _COLOURS.get(node.colour, "") if node.colour is not None else ""


def is_pale(node: DrawnNode) -> bool | None:
    """Whether a node's head is pale, as those of inputs and outputs are; None: not known."""
    return None if node.colour is None else min(node.colour) > 200


def _uncut(title: str) -> str:
    """The operator of which a title shows the beginning and the end."""
    begin, cut, end = title.partition(CUT)
    if not cut or not begin or not end:
        return ""
    matches = [name for name in operator_names() if name.startswith(begin) and name.endswith(end)]
    return matches[0] if len(matches) == 1 else ""


def _in_name(name: str) -> str:
    last = re.split(r"[/.…\s]", name.strip("[]"))[-1]
    last = re.sub(r"(_\d+)+$", "", last.removeprefix("node_").removeprefix("node-name-"))
    if last in operator_names():
        return last
    return _ATEN.get(last.lower().lstrip("_"), "")


def _by_lines(lines: list[ShownLine], category: str) -> str:
    names = {line.name for line in lines}
    shapes = {line.name: line.shape or () for line in lines}
    if {"scale", "B"} <= names:
        return "BatchNormalization" if len(shapes) > 3 else "InstanceNormalization"
    if "scales" in names:
        return "Resize"
    weight = shapes.get("W", ())
    if len(weight) >= 3:
        bias = shapes.get("B", weight[:1])
        is_transposed = bias != weight[:1] or "output_padding" in names
        return "ConvTranspose" if is_transposed else "Conv"
    if category == "layer" and {"B", "C"} <= names:
        return "Gemm"
    return _BY_COLOUR.get(category, "")
