"""Kernels, strides and pads that a picture does not show, from how sizes must change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx_ir as ir

from volunet.graph.netron.draft import Draft, DraftNode, Weight
from volunet.graph.netron.solving import Sizes
from volunet.graph.netron.windows_shown import POOLS, RESIZES, TRANSPOSED, Option


def infer_windows(draft: Draft, rank: int) -> None:
    """Complete what changes sizes: convolutions, poolings and resizings.

    Raises:
        ReverseError: Some join cannot be satisfied.
    """
    resizes = [node for node in draft.nodes if node.op_type in RESIZES]
    if draft.attributes_shown and not any(_is_open(draft, node) for node in resizes):
        return
    sizes = Sizes(draft, rank)
    reason = "the joins behind it agree" if sizes.has_joins else "nothing contradicts it"
    found = sizes.solve()
    for node in draft.nodes:
        options = found.get(node.name)
        if options is None:
            continue
        if node.op_type in RESIZES:
            _resize(draft, node, options, reason)
        elif not draft.attributes_shown:
            _window(draft, node, options, reason)


def _window(draft: Draft, node: DraftNode, options: Sequence[Option], reason: str) -> None:
    kernel = [option.kernel for option in options]
    strides = [int(option.stride) for option in options]
    pads = [option.begin for option in options] + [option.end for option in options]
    node.attributes |= {"kernel_shape": kernel, "strides": strides, "pads": pads}
    text = f"stride {_text(strides)}, pads {_text(pads)}"
    does = _does(options)
    if node.op_type in POOLS:
        text = f"kernel {_text(kernel)}, {text}"
        draft.notes.leave(
            "whether a pooling has a larger kernel with padding, or rounds up (ceil_mode)"
        )
    elif node.op_type == TRANSPOSED:
        extra = [option.output_padding for option in options]
        if any(extra):
            node.attributes["output_padding"] = extra
            text += f", output padding {_text(extra)}"
        if set(kernel) == {2} and set(strides) == {2}:
            draft.notes.leave(
                "whether a transposed convolution with a kernel of 2 has dilation 2, pads 1 and "
                "output padding 1: that doubles the size as well"
            )
    elif node.op_type == "Conv":
        draft.notes.leave("whether a convolution has another padding of the same total")
    if node.op_type not in POOLS:
        text = f"of kernel {_text(kernel)}, {text}"
    draft.notes.infer(f"{text}: it {does}, so that {reason}", node.op_type)


def _does(options: Sequence[Option]) -> str:
    steps = {round(option.halvings, 2) for option in options}
    if steps == {0}:
        return "keeps the size"
    if steps == {1}:
        return "halves the size"
    if steps == {-1}:
        return "doubles the size"
    factors = [2**-option.halvings for option in options]
    return f"multiplies the size by {', '.join(f'{factor:.3g}' for factor in factors)}"


def _is_open(draft: Draft, node: DraftNode) -> bool:
    """Whether the factor of a resizing is in a constant that is not shown."""
    return any(
        weight is not None and weight.values is None and weight.shape not in ((), (0,))
        for weight in (draft.weight(node, index) for index in range(1, 4))
    )


_SCALES: Final = {"Resize": 2, "Upsample": 1}


def _resize(draft: Draft, node: DraftNode, options: Sequence[Option], reason: str) -> None:
    if _is_open(draft, node):
        place = _SCALES[node.op_type]
        scales = np.array([1.0, 1.0, *(option.stride for option in options)], np.float32)
        old = [name for name in node.inputs[1:] if name in draft.weights]
        for name in old:
            if all(name not in other.inputs for other in draft.nodes if other is not node):
                del draft.weights[name]
        name = f"{node.name}.scales"
        draft.weights[name] = Weight(scales.shape, ir.DataType.FLOAT, scales)
        node.inputs = [node.inputs[0], *[""] * (place - 1), name]
        text = _text([float(scale) for scale in scales[2:]])
        draft.notes.infer(f"scales {text}: it {_does(options)}, so that {reason}", node.op_type)
    if not draft.attributes_shown:
        node.attributes |= {"mode": "linear"}
        if node.op_type == "Resize":
            node.attributes["coordinate_transformation_mode"] = "half_pixel"
        draft.notes.infer("linear interpolation (half_pixel), the usual one", node.op_type)
        draft.notes.leave("how a resizing interpolates: nearest, linear or cubic")


def _text(numbers: Sequence[float]) -> str:
    if len(set(numbers)) == 1:
        return f"{numbers[0]:g}"
    return "×".join(f"{number:g}" for number in numbers)
