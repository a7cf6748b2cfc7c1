"""What a picture does not show of a network, inferred from what the network does."""

from __future__ import annotations

import onnx_ir as ir

from volunet.graph.netron.agreement import check_sizes
from volunet.graph.netron.attributes import complete_lists
from volunet.graph.netron.defaults import infer_defaults
from volunet.graph.netron.draft import Draft
from volunet.graph.netron.inputs import input_shapes
from volunet.graph.netron.model import build_model
from volunet.graph.netron.windows_inferred import infer_windows


def complete(draft: Draft) -> ir.Model:
    """Complete a draft, build its model and check that its sizes agree.

    Raises:
        ReverseError: Nothing that can be inferred makes the sizes agree.
    """
    complete_lists(draft)
    if draft.rank:
        infer_windows(draft, draft.rank)
    infer_defaults(draft)
    _note_order(draft)
    model = build_model(draft, input_shapes(draft))
    check_sizes(draft, model)
    draft.notes.leave("the weights: a picture shows only their shapes, so that all are 0 here")
    draft.notes.leave(
        "whether batch norms were folded into the convolutions before, which takes them away"
    )
    return model


def _note_order(draft: Draft) -> None:
    """Note joins whose order of inputs the picture leaves open."""
    for node in draft.nodes:
        data = list(draft.data(node))
        if node.op_type in ("Concat", "Sub", "Div", "Pow", "MatMul") and len(set(data)) > 1:
            draft.notes.infer(
                "inputs in the order in which they are made, so that a skip comes first: lines do "
                "not show it",
                node.op_type,
            )
