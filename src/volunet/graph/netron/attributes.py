"""Lists of numbers that are cut off in the picture, completed from the operator's rank."""

from __future__ import annotations

from volunet.errors import ReverseError
from volunet.graph.netron.draft import Draft, DraftNode


def complete_lists(draft: Draft) -> None:
    """Complete the lists that are cut off: as many numbers as the operator has axes.

    Raises:
        ReverseError: Nothing tells how many axes it has, or the numbers shown leave it open.
    """
    for node in draft.nodes:
        for name, shown in node.cut.items():
            node.attributes[name] = _completed(draft, node, name, shown)
        node.cut.clear()


def _completed(draft: Draft, node: DraftNode, name: str, shown: list[int]) -> list[int]:
    rank = _rank(draft, node)
    if rank is None or name not in ("pads", "strides", "dilations", "kernel_shape", "axes",
                                    "output_padding"):  # fmt: skip
        raise ReverseError(
            draft.sketch.where,
            f"{node}: {name} is cut off behind {', '.join(map(str, shown))}",
            "A list that Netron cuts off is completed where the number of axes tells its length.",
            "Such a network cannot be read from its picture: give the ONNX file.",
        )
    length = rank * 2 if name == "pads" else rank
    if name == "pads" and len(shown) >= rank:
        begins = shown[:rank]
        whole = [*shown, *begins[len(shown) - rank :]]
        draft.notes.infer(
            f"pads {_text(whole)}, cut off behind {len(shown)} of {length} numbers: as many behind "
            "as in front",
            node.op_type,
        )
        return whole
    whole = [*shown, *[shown[-1]] * (length - len(shown))]
    draft.notes.infer(
        f"{name} {_text(whole)}, cut off behind {len(shown)} of {length} numbers: the same on "
        "every axis",
        node.op_type,
    )
    return whole


def _rank(draft: Draft, node: DraftNode) -> int | None:
    for name in ("kernel_shape", "strides", "dilations"):
        if name in node.attributes:
            return len(node.attributes[name])
    weight = draft.weight(node, 1)
    if weight is not None and node.op_type in ("Conv", "ConvTranspose"):
        return len(weight.shape) - 2
    return draft.rank


def _text(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
