"""One scan, from its files to its answer's: choose the pass, run it, write what it answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from volunet.errors import OutputError
from volunet.inference.model import Model
from volunet.inference.passes import choose_pass
from volunet.inference.predict import predict_volume
from volunet.inference.scans import Scan, read_scan, read_scan_grid
from volunet.inference.streamed import predict_streamed, predict_streamed_volume
from volunet.inference.ways import Ways
from volunet.tasks.answer import answer_of
from volunet.tasks.scores import agreement
from volunet.volumes import Volume
from volunet.volumes.scratch import scratch_folder


def predict_file(
    model: Model, scan: Scan, target: Path, ways: Ways, stage: Callable[[str, float], None]
) -> None:
    """Predict a scan and write the answer.

    Args:
        model: The model.
        scan: The scan.
        target: The file to write, or of an OME-Zarr the folder; whole or not at all.
        ways: How it is to be predicted.
        stage: Told what is being done and the share of it that is.

    Raises:
        VolumeError: The scan cannot be read, or is not what the model takes.
        EngineError: The engine refuses the scan's size.
        ShapeError: The network does not work at it.
        BudgetError: No pass fits in the memory.
        NotStreamedError: It would have to be streamed, and its network cannot be.
        OutputError: The disk is full.
    """
    run = ways.in_windows(model)
    if run is None:
        grid = read_scan_grid(scan)
        chosen = choose_pass(
            model, scan.files, grid, target.parent, memory=ways.asked.memory, mode=ways.asked.mode
        )
        ways.report.planned(scan.name, chosen)
        if chosen.streamed is not None:
            with scratch_folder(target.parent) as scratch:
                predict_streamed(
                    model, chosen.streamed, target, scratch,
                    probabilities=ways.asked.probabilities, stage=stage,
                )  # fmt: skip
            return
    volume = read_scan(scan, len(model.plan.channels))
    answer = predict_volume(model, volume, probabilities=ways.asked.probabilities, run=run)
    if ways.asked.compare:
        exact = predict_in_memory(model, volume, ways.exact(), target.parent)
        _compare(model, scan.name, answer, exact, ways)
    _write(model, answer, target, ways)


def predict_in_memory(model: Model, scan: Volume, ways: Ways, place: Path) -> Any:
    """Predict a scan that is in memory already.

    Args:
        model: The model.
        scan: The scan, (C, D, H, W).
        ways: How it is to be predicted.
        place: Folder for what a streamed pass spills.

    Returns:
        The task's result; of a segmentation labels (1, D, H, W) on the scan's own grid, or
        probabilities (K, D, H, W).

    Raises:
        VolunetError: As `predict_file`, but for the writing.
    """
    name = str(scan.source or "volume")
    run = ways.in_windows(model)
    if run is not None:
        answer = predict_volume(model, scan, probabilities=ways.asked.probabilities, run=run)
        if ways.asked.compare:
            exact = predict_in_memory(model, scan, ways.exact(), place)
            _compare(model, name, answer, exact, ways)
        return answer
    files = (scan.source or Path("volume"),)
    chosen = choose_pass(
        model, files, scan.grid, place, memory=ways.asked.memory, mode=ways.asked.mode
    )
    ways.report.planned(name, chosen)
    if chosen.streamed is None:
        return predict_volume(model, scan, probabilities=ways.asked.probabilities)
    with scratch_folder(place) as scratch:
        return predict_streamed_volume(
            model, chosen.streamed, scan, scratch,
            probabilities=ways.asked.probabilities, stage=ways.report.stage,
        )  # fmt: skip


def _write(model: Model, result: Any, target: Path, ways: Ways) -> None:
    """Write a result, whole or not at all."""
    answer = answer_of(model.plan, probabilities=ways.asked.probabilities)
    # Written in the scratch folder, which the next run clears if this one is killed.
    with scratch_folder(target.parent) as scratch:
        hidden = scratch / target.name
        try:
            answer.write(result, hidden, scratch)
        except OutputError as error:  # of the file that was asked for
            raise OutputError(target, error.found, error.expected, error.do) from error
        hidden.replace(target)


def _compare(model: Model, name: str, a: Volume, b: Volume, ways: Ways) -> None:
    ways.report.compared(name, agreement(model.plan, a, b))
