"""The shapes of a model's inputs: channels as they are shown or as weights tell, any other size."""

from __future__ import annotations

from volunet.errors import ReverseError
from volunet.graph.netron.draft import Draft
from volunet.graph.netron.lines import Dimension
from volunet.graph.netron.model import AXES


def input_shapes(draft: Draft) -> dict[str, tuple[Dimension, ...]]:
    """The shape of each input.

    Raises:
        ReverseError: Nothing tells how many axes one has.
    """
    return {name: _shape(draft, name) for name in draft.sketch.inputs}


def _shape(draft: Draft, name: str) -> tuple[Dimension, ...]:
    shown = draft.shape(name)
    rank = len(shown) - 2 if shown else draft.rank
    if rank is None or rank < 0:
        raise ReverseError(
            draft.sketch.where,
            f"the picture shows neither a shape of input '{name}' nor a convolution's weights",
            "Shapes of weights tell how many axes and channels a network works on.",
            "In Netron choose View > Show Weights, and export the picture again.",
        )
    if rank not in AXES:
        return shown or ("batch", None)
    channels: Dimension = shown[1] if shown else None
    if not isinstance(channels, int):
        channels = channels_of_input(draft, name)
        if channels is not None:
            draft.notes.infer(
                f"channels of input '{name}': {channels}, as its first convolution reads"
            )
    sizes = shown[2:]
    if any(isinstance(size, int) for size in (*shown[:1], *sizes)):
        text = "×".join("?" if size is None else str(size) for size in shown)
        draft.notes.infer(
            f"input '{name}' takes any batch and any size: {text} in the picture is that of the "
            "export"
        )
    return ("batch", channels, *AXES[rank])


def channels_of_input(draft: Draft, name: str) -> int | None:
    """Channels of an input, as shown or as its first convolution reads; None: nothing tells."""
    shown = draft.shape(name)
    if len(shown) > 1 and isinstance(shown[1], int):
        return shown[1]
    return _channels_read(draft, name)


def _channels_read(draft: Draft, name: str) -> int | None:
    for node in draft.readers(name):
        weight = draft.weight(node, 1)
        if node.op_type == "Conv" and weight is not None:
            group = node.attributes.get("group", 1)
            return weight.shape[1] * (group if isinstance(group, int) else 1)
        if node.op_type == "ConvTranspose" and weight is not None:
            return weight.shape[0]
    for node in draft.readers(name):
        for output in node.outputs:
            found = _channels_read(draft, output)
            if found is not None:
                return found
    return None
