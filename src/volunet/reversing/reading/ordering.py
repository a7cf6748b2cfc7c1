"""The order of a network's layers: depth first from its outputs, whatever order the file has."""

from __future__ import annotations

from collections.abc import Sequence

from volunet.reversing.reading.layers import Layer


def in_order(layers: Sequence[Layer], outputs: Sequence[str]) -> list[Layer]:
    """Layers in the order in which the outputs ask for them, each input before its reader.

    What nothing asks for is left out. Two files of one network differ in the order of their nodes,
    not in this.
    """
    makers = {layer.output: layer for layer in layers}
    done: set[str] = set()
    order: list[Layer] = []
    for output in outputs:
        stack = [(output, False)]
        while stack:
            name, is_ready = stack.pop()
            layer = makers.get(name)
            if layer is None or name in done:
                continue
            if is_ready:
                done.add(name)
                order.append(layer)
                continue
            stack.append((name, True))
            stack += [(value, False) for value in reversed(layer.inputs)]
    return order
