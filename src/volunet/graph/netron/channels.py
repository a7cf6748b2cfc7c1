"""Channels of the values of a draft, as far as weights and shapes that are shown tell them."""

from __future__ import annotations

from volunet.graph.netron.draft import Draft, DraftNode
from volunet.graph.netron.inputs import channels_of_input
from volunet.graph.netron.solving import JOINS, KEEPING
from volunet.graph.netron.windows_shown import POOLS, RESIZES

_LIKE_INPUT = frozenset((*KEEPING, *POOLS, *RESIZES, "GlobalAveragePool", "GlobalMaxPool"))


def channels_of(draft: Draft) -> dict[str, int]:
    """Channels by the value that has them; those that nothing tells are left out."""
    channels: dict[str, int] = {}
    for name in draft.sketch.inputs:
        own = channels_of_input(draft, name)
        if own is not None:
            channels[name] = own
    for node in draft.nodes:
        made = _made(draft, node, channels)
        for name in node.outputs:
            shown = draft.shape(name)
            if len(shown) > 1 and isinstance(shown[1], int):
                channels[name] = shown[1]
            elif made is not None and node.op_type != "Split":
                channels[name] = made
    return channels


def _made(draft: Draft, node: DraftNode, channels: dict[str, int]) -> int | None:
    weight = draft.weight(node, 1)
    if node.op_type == "Conv" and weight is not None:
        return weight.shape[0]
    if node.op_type == "ConvTranspose" and weight is not None:
        group = node.attributes.get("group", 1)
        return weight.shape[1] * (group if isinstance(group, int) else 1)
    data = [channels.get(name) for name in draft.data(node)]
    known = [own for own in data if own is not None]
    if not data or len(known) < len(data):
        return None
    if node.op_type == "Concat":
        return sum(known)
    if node.op_type in JOINS:
        return max(known)
    if node.op_type in _LIKE_INPUT:
        return known[0]
    if node.op_type == "Flatten" and "GlobalAveragePool" in _before(draft, node):
        return known[0]
    return None


def _before(draft: Draft, node: DraftNode) -> str:
    producer = draft.producer(node.inputs[0])
    return producer.op_type if producer is not None else ""
