"""Whether the sizes of a completed network agree: with one another, and with the shapes shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx_ir as ir

from volunet.errors import ReverseError, ShapeError
from volunet.graph.netron.draft import Draft
from volunet.graph.network import Failure, Network, infer_sizes

_TRIED: Final = (384, 320, 224, 188, 97)
"""Sizes of all axes of which a network is to take one, where none is shown: multiples of the
strides that networks have, then some that those without padding take."""


def check_sizes(draft: Draft, model: ir.Model) -> None:
    """Check that the sizes of a model fit: as formulas, and at the size of the export.

    Raises:
        ReverseError: They do not.
    """
    where = draft.sketch.where
    for failure in infer_sizes(model, where).failures:
        raise _disagreement(draft, failure)
    shown = draft.shape(draft.sketch.inputs[0])
    if len(draft.sketch.inputs) == 1 and shown and all(isinstance(s, int) for s in shown):
        network = _at(model, where, [size for size in shown if isinstance(size, int)])
        if network is not None:
            for failure in network.failures:
                raise _disagreement(draft, failure)
            _check_shown(draft, network)
        return
    rank = draft.rank or 0
    networks = [_at(model, where, [size] * rank) for size in _TRIED if rank]
    found = [network for network in networks if network is not None]
    if found and all(network.failures for network in found):
        raise _disagreement(draft, found[0].failures[0])


def _at(model: ir.Model, where: str, size: Sequence[int]) -> Network | None:
    try:
        return infer_sizes(model, where, size)
    except ShapeError:  # one of its axes is fixed: this is no size of it
        return None


def _disagreement(draft: Draft, failure: Failure) -> ReverseError:
    return ReverseError(
        draft.sketch.where,
        f"its sizes cannot agree: {failure}",
        "What an operator reads has the sizes that its weights and its other inputs need.",
        "An operator or an edge may be missing in the picture, or what it leaves out is unusual: "
        "export it again with attributes (View > Show Attributes).",
    )


def _check_shown(draft: Draft, network: Network) -> None:
    for name, shape in draft.sketch.shapes.items():
        tensor = network.tensors.get(name)
        if tensor is None or tensor.shape is None or not all(isinstance(s, int) for s in shape):
            continue
        if tuple(tensor.shape) != shape:
            raise ReverseError(
                draft.sketch.where,
                f"'{name}' is {'×'.join(map(str, shape))} in the picture, but "
                f"{'×'.join(map(str, tensor.shape))} as its operators are completed",
                "The shapes beside the edges are those that the operators make.",
                "Export the picture again with attributes (View > Show Attributes).",
            )
