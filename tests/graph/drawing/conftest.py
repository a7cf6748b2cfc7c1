"""U-Nets of every kind, written node by node, and what is read from a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import onnx_ir as ir
import pytest
from onnx import NodeProto, helper

from volunet.graph.network import Network, infer_sizes
from volunet.graph.reading.onnx_file import read_onnx

SVG = "{http://www.w3.org/2000/svg}"


class Builder:
    """Writes nodes and weights one after the other."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Any] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, array: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array)
        return name

    def conv(self, x: str, ins: int, outs: int, kernel: int = 3, stride: int = 1, pad: int = 1):
        weight = self.constant(np.zeros((outs, ins, *(kernel,) * 3), np.float32))
        y = self.add("Conv", x, weight, pads=[pad] * 6, strides=[stride] * 3)
        return self.add("Relu", y)

    def spatial(self, x: str) -> str:
        """The spatial sizes of a tensor, computed in the graph."""
        start, end = self.constant(np.array([2])), self.constant(np.array([5]))
        return self.add("Slice", self.add("Shape", x), start, end)


def _block(b: Builder, x: str, ins: int, outs: int, residual: bool, pad: int) -> str:
    y = b.conv(b.conv(x, ins, outs, pad=pad), outs, outs, pad=pad)
    if not residual:
        return y
    weight = b.constant(np.zeros((outs, ins, 1, 1, 1), np.float32))
    return b.add("Add", y, b.add("Conv", x, weight))


def _aligned(b: Builder, skip: str, up: str, align: str) -> tuple[str, str]:
    axes = b.constant(np.array([2, 3, 4]))
    if align == "crop":
        start = b.constant(np.array([0, 0, 0]))
        return b.add("Slice", skip, start, b.spatial(up), axes), up
    if align == "pad":
        missing = b.add("Sub", b.spatial(skip), b.spatial(up))
        pads = b.add("Concat", b.constant(np.zeros(5, np.int64)), _fives(b), missing, axis=0)
        return skip, b.add("Pad", up, pads)
    return skip, up


def _fives(b: Builder) -> str:
    return b.constant(np.zeros(2, np.int64))


@pytest.fixture(scope="session")
def make_u(make_model: Callable[..., ir.Model]) -> Callable[..., ir.Model]:
    """Make a U-Net of some levels with 4, 8, 16 … channels and two classes.

    Keywords: ``down`` is ``pool`` or ``stride``; ``up`` is ``transpose`` or ``resize``; ``align``
    is ``none``, ``crop`` or ``pad``; ``join`` is ``Concat`` or ``Add``; ``pad`` is each
    convolution's padding.
    """

    def make(
        levels: int = 3,
        *,
        down: str = "pool",
        up: str = "transpose",
        align: str = "none",
        join: str = "Concat",
        residual: bool = False,
        pad: int = 1,
        size: Sequence[int | str] = (1, 1, "d", "h", "w"),
    ) -> ir.Model:
        b = Builder()
        x, ins, skips = "x", 1, []
        for level in range(levels):
            outs = 4 * 2**level
            if level and down == "pool":
                x = b.add("MaxPool", x, kernel_shape=[2] * 3, strides=[2] * 3)
            elif level:
                x, ins = b.conv(x, ins, outs, stride=2), outs
            x, ins = _block(b, x, ins, outs, residual, pad), outs
            skips.append((x, outs))
        for skip, outs in skips[-2::-1]:
            if up == "transpose":
                weight = b.constant(np.zeros((ins, outs, 2, 2, 2), np.float32))
                x = b.add("ConvTranspose", x, weight, strides=[2] * 3)
            else:
                scales = b.constant(np.array([1, 1, 2, 2, 2], np.float32))
                x = b.conv(b.add("Resize", x, "", scales, mode="linear"), ins, outs)
            taken, x = _aligned(b, skip, x, align)
            x = b.add("Concat", taken, x, axis=1) if join == "Concat" else b.add("Add", taken, x)
            x = _block(b, x, 2 * outs if join == "Concat" else outs, outs, residual, pad)
            ins = outs
        y = b.conv(x, ins, 2, kernel=1, pad=0)
        b.nodes.append(helper.make_node("Identity", [y], ["y"], name="leave"))
        return make_model(b.nodes, size, b.weights)

    return make


@pytest.fixture(scope="session")
def classifier(make_model: Callable[..., ir.Model]) -> Network:
    """Three poolings and a fully connected layer."""
    b = Builder()
    x, ins = "x", 1
    for outs in (4, 8, 16):
        pooled = b.conv(x, ins, outs)
        x, ins = b.add("MaxPool", pooled, kernel_shape=[2] * 3, strides=[2] * 3), outs
    flat = b.add("Flatten", x)
    weight = b.constant(np.zeros((128, 10), np.float32))
    b.nodes.append(helper.make_node("Gemm", [flat, weight], ["y"], name="classify"))
    return infer_sizes(make_model(b.nodes, (1, 1, 16, 16, 16), b.weights), "classes.onnx")


@pytest.fixture(scope="session")
def notes_network(reference_folder: Path) -> Network:
    """The notes' reference network at 32×48×16."""
    path = reference_folder / "notes_unet3d_small_eval.onnx"
    return infer_sizes(read_onnx(path), path.name, (32, 48, 16))


@pytest.fixture(scope="session")
def read_svg() -> Callable[[str], Xml.Element]:
    """Parse a picture, and check that it is one that refers to nothing outside and runs nothing."""

    def read(svg: str) -> Xml.Element:
        assert svg.count("http") == 1  # the name of the format, which is no link
        root = Xml.fromstring(svg)  # noqa: S314 - our own
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "title", "style", "rect", "g", "text", "path", "polygon"}
        attributes = {name for element in root.iter() for name in element.attrib}
        assert not any("href" in name or name.startswith("on") for name in attributes)
        assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
        return root

    return read


@pytest.fixture(scope="session")
def texts_of() -> Callable[[Xml.Element, str], list[list[str]]]:
    """The texts of each group of a class."""

    def texts(root: Xml.Element, name: str) -> list[list[str]]:
        groups = [group for group in root.iter(f"{SVG}g") if group.get("class") == name]
        return [[text.text or "" for text in group.iter(f"{SVG}text")] for group in groups]

    return texts
