"""Attributes and constants that a picture does not show and that change no spatial size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from volunet.errors import ReverseError
from volunet.graph.netron.channels import channels_of
from volunet.graph.netron.draft import Draft, DraftNode, Weight
from volunet.graph.netron.schema import definition_of

_USUAL: Final[Mapping[str, tuple[str, Any, str]]] = {
    "Concat": ("axis", 1, "channels are joined"),
    "Softmax": ("axis", 1, "over the channels"),
    "LogSoftmax": ("axis", 1, "over the channels"),
    "Split": ("axis", 1, "channels are split"),
    "ArgMax": ("axis", 1, "over the channels"),
}
"""Operator → an attribute whose default is not what networks usually have, and why."""

_TOLD: Final = ("alpha", "epsilon", "slope", "approximate")
"""Attributes whose default is taken and told, since it may well be another."""

_UNSEEN: Final[Mapping[str, tuple[str, ...]]] = {
    "Reshape": ("shape",), "Slice": ("starts", "ends", "axes", "steps"), "Pad": ("pads", "axes"),
    "Expand": ("shape",), "Tile": ("repeats",), "Unsqueeze": ("axes",), "Squeeze": ("axes",),
    "ReduceMean": ("axes",), "ReduceSum": ("axes",), "ReduceMax": ("axes",),
    "ReduceMin": ("axes",), "Gather": ("indices",), "Split": ("split",),
    "ConstantOfShape": ("input",), "Range": ("start", "limit", "delta"), "Resize": ("sizes",),
}  # fmt: skip
"""Operator → inputs whose numbers decide sizes; a picture shows their shape only."""


def infer_defaults(draft: Draft) -> None:
    """Complete what is left.

    Raises:
        ReverseError: A constant whose numbers decide sizes is not shown, and nothing tells it.
    """
    channels = channels_of(draft)
    for node in draft.nodes:
        if node.op_type in ("Conv", "ConvTranspose"):
            _group(draft, node, channels)
        if node.op_type == "Gemm" and not draft.attributes_shown:
            _gemm(draft, node, channels)
        if not draft.attributes_shown:
            _attributes(draft, node)
        _constants(draft, node, channels)


def _group(draft: Draft, node: DraftNode, channels: Mapping[str, int]) -> None:
    weight, own = draft.weight(node, 1), channels.get(node.inputs[0])
    if weight is None or own is None or draft.attributes_shown or node.op_type != "Conv":
        return
    group, rest = divmod(own, weight.shape[1])
    if rest or not group:
        raise ReverseError(
            draft.sketch.where,
            f"{node} has weights of {'×'.join(map(str, weight.shape))} for an input of {own} "
            "channels",
            "The channels of the input are a multiple of the second size of the weights.",
            "An operator or an edge may be missing in the picture: export it again.",
        )
    if group > 1:
        node.attributes["group"] = group
        draft.notes.infer(
            f"{group} groups: {own} channels enter, {weight.shape[1]} of weights", "Conv"
        )


def _gemm(draft: Draft, node: DraftNode, channels: Mapping[str, int]) -> None:
    weight, bias = draft.weight(node, 1), draft.weight(node, 2)
    if weight is None or len(weight.shape) != 2:
        return
    reads = channels.get(node.inputs[0])
    is_plain = reads == weight.shape[0] != weight.shape[1]
    if bias is not None and bias.shape and bias.shape[-1] == weight.shape[1] != weight.shape[0]:
        is_plain = True
    if not is_plain:
        node.attributes["transB"] = 1
        draft.notes.infer("transB 1, as PyTorch exports a linear layer", "Gemm")


def _attributes(draft: Draft, node: DraftNode) -> None:
    usual = _USUAL.get(node.op_type)
    if usual is not None and usual[0] not in node.attributes:
        name, value, why = usual
        node.attributes[name] = value
        draft.notes.infer(f"{name} {value}: {why}", node.op_type)
    definition = definition_of(node.op_type, draft.opset)
    for name in _TOLD:
        if definition is not None and name in definition.defaults and name not in node.attributes:
            value = definition.defaults[name]
            text = value.decode() if isinstance(value, bytes) else f"{value:.6g}"
            draft.notes.infer(f"{name} {text}, its default", node.op_type)
            draft.notes.leave("numbers in attributes that change no size, such as alpha or epsilon")
    if node.op_type == "AveragePool":
        draft.notes.leave("whether an average pooling counts its padding")


def _constants(draft: Draft, node: DraftNode, channels: Mapping[str, int]) -> None:
    definition = definition_of(node.op_type, draft.opset)
    for name in _UNSEEN.get(node.op_type, ()):
        if definition is None or name not in definition.inputs:
            continue
        index = definition.inputs.index(name)
        weight = draft.weight(node, index)
        if weight is None or weight.values is not None:
            continue
        values, why = _guess(draft, node, name, weight, channels)
        if values is None:
            raise ReverseError(
                draft.sketch.where,
                f"{node} reads its {name} from a constant of {'×'.join(map(str, weight.shape))}, "
                "of which the picture shows no numbers",
                "Sizes follow from such numbers; a picture shows only how many there are.",
                "Such a network cannot be read from its picture: give the ONNX file.",
            )
        weight.values = np.array(values, ir.DataType.INT64.numpy()).reshape(weight.shape)
        draft.notes.infer(f"{name} {', '.join(map(str, values))}: {why}", node.op_type)


def _guess(
    draft: Draft, node: DraftNode, name: str, weight: Weight, channels: Mapping[str, int]
) -> tuple[list[int] | None, str]:
    """The numbers of a constant that is not shown, and why; None where nothing tells them."""
    count = weight.shape[0] if weight.shape else 1
    rank = draft.rank
    readers = draft.readers(node.outputs[0])
    if node.op_type == "Reshape":
        norm = next((r for r in readers if r.op_type == "InstanceNormalization"), None)
        if norm is not None and count == 3 and (scale := draft.weight(norm, 1)) is not None:
            return [0, scale.shape[0], -1], "the groups that the norm behind it has"
        if any(r.op_type in ("Gemm", "MatMul") for r in readers) and count == 2:
            return [0, -1], "a fully connected layer reads all that is left"
    if node.op_type.startswith("Reduce") and rank is not None and count == rank:
        return list(range(2, 2 + rank)), "over all spatial axes"
    if node.op_type == "Split" and (own := channels.get(node.inputs[0])) and own % count == 0:
        return [own // count] * count, "equal parts of the channels"
    return None, ""
