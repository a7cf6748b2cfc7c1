"""`predict`: scans through a model, whatever form they come in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack, overload

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its documentation uses)
from numpy.typing import NDArray

from volunet.errors import ConfigError, EngineError, VolumeError, VolunetError
from volunet.extras import check_train_extra
from volunet.inference import ForeignModel, Model, choose_engine, open_engine, open_model
from volunet.inference.predict import predict_volume
from volunet.inference.scans import Scan, find_scans, read_scan
from volunet.volumes import (
    Volume,
    check_output_folder,
    image_of_volume,
    volume_of_image,
    write_volume,
)
from volunet.volumes.axes import Spacing3

_log = logging.getLogger(__name__)

ENDING: Final = ".nii.gz"
"""Ending of predictions, whatever the scan's: every viewer reads it."""


class PredictOptions(TypedDict, total=False):
    """The flags of `predict`, which documents each of them."""

    spacing_mm: Spacing3 | None
    engine: str
    probabilities: bool
    foreign: ForeignModel | None
    resume: bool
    threads: int | None
    progress: Callable[[int, int], None] | None


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
    progress: Callable[[int, int], None] | None = None,
) -> Any:
    """Segment scans, each with one whole-volume pass, and answer on their own grids.

    Args:
        model: An ONNX file, a run folder, or a model that `open_any` has opened.
        scans: With `output`, files and folders. Without, one scan: a file, a `Volume`, a
            SimpleITK image, or an array (D, H, W) or (C, D, H, W).
        output: A new or empty folder for the predictions, ``NAME.nii.gz`` each.
        spacing_mm: Voxel spacing of an array in mm, (D, H, W); its axes are taken as RAS.
        engine: ``openvino``, ``onnxruntime``, ``torch`` or ``auto``, the fastest installed.
        probabilities: Answer a probability for each class instead of labels.
        foreign: What an ONNX file without a plan expects and answers.
        resume: Keep the predictions that are in `output` already and go on with the others.
        threads: Threads for the engine; None leaves it to the engine.
        progress: Called with the scans done and their number.

    Returns:
        The files written; or without `output` the answer in kind: a file or `Volume` answers a
        `Volume`, an image an image, an array an array.

    Raises:
        ConfigError: The model cannot be used as it is, or an array has no spacing.
        VolumeError: A scan cannot be predicted; of several, all are named when the others are done.
        EngineError: The engine refuses the size of a scan; of several, as above.
        OutputError: The output folder is not empty.

    Example:
        >>> predict("model.onnx", np.zeros((4, 4, 4)))
        Traceback (most recent call last):
        ...
        volunet.errors.ConfigError: spacing_mm: not given.
        An array has no place in space of its own; spacing_mm is its voxel size in mm, (D, H, W).
        Pass spacing_mm=(1.0, 1.0, 1.0), for instance.
    """
    if output is not None:
        found = (
            list(scans) if isinstance(scans, Sequence) and not isinstance(scans, str) else [scans]
        )
        opened = open_any(model, engine, foreign=foreign, threads=threads)
        targets = find_scans(found, len(opened.plan.channels))
        return _predict_files(opened, targets, Path(output), probabilities, resume, progress)
    as_volume = _as_volume(scans, spacing_mm)
    opened = open_any(model, engine, foreign=foreign, threads=threads)
    if as_volume is None:
        as_volume = _read_only_scan(scans, len(opened.plan.channels))
    answer = predict_volume(opened, as_volume, probabilities=probabilities)
    if isinstance(scans, sitk.Image):
        return image_of_volume(answer)
    if isinstance(scans, np.ndarray):
        return answer.array if probabilities else answer.array[0]
    return answer


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
    if name == "torch":
        return Model(run.plan, TorchEngine(DeployedNetwork(network, run.plan), threads))
    return Model(run.plan, open_engine(convert(network, run.plan), name, threads))


def _predict_files(
    model: Model,
    scans: Sequence[Scan],
    output: Path,
    probabilities: bool,
    resume: bool,
    progress: Callable[[int, int], None] | None,
) -> list[Path]:
    if not resume:
        check_output_folder(output)
    written: list[Path] = []
    faults: list[VolunetError] = []
    for done, scan in enumerate(scans):
        target = output / f"{scan.name}{ENDING}"
        if not (resume and target.exists()):
            try:
                volume = read_scan(scan, len(model.plan.channels))
                answer = predict_volume(model, volume, probabilities=probabilities)
            except (VolumeError, EngineError) as error:
                fault = _named(error, scan)
                faults.append(fault)
                _log.error("%s", fault)
            else:
                write_volume(answer, target)
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


def _named(error: VolumeError | EngineError, scan: Scan) -> VolunetError:
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
