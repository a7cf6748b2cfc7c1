"""Scans of one call, one after the other: what fails is told at the end, what is there is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from volunet.errors import EngineError, ShapeError, VolumeError, VolunetError
from volunet.inference.model import Model
from volunet.inference.one_scan import predict_file
from volunet.inference.scans import Scan
from volunet.inference.streaming.planning import BudgetError, NotStreamedError
from volunet.inference.ways import Ways
from volunet.tasks.answer import answer_of
from volunet.volumes import check_output_folder
from volunet.volumes.scratch import clear_scratch
from volunet.volumes.slabs import is_zarr

_log = logging.getLogger(__name__)


def predict_files(
    model: Model,
    scans: Sequence[Scan],
    output: Path,
    ways: Ways,
    progress: Callable[[float, int], None] | None,
) -> list[Path]:
    """Predict scans into a folder.

    Args:
        model: The model.
        scans: The scans, of different names.
        output: The folder; new or empty, but to go on.
        ways: How they are to be predicted.
        progress: Called with the scans done and their number.

    Returns:
        The files of all scans, in their order.

    Raises:
        OutputError: The folder is not empty, or the disk is full.
        VolunetError: Scans could not be predicted; of several, all are named when the others are
            done.
    """
    if ways.asked.resume:
        clear_scratch(output)
    else:
        check_output_folder(output)
    answer = answer_of(model.plan, probabilities=ways.asked.probabilities)
    written: list[Path] = []
    faults: list[VolunetError] = []
    for done, scan in enumerate(scans):
        target = output / answer.file_name(scan.name, as_zarr=is_zarr(scan.files[0]))
        if not (ways.asked.resume and target.exists()):
            try:
                predict_file(model, scan, target, ways, _within(ways, progress, done, len(scans)))
            except (VolumeError, EngineError, ShapeError, BudgetError, NotStreamedError) as error:
                fault = _named(error, scan)
                faults.append(fault)
                _log.error("%s", fault)
            else:
                written.append(target)
        else:
            written.append(target)
        if progress:
            progress(done + 1, len(scans))
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise VolumeError(
            f"{len(faults)} of {len(scans)} scans",
            "could not be predicted:\n" + "\n".join(f"- {e.where}: {e.found}" for e in faults),
            f"The other {len(written)} are in {output}.",
            "Mend these, then run the command again with --resume.",
        )
    return written


def _within(
    ways: Ways, progress: Callable[[float, int], None] | None, before: int, total: int
) -> Callable[[str, float], None]:
    """Progress within one scan as progress among all; only the pass itself takes long."""

    def stage(name: str, share: float) -> None:
        ways.report.stage(name, share)
        if progress and name == "predict":
            progress(before + min(share, 0.999), total)

    return stage


def _named(error: VolunetError, scan: Scan) -> VolunetError:
    """The error with the scan's name in it: an engine knows the size that it refused, no more."""
    if isinstance(error, VolumeError):
        return error
    where = f"{scan.files[0]} ({error.where})"
    return EngineError(where, error.found, error.expected, error.do)
