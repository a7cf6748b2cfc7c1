"""`predict`: scans through a model, whatever form they come in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its documentation uses)
from numpy.typing import NDArray

from volunet.api.opening import open_any
from volunet.errors import ConfigError
from volunet.inference import ForeignModel, Model
from volunet.inference.one_scan import predict_in_memory
from volunet.inference.scans import find_scans, read_scan
from volunet.inference.several_scans import predict_files
from volunet.inference.ways import Report, Ways
from volunet.requests import Mode, PredictionRequest
from volunet.volumes import Volume, image_of_volume, volume_of_image
from volunet.volumes.axes import Shape3, Spacing3

__all__ = ["PredictOptions", "Report", "open_any", "predict"]


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
    given = dict(locals())
    asked = PredictionRequest.of(**{name: given[name] for name in PredictionRequest.model_fields})
    ways = Ways(asked, report or Report())
    if output is not None:
        found = (
            list(scans) if isinstance(scans, Sequence) and not isinstance(scans, str) else [scans]
        )
        opened = open_any(model, engine, foreign=foreign, threads=threads)
        ways.check(opened)
        targets = find_scans(found, len(opened.plan.channels))
        return predict_files(opened, targets, Path(output), ways, progress)
    as_volume = _as_volume(scans, spacing_mm)
    opened = open_any(model, engine, foreign=foreign, threads=threads)
    ways.check(opened)
    if as_volume is None:
        as_volume = _read_only_scan(scans, len(opened.plan.channels))
    answer = predict_in_memory(opened, as_volume, ways, Path(tempfile.gettempdir()))
    if not isinstance(answer, Volume):  # of a task that answers something else
        return answer
    if isinstance(scans, sitk.Image):
        return image_of_volume(answer)
    if isinstance(scans, np.ndarray):
        return answer.array if probabilities else answer.array[0]
    return answer


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
