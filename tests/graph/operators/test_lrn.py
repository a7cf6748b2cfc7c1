"""Local response normalisation over neighbouring channels."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.graph.operators import OPERATORS

LRN = OPERATORS["LRN"]


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("sizes", [(3,), (3, 4), (2, 3, 4)])
def test_neighbouring_channels_are_read(
    one: Any, numbers: Any, check_sizes: Any, check_reads: Any, check_source: Any, size: int,
    sizes: tuple[int, ...],
) -> None:  # fmt: skip
    x = numbers(1, 6, *sizes)
    # ONNX Runtime's is of images: other axes become a third one.
    if len(sizes) != 2:
        x = x.reshape(1, 6, sizes[0], -1)
    model = one("LRN", [x], size=size, alpha=0.5, beta=0.6, bias=2.0)
    check_sizes(model)
    # Large squares would leave rounding behind in ONNX Runtime's running sum.
    check_reads(model, amount=1)
    assert check_source(model).module == (
        f"nn.LocalResponseNorm({size}, alpha=0.5, beta=0.6, k=2.0)".replace("2.0", "2")
    )
    assert LRN.flops(model.node).others == (2 * size + 3) * x.size


def test_an_even_size_has_one_more_channel_behind(one: Any, numbers: Any) -> None:
    """As the operator is defined; ONNX Runtime takes odd sizes only, PyTorch puts it in front."""
    model = one("LRN", [numbers(1, 6, 2, 2)], size=4)
    assert LRN.reads(model.node, 0, 1).span.need(2, 3) == (1, 5)
    assert LRN.source(model.node) is None
