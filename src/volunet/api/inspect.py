"""`inspect`: what a network is, which sizes it takes and what a pass costs, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from volunet.api.graph_of import graph_of
from volunet.errors import ConfigError
from volunet.graph.inspecting.inspection import Inspection, inspect_model


def inspect(model: str | Path, size: Sequence[int] | None = None) -> Inspection:
    """Inspect a network: layers, sizes, receptive field, FLOPs, memory.

    Args:
        model: An ONNX file (volunet's or any other), a run folder, or ``preset:notes``.
        size: Spatial sizes of its input, in voxels, (D, H, W) for a volume. None: the size that its
            plan knows as usual, or 64 voxels an axis, made one that the network takes.

    Returns:
        The inspection. Where the network does not take the size, `Inspection.failure` says why.

    Raises:
        ConfigError: The model cannot be read.
        ShapeError: The size contradicts one that is fixed in the file.

    Example:
        >>> inspect("missing.onnx")
        Traceback (most recent call last):
        ...
        volunet.errors.ConfigError: missing.onnx: no such file.
        A model is an ONNX file or a run folder of volunet train.
        Check the path.
    """
    if size is not None and min(size, default=0) < 1:
        raise ConfigError(
            f"size {tuple(size)}",
            "a size below 1",
            "Spatial sizes of the input, each at least 1.",
            "For instance 224x144x144.",
        )
    graph, plan = graph_of(model)
    return inspect_model(graph, str(model), plan, size)
