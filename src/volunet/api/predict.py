"""`predict`: scans through a model, whatever form they come in."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack, overload

import numpy as np
import onnx_ir as ir
import SimpleITK as sitk  # noqa: N813  (the name that its documentation uses)
from numpy.typing import NDArray

from volunet.errors import (
    ConfigError,
    EngineError,
    OutputError,
    ShapeError,
    VolumeError,
    VolunetError,
)
from volunet.extras import check_train_extra
from volunet.graph.onnx_file import parse_onnx
from volunet.inference import ForeignModel, Model, choose_engine, open_engine, open_model
from volunet.inference.engines import DeferredEngine
from volunet.inference.passes import Mode, Pass, check_mode, choose_pass
from volunet.inference.predict import check_scan, predict_volume
from volunet.inference.scans import Scan, find_scans, read_scan, read_scan_grid
from volunet.inference.streamed import predict_array, predict_streamed, write_slabs
from volunet.inference.streaming.planning import BudgetError, NotStreamedError
from volunet.inference.windows import agreement, check_windows, pad_values_of, predict_windows
from volunet.tasks.answer import answer_of
from volunet.tasks.segmentation.plan import segmentation_of
from volunet.volumes import (
    Volume,
    check_output_folder,
    image_of_volume,
    volume_of_image,
    write_volume,
)
from volunet.volumes.axes import Shape3, Spacing3
from volunet.volumes.scratch import clear_scratch, scratch_folder
from volunet.volumes.slabs import is_zarr

_log = logging.getLogger(__name__)

ENDING: Final = ".nii.gz"
"""Ending of predictions, whatever the scan's: every viewer reads it."""

ZARR_ENDING: Final = ".zarr"
"""Ending of the predictions of OME-Zarr scans."""


class PredictOptions(TypedDict, total=False):
    """The flags of `predict`, which documents each of them."""

    spacing_mm: Spacing3 | None
    engine: str
    probabilities: bool
    foreign: ForeignModel | None
    resume: bool
    threads: int | None
    memory: int | None
    mode: Mode
    windows: bool
    window_size: Shape3 | None
    compare: bool
    report: Report | None
    progress: Callable[[float, int], None] | None


@overload
def predict(
    model: str | Path | Model, scans: Volume, **options: Unpack[PredictOptions]
) -> Volume: ...
@overload
def predict(
    model: str | Path | Model, scans: NDArray[Any], **options: Unpack[PredictOptions]
) -> NDArray[Any]: ...
@overload
def predict(
    model: str | Path | Model, scans: str | Path, **options: Unpack[PredictOptions]
) -> Volume: ...
@overload
def predict(
    model: str | Path | Model,
    scans: str | Path | Sequence[str | Path],
    output: str | Path,
    **options: Unpack[PredictOptions],
) -> list[Path]: ...
@overload
def predict(
    model: str | Path | Model, scans: sitk.Image, **options: Unpack[PredictOptions]
) -> sitk.Image: ...
def predict(
    model: str | Path | Model,
    scans: Any,
    output: str | Path | None = None,
    *,
    spacing_mm: Spacing3 | None = None,
    engine: str = "auto",
    probabilities: bool = False,
    foreign: ForeignModel | None = None,
    resume: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    mode: Mode = "auto",
    windows: bool = False,
    window_size: Shape3 | None = None,
    compare: bool = False,
    report: Report | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Any:
    """Segment scans of any size with the answer of a whole-volume pass, on their own grids.

    A scan whose pass does not fit in memory is streamed slab by slab, with the same answer.

    Args:
        model: An ONNX file, a run folder, or a model that `open_any` has opened.
        scans: With `output`, files and folders. Without, one scan: a file, a `Volume`, a
            SimpleITK image, or an array (D, H, W) or (C, D, H, W).
        output: A new or empty folder for the predictions, ``NAME.nii.gz`` each; of an OME-Zarr scan
            ``NAME.zarr``.
        spacing_mm: Voxel spacing of an array in mm, (D, H, W); its axes are taken as RAS.
        engine: ``openvino``, ``onnxruntime``, ``torch`` or ``auto``, the fastest installed.
        probabilities: Answer a probability for each class instead of labels.
        foreign: What an ONNX file without a plan expects and answers.
        resume: Keep the predictions that are in `output` already and go on with the others.
        threads: Threads for the engine; None leaves it to the engine.
        memory: Bytes that the process may take at most, scan and engine included; None: what the
            machine has free.
        mode: ``auto``: whole where that is predicted to fit, else streamed; ``whole``; or
            ``streamed``.
        windows: Predict in overlapping windows with Gaussian blending instead, as networks are
            used that were trained so; an approximation, whose scores are held in memory.
        window_size: Size of the windows, (D, H, W); None: the size of the training patches.
        compare: With `windows`, predict exactly too and tell how well the two agree.
        report: Told how each scan is predicted, before, and how well passes agree.
        progress: Called with the scans done and their number.

    Returns:
        The files written; or without `output` the answer in kind: a file or `Volume` answers a
        `Volume`, an image an image, an array an array.

    Raises:
        ConfigError: The model cannot be used as it is, or an array has no spacing.
        VolumeError: A scan cannot be predicted; of several, all are named when the others are done.
        EngineError: The engine refuses the size of a scan, or no pass of it fits in the memory; of
            several, as above.
        BudgetError: Of one scan that is answered here, no pass fits in the memory.
        NotStreamedError: Likewise, it would have to be streamed and its network cannot be.
        OutputError: The output folder is not empty.

    Example:
        >>> predict("model.onnx", np.zeros((4, 4, 4)))
        Traceback (most recent call last):
        ...
        volunet.errors.ConfigError: spacing_mm: not given.
        An array has no place in space of its own; spacing_mm is its voxel size in mm, (D, H, W).
        Pass spacing_mm=(1.0, 1.0, 1.0), for instance.
    """
    ways = _Ways(memory, mode, windows, window_size, compare, probabilities, report or Report())
    if output is not None:
        found = (
            list(scans) if isinstance(scans, Sequence) and not isinstance(scans, str) else [scans]
        )
        opened = open_any(model, engine, foreign=foreign, threads=threads)
        ways.check(opened)
        targets = find_scans(found, len(opened.plan.channels))
        return _predict_files(opened, targets, Path(output), ways, resume, progress)
    as_volume = _as_volume(scans, spacing_mm)
    opened = open_any(model, engine, foreign=foreign, threads=threads)
    ways.check(opened)
    if as_volume is None:
        as_volume = _read_only_scan(scans, len(opened.plan.channels))
    answer = _predict_in_memory(opened, as_volume, ways, Path(tempfile.gettempdir()))
    if isinstance(scans, sitk.Image):
        return image_of_volume(answer)
    if isinstance(scans, np.ndarray):
        return answer.array if probabilities else answer.array[0]
    return answer


@dataclass(frozen=True)
class Report:
    """What a caller is told about the passes; each does nothing unless it is given.

    Attributes:
        planned: Called with a scan's name and its pass, before anything is computed.
        stage: Called with what is being done and the share of it that is.
        compared: Called with a scan's name and the Dice coefficient of each class between windows
            and the exact pass.
    """

    planned: Callable[[str, Pass], None] = lambda name, chosen: None
    stage: Callable[[str, float], None] = lambda stage, done: None
    compared: Callable[[str, dict[str, float]], None] = lambda name, dice: None


@dataclass(frozen=True)
class _Ways:
    """How scans are to be predicted; `predict` documents each."""

    memory: int | None
    mode: Mode
    windows: bool
    window_size: Shape3 | None
    compare: bool
    probabilities: bool
    report: Report

    def check(self, model: Model) -> None:
        """Refuse what does not go together before anything is read."""
        check_mode(self.mode)
        if self.windows:
            check_windows(model)
            if self.compare:
                check_train_extra("predict --compare")
            self._check_windows()
        elif self.compare or self.window_size is not None:
            raise ConfigError(
                "--compare" if self.compare else "--window-size",
                "without --windows",
                "Both are about the prediction in windows.",
                "Add --windows, or leave it out.",
            )

    def _check_windows(self) -> None:
        if self.compare and self.probabilities:
            raise ConfigError(
                "--compare",
                "with --probabilities",
                "Two label maps are compared.",
                "Leave out one of them.",
            )
        if not self.compare and (self.memory is not None or self.mode != "auto"):
            raise ConfigError(
                "--windows",
                "with --memory or --mode",
                "Windows hold all scores of the scan in memory; a budget is of the exact pass.",
                "Leave --windows out, or add --compare to run that pass too.",
            )

    def in_windows(self, model: Model) -> Callable[[NDArray[np.float32]], NDArray[Any]] | None:
        """Runs a model in windows; None where windows were not asked for."""
        if not self.windows:
            return None
        size = self.window_size or model.plan.patch_size
        if self.window_size is None and model.plan.network is None:
            raise ConfigError(
                "--windows",
                "no --window-size, and the model says none",
                "Windows are of the size that the network was trained on.",
                "Add --window-size, for instance 96x96x96.",
            )
        return partial(
            predict_windows, model.engine.run, window=size, pad_values=pad_values_of(model)
        )


def _predict_in_memory(model: Model, scan: Volume, ways: _Ways, place: Path) -> Volume:
    """A scan that is in memory already, by whichever pass; what is spilled goes to a folder."""
    name = str(scan.source or "volume")
    run = ways.in_windows(model)
    if run is not None:
        answer = predict_volume(model, scan, probabilities=ways.probabilities, run=run)
        if ways.compare:
            exact = _predict_in_memory(model, scan, replace(ways, windows=False), place)
            _compare(model, name, answer, exact, ways)
        return answer
    files = (scan.source or Path("volume"),)
    chosen = choose_pass(model, files, scan.grid, place, memory=ways.memory, mode=ways.mode)
    ways.report.planned(name, chosen)
    if chosen.streamed is None:
        return predict_volume(model, scan, probabilities=ways.probabilities)
    check_scan(scan, model.plan)
    answer_of(model.plan, probabilities=ways.probabilities).check(name)
    with scratch_folder(place) as scratch:
        array = predict_array(
            model, chosen.streamed, scan, scratch, probabilities=ways.probabilities,
            stage=ways.report.stage,
        )  # fmt: skip
    return Volume(array, scan.affine, scan.source)


def _compare(model: Model, name: str, a: Volume, b: Volume, ways: _Ways) -> None:
    task = segmentation_of(model.plan)
    dice = agreement(a.array[0], b.array[0], task.label_values, task.classes)
    ways.report.compared(name, dice)


def open_any(
    model: str | Path | Model,
    engine: str = "auto",
    *,
    foreign: ForeignModel | None = None,
    threads: int | None = None,
) -> Model:
    """Open an ONNX file or a run folder; a model that is open already stays as it is.

    A run folder's network runs in PyTorch as it is, or on the other engines after a conversion in
    memory.

    Raises:
        ConfigError: It is neither, or it cannot be used as it is.
        EngineError: The engine is not installed or does not take the model.
    """
    if isinstance(model, Model):
        return model
    if not Path(model).is_dir():
        return open_model(model, engine, foreign=foreign, threads=threads)
    check_train_extra("predict with a run folder")
    from volunet.exporting.convert import convert
    from volunet.inference.engines.torch_engine import TorchEngine
    from volunet.nets.deployed import DeployedNetwork
    from volunet.training.run_folder import read_network, read_run

    run = read_run(model)
    network = read_network(run)
    name = choose_engine(engine)

    @cache
    def as_onnx() -> bytes:
        return convert(network, run.plan)

    def source() -> ir.Model:
        return parse_onnx(as_onnx())

    if name == "torch":
        torch_engine = TorchEngine(DeployedNetwork(network, run.plan), threads)
        return Model(run.plan, torch_engine, source=source, threads=threads)
    opened = DeferredEngine(name, lambda: open_engine(as_onnx(), name, threads))
    return Model(run.plan, opened, source=source, threads=threads)


def _predict_files(
    model: Model,
    scans: Sequence[Scan],
    output: Path,
    ways: _Ways,
    resume: bool,
    progress: Callable[[float, int], None] | None,
) -> list[Path]:
    if output.is_dir():
        clear_scratch(output)  # of runs that were killed
    if not resume:
        check_output_folder(output)
    written: list[Path] = []
    faults: list[VolunetError] = []
    for done, scan in enumerate(scans):
        target = output / f"{scan.name}{ZARR_ENDING if is_zarr(scan.files[0]) else ENDING}"
        if not (resume and target.exists()):
            try:
                _predict_file(model, scan, target, ways, _within(ways, progress, done, len(scans)))
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
    ways: _Ways, progress: Callable[[float, int], None] | None, before: int, total: int
) -> Callable[[str, float], None]:
    """Progress within one scan as progress among all; only the pass itself takes long."""

    def stage(name: str, share: float) -> None:
        ways.report.stage(name, share)
        if progress and name == "predict":
            progress(before + min(share, 0.999), total)

    return stage


def _predict_file(
    model: Model, scan: Scan, target: Path, ways: _Ways, stage: Callable[[str, float], None]
) -> None:
    """One scan from its files to its answer's."""
    run = ways.in_windows(model)
    if run is None:
        grid = read_scan_grid(scan)
        chosen = choose_pass(
            model, scan.files, grid, target.parent, memory=ways.memory, mode=ways.mode
        )
        ways.report.planned(scan.name, chosen)
        if chosen.streamed is not None:
            with scratch_folder(target.parent) as scratch:
                predict_streamed(
                    model, chosen.streamed, target, scratch,
                    probabilities=ways.probabilities, stage=stage,
                )  # fmt: skip
            return
    volume = read_scan(scan, len(model.plan.channels))
    answer = predict_volume(model, volume, probabilities=ways.probabilities, run=run)
    if ways.compare:
        exact = _predict_in_memory(model, volume, replace(ways, windows=False), target.parent)
        _compare(model, scan.name, answer, exact, ways)
    # Written in the scratch folder, which the next run clears if this one is killed.
    with scratch_folder(target.parent) as scratch:
        hidden = scratch / target.name
        try:
            if is_zarr(scan.files[0]):
                write_slabs(answer, hidden, scratch)
            else:
                write_volume(answer, hidden)
        except OutputError as error:  # of the file that was asked for
            raise OutputError(target, error.found, error.expected, error.do) from error
        hidden.replace(target)


def _named(error: VolunetError, scan: Scan) -> VolunetError:
    """The error with the scan's name in it: an engine knows the size that it refused, no more."""
    if isinstance(error, VolumeError):
        return error
    where = f"{scan.files[0]} ({error.where})"
    return EngineError(where, error.found, error.expected, error.do)


def _read_only_scan(path: str | Path, num_channels: int) -> Volume:
    scan, *others = find_scans([path], num_channels)
    if others:
        raise ConfigError(
            path,
            f"{1 + len(others)} scans",
            "Without an output folder, one scan is predicted and answered.",
            "Name an output folder, or one file.",
        )
    return read_scan(scan, num_channels)


def _as_volume(scan: Any, spacing_mm: Spacing3 | None) -> Volume | None:
    """A scan in memory as a volume; None for a path."""
    if isinstance(scan, Volume):
        return scan
    if isinstance(scan, sitk.Image):
        return volume_of_image(scan)
    if isinstance(scan, np.ndarray):
        if spacing_mm is None:
            raise ConfigError(
                "spacing_mm",
                "not given",
                "An array has no place in space of its own; spacing_mm is its voxel size in mm, "
                "(D, H, W).",
                "Pass spacing_mm=(1.0, 1.0, 1.0), for instance.",
            )
        return Volume.of_array(scan, spacing_mm)
    return None
