"""Which pass a scan gets: whole, streamed or in windows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

from volunet.errors import ShapeError
from volunet.graph.inspecting.memory import predict_peak
from volunet.graph.network import infer_sizes
from volunet.inference.model import Model
from volunet.inference.streamed import StreamedScan, plan_scan
from volunet.inference.streaming.planning import NotStreamedError
from volunet.inference.streaming.process import available_bytes, resident_bytes
from volunet.requests import Mode
from volunet.tasks.answer import answer_of
from volunet.volumes.axes import Shape3
from volunet.volumes.grid import Grid
from volunet.volumes.resample import plan_conform

_SHARE_OF_FREE: Final = 0.9
"""Without a budget, a pass may take this share of what the machine has free."""

_SPARE_DISK: Final = 0.9
"""Share of the free disk that spilled slices may take."""

_UNKNOWN_ENGINE: Final = 1.5
"""Peak of an engine whose memory is not predicted, by OpenVINO's: at most, of those measured."""


@dataclass(frozen=True)
class Pass:
    """How a scan is predicted.

    Attributes:
        size: Size of the scan on the model's grid, (D, H, W).
        streamed: The plan of a streamed pass; None for a whole one.
        peak_bytes: Predicted peak of the process; None where it is not known.
        budget: Bytes that it may take; None without a limit.
    """

    size: Shape3
    streamed: StreamedScan | None
    peak_bytes: int | None
    budget: int | None

    def __str__(self) -> str:
        size = "×".join(map(str, self.size))
        peak = "not known" if self.peak_bytes is None else _gigabytes(self.peak_bytes)
        limit = "" if self.budget is None else f" of {_gigabytes(self.budget)}"
        if self.streamed is None:
            return f"{size} in one whole pass; predicted peak {peak}{limit}"
        plan = self.streamed.plan
        parts = [f"{size} streamed along {'DHW'[plan.axis]}, {plan.chunk} slices at a time"]
        if plan.recomputed:
            parts.append(f"computed twice: {', '.join(plan.recomputed)} (work ×{plan.work:.2f})")
        if plan.spilled:
            disk = _gigabytes(plan.footprint.disk_bytes)
            parts.append(f"on disk: {', '.join(plan.spilled)} ({disk})")
        return f"{'; '.join(parts)}; predicted peak {peak}{limit}"


def choose_pass(
    model: Model,
    files: Sequence[Path],
    grid: Grid,
    folder: Path,
    *,
    memory: int | None = None,
    mode: Mode = "auto",
) -> Pass:
    """Choose the pass of a scan before anything of it is computed.

    Args:
        model: The model.
        files: The scan's files; for messages, where it is in memory.
        grid: Its grid, with all channels.
        folder: Where slices can be spilled to.
        memory: Bytes that the process may take at most; None: what the machine has free.
        mode: ``whole``, whatever it takes; ``streamed``; or ``auto``: whole where that is predicted
            to fit, and without a budget also where the network cannot be streamed.

    Raises:
        BudgetError: The pass does not fit in the budget, or in what is free.
        NotStreamedError: The network can only be run whole, which a budget or the mode forbids.
        VolumeError: The scan does not have the model's channels.
        ShapeError: The network does not work at the scan's size.
    """
    on_grid = plan_conform(grid, model.plan.orientation, model.plan.spacing_mm)
    free = available_bytes()
    budget = memory
    if memory is None and free is not None:
        budget = resident_bytes() + int(_SHARE_OF_FREE * free)
    limit = memory if mode != "whole" else None
    if model.source is None and mode != "streamed":
        return Pass(on_grid.shape, None, None, limit)
    whole = None if mode == "streamed" else whole_peak(model, grid, on_grid)
    fits = whole is not None and (budget is None or whole <= budget)
    if mode == "whole" or (mode == "auto" and fits):
        return Pass(on_grid.shape, None, whole, limit)
    disk = int(_SPARE_DISK * shutil.disk_usage(_existing(folder)).free)
    # The scan and the answer are laid out there too, each up to twice.
    channels = len(model.plan.channels) + answer_of(model.plan).num_scores
    disk = max(disk - 8 * channels * prod(grid.shape), 0)
    try:
        streamed = plan_scan(model, files, grid, budget, disk)
    except (NotStreamedError, ShapeError):
        if mode == "auto" and memory is None:
            return Pass(on_grid.shape, None, whole, None)
        raise
    return Pass(on_grid.shape, streamed, streamed.plan.peak_bytes, memory)


def whole_peak(model: Model, grid: Grid, on_grid: Grid) -> int | None:
    """Predicted peak of the process in a whole pass, scan and answer included."""
    network = infer_sizes(model.read_graph(), model.plan.dataset, on_grid.shape)
    name = model.engine.name
    peak = predict_peak(network, "openvino" if name == "onnxruntime" else name)
    if peak is None:
        return None
    if name == "onnxruntime":
        peak = int(_UNKNOWN_ENGINE * peak)
    channels, scores = len(model.plan.channels), answer_of(model.plan).num_scores
    scan = 8 * channels * prod(grid.shape) + 8 * channels * prod(on_grid.shape)
    answer = 4 * (scores + 1) * prod(on_grid.shape) + 8 * prod(grid.shape)
    return resident_bytes() + peak + scan + answer


def _existing(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    return next(place for place in (folder, *folder.resolve().parents) if place.is_dir())


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
