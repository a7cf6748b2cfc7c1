"""`Model`: a plan with an engine, ready to predict; what a file or a trained network becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx_ir as ir

from volunet.errors import ConfigError
from volunet.graph.reading.onnx_file import find_plan, read_onnx
from volunet.inference.engines import DeferredEngine, Engine, choose_engine, open_engine
from volunet.plan import METADATA_KEY, Normalisation, NormalisationKind, Plan, Triple
from volunet.tasks.segmentation.plan import Segmentation


@dataclass(frozen=True)
class Model:
    """A model that is ready to predict.

    Attributes:
        plan: What it expects and answers.
        engine: What runs it.
        normalises: Whether normalisation is inside the engine's graph.
        source: Reads the model's graph, which a streamed pass follows.
        threads: Threads for the engine; None leaves it to the engine.
    """

    plan: Plan
    engine: Engine
    normalises: bool = True
    source: Callable[[], ir.Model] | None = None
    threads: int | None = None

    def read_graph(self) -> ir.Model:
        """The model's graph.

        Raises:
            ConfigError: The model was made without one.
        """
        if self.source is None:
            raise ConfigError(
                self.plan.dataset,
                "a model without its graph",
                "A pass in bounded memory follows the graph of an ONNX file or a run folder.",
                "Open the model from a file.",
            )
        return self.source()


@dataclass(frozen=True)
class ForeignModel:
    """What the user says of an ONNX file that carries no plan; each field is a flag.

    Attributes:
        spacing: ``native``, or the model's voxel spacing in mm as ``D,H,W``.
        orientation: Such as ``RAS``; ``any`` leaves the scan's.
        normalisation: ``none``, ``zscore`` or ``clip_zscore:LOW,HIGH,MEAN,STD``.
        classes: Names of the output channels, background first, separated by commas.
    """

    spacing: str | None = None
    orientation: str | None = None
    normalisation: str | None = None
    classes: str | None = None

    @property
    def missing(self) -> list[str]:
        """Flags that are not given."""
        return [f"--{name}" for name, value in vars(self).items() if value is None]


def open_model(
    path: str | Path,
    engine: str = "auto",
    *,
    foreign: ForeignModel | None = None,
    threads: int | None = None,
) -> Model:
    """Open an ONNX file.

    Args:
        path: The file.
        engine: See `volunet.inference.engines.choose_engine`.
        foreign: What the user says of a file without a plan.
        threads: Threads for the engine; None leaves it to the engine.

    Raises:
        ConfigError: The file is no ONNX, or carries no plan and a flag that replaces it is missing,
            or it carries one and flags contradict it.
        EngineError: The engine is not installed or does not take the model.
    """
    path = Path(path)
    name = choose_engine(engine)
    graph = read_onnx(path)
    plan = find_plan(graph, path)
    given = foreign or ForeignModel()
    opened = DeferredEngine(name, partial(open_engine, path, name, threads))
    if plan is not None:
        if len(given.missing) < len(vars(given)):
            raise ConfigError(
                path,
                "a plan in its metadata, and flags that say otherwise",
                "A model of volunet export says itself what it expects.",
                f"Leave out {', '.join(sorted(_flags(given)))}.",
            )
        return Model(plan, opened, source=partial(read_onnx, path), threads=threads)
    if given.missing:
        raise ConfigError(
            path,
            f"no {METADATA_KEY} in its metadata: not a model of volunet export",
            "Without it, flags say what the model expects and answers: --spacing native|D,H,W, "
            "--orientation RAS|…|any, --normalisation none|zscore|clip_zscore:LOW,HIGH,MEAN,STD, "
            "--classes background,NAME,…",
            f"Add {', '.join(given.missing)}.",
        )
    shape = graph.graph.inputs[0].shape
    channels = shape[1] if shape is not None and len(shape) == 5 else None
    if not isinstance(channels, int):
        raise ConfigError(
            path,
            f"an input of shape {shape}",
            "A model for volumes has an input (1, C, D, H, W) with C fixed.",
            "Export the network again with a 5D input.",
        )
    plan = plan_of_foreign(given, channels, path)
    return Model(plan, opened, normalises=False, source=partial(read_onnx, path), threads=threads)


def plan_of_foreign(given: ForeignModel, channels: int, where: Path) -> Plan:
    """The plan that the flags describe.

    Args:
        given: All four flags.
        channels: Input channels of the model.
        where: The file, for messages.

    Raises:
        ConfigError: A flag cannot be read.
    """
    classes = tuple(name.strip() for name in (given.classes or "").split(","))
    kind, _, numbers = (given.normalisation or "").partition(":")
    rule = _normalisation(kind, numbers)
    spacing_mm = _spacing(given.spacing or "native")
    try:
        return Plan(
            dataset=where.stem,
            channels=tuple(f"channel {index}" for index in range(channels)),
            orientation=given.orientation or "any",
            spacing_mm=spacing_mm,
            normalisation=(rule,) * channels,
            task=Segmentation(
                classes=classes,
                label_values=tuple(range(len(classes))),
                colours=((0, 0, 0),) * len(classes),
            ),
            patch_size=(1, 1, 1),
            batch_size=1,
            network=None,
        )
    except ValueError as error:
        raise ConfigError(
            "--orientation, --classes",
            f"{given.orientation!r}, {given.classes!r}",
            "Orientations are three letters such as RAS or LPS, or any; classes are names.",
            "Correct the flag.",
        ) from error


def _flags(given: ForeignModel) -> set[str]:
    return {f"--{name}" for name in vars(given)} - set(given.missing)


def _normalisation(kind: str, numbers: str) -> Normalisation:
    kinds: dict[str, NormalisationKind] = {
        "none": "none",
        "zscore": "zscore",
        "clip_zscore": "clip_zscore",
    }
    try:
        if kind != "clip_zscore":
            if numbers:
                raise ValueError
            return Normalisation(kind=kinds[kind])
        low, high, mean, std = _numbers(numbers, 4)
        return Normalisation(kind="clip_zscore", low=low, high=high, mean=mean, std=std)
    except (KeyError, ValueError) as error:
        raise ConfigError(
            "--normalisation",
            f"{kind}{':' if numbers else ''}{numbers}",
            "It is none, zscore or clip_zscore:LOW,HIGH,MEAN,STD with LOW < HIGH and STD > 0.",
            "Give it as the network was trained.",
        ) from error


def _spacing(text: str) -> Triple | None:
    if text == "native":
        return None
    try:
        depth, height, width = _numbers(text, 3)
        if min(depth, height, width) <= 0:
            raise ValueError
    except ValueError as error:
        raise ConfigError(
            "--spacing",
            text,
            "It is native or three numbers above 0: mm along D,H,W (NIfTI k,j,i).",
            "For instance --spacing 3,1,1 for 3 mm slices of 1 mm pixels.",
        ) from error
    return depth, height, width


def _numbers(text: str, count: int) -> list[float]:
    parts = [float(part) for part in text.split(",")]
    if len(parts) != count:
        raise ValueError(text)
    return parts
