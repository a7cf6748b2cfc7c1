"""What each kind of arrow of a U stands for, counted, with the operators that it covers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from volunet.graph.drawing.legend import MARGIN
from volunet.graph.drawing.levels import Block, Link
from volunet.graph.drawing.palette import slug
from volunet.graph.drawing.svg import Picture
from volunet.graph.drawing.u_shape import UShape
from volunet.graph.drawing.words import clean
from volunet.graph.inspecting.details import details
from volunet.graph.operators import OPERATORS, Role

_ROW: Final = 21.0
_MOST: Final = 6
"""Kinds of convolutions that are told apart."""

_NAMES: Final = {
    "BatchNormalization": "batch normalisation",
    "InstanceNormalization": "instance normalisation",
    "GroupNormalization": "group normalisation",
    "LayerNormalization": "layer normalisation",
    "Relu": "ReLU",
    "LeakyRelu": "leaky ReLU",
    "PRelu": "PReLU",
    "Elu": "ELU",
    "Gelu": "GELU",
    "Erf": "GELU",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "MaxPool": "max pooling",
    "AveragePool": "average pooling",
    "Conv": "convolution",
    "ConvTranspose": "transposed convolution",
    "Resize": "upsampling",
    "Upsample": "upsampling",
}


def role_of(block: Block) -> Role:
    """The role whose colour a block and the arrow to it have."""
    if block.kind == "down":
        return "pooling" if block.nodes[0].op_type.endswith("Pool") else "convolution"
    roles: dict[str, Role] = {"input": "input", "up": "upsampling"}
    return roles.get(block.kind, "convolution")


def kernel_of(block: Block) -> str:
    """The kernel of what made a block, empty where it has none."""
    return dict(details(block.nodes[0])).get("kernel", "") if block.nodes else ""


def usual_kernel(u: UShape) -> str:
    """The kernel that most convolutions have, which is not written at their arrows."""
    kernels = Counter(kernel_of(block) for block in u.blocks if block.kind == "convolution")
    return kernels.most_common(1)[0][0] if kernels else ""


def draw_legend(picture: Picture, u: UShape, y: float) -> float:
    """Draw an example of every kind of arrow, and say what it is; the y below."""
    usual = usual_kernel(u)
    for role, kind, text, count in _arrows(u):
        name = slug(role)
        x, middle = MARGIN, y + 8
        with picture.group([], "legend"):
            if kind == "convolution":
                picture.arrow([(x, middle), (x + 26, middle)], f"line-{name}", f"strong-{name}")
            elif kind == "down":
                picture.arrow([(x + 13, y), (x + 13, y + 16)], f"line-{name}", f"strong-{name}", 2)
            elif kind == "up":
                picture.arrow([(x + 13, y + 16), (x + 13, y)], f"line-{name}", f"strong-{name}", 2)
            times = f" ({count})" if count > 1 else ""
            above = kind == "convolution" and usual and f" {usual}" not in text
            note = "; its kernel stands at the arrow" if above else ""
            picture.text(x + 38, y + 12, clean(f"{text}{times}{note}", 150), 12)
        y += _ROW
    for links, draw in ((u.skips, _draw_skip), (u.shortcuts, _draw_shortcut)):
        for text, count in Counter(map(_link_text, links)).most_common():
            with picture.group([], "legend"):
                draw(picture, MARGIN, y)
                times = f" ({count})" if count > 1 else ""
                picture.text(MARGIN + 38, y + 12, f"{text}{times}", 12)
            y += _ROW
    return y


def _draw_skip(picture: Picture, x: float, y: float) -> None:
    picture.arrow([(x, y + 8), (x + 26, y + 8)], "line-skip", "strong-skip", 2, "7 4")


def _draw_shortcut(picture: Picture, x: float, y: float) -> None:
    points = [(x + 3, y + 3), (x + 3, y + 12), (x + 23, y + 12), (x + 23, y + 3)]
    picture.arrow(points, "line-skip", "strong-skip", 1.2)


def _link_text(link: Link) -> str:
    marks = ["gated"] * ("gated" in link.marks) + sorted(link.marks - {"gated"})
    done = [*marks, "added" if link.is_added else "concatenated"]
    listed = done[0] if len(done) == 1 else f"{', '.join(done[:-1])} and {done[-1]}"
    return f"{'skip' if link.is_skip else 'shortcut'}: {listed}"


def _arrows(u: UShape) -> list[tuple[Role, str, str, int]]:
    """Role, kind, text and number of each kind of arrow, the most frequent of a kind first."""
    found: list[tuple[Role, str, str, int]] = []
    kinds: tuple[tuple[str, Callable[[Block], str]], ...] = (
        ("convolution", _convolution_text), ("down", _way_text), ("up", _way_text),
    )  # fmt: skip
    for kind, text_of in kinds:
        counts = Counter(
            (role_of(block), text_of(block)) for block in u.blocks if block.kind == kind
        )
        found += [(role, kind, text, n) for (role, text), n in counts.most_common(_MOST)]
        rest = sum(counts.values()) - sum(n for _, n in counts.most_common(_MOST))
        if rest:
            found.append(("convolution", kind, "others", rest))
    return found


def _convolution_text(block: Block) -> str:
    return ", ".join([_way_text(block), *_tail(block)])


def _tail(block: Block) -> list[str]:
    """The norms and activations behind a convolution, each once."""
    names: dict[str, None] = {}
    for node in block.nodes[1:]:
        operator = OPERATORS.get(node.op_type)
        role = "other" if operator is None else operator.role_in(node)
        if role in ("normalisation", "activation") or node.op_type == "Erf":
            names[_NAMES.get(node.op_type, node.op_type)] = None
    return list(names)


def _way_text(block: Block) -> str:
    node = block.nodes[0]
    known = dict(details(node))
    name = _NAMES.get(node.op_type, node.op_type)
    if "mode" in known and name == "upsampling":
        name += f", {known['mode']}"
    kernel = f" {known['kernel']}" if "kernel" in known else ""
    stride = f", stride {known['stride']}" if "stride" in known else ""
    return f"{name}{kernel}{stride}"
