"""`Plan`: the contract between training, export and inference.

A plan says what a model expects (channels, orientation, spacing, intensities) and what it answers
(its task: for a segmentation, classes and their label values). It is derived from a data set by
`volunet.datasets.rules`, saved in the run folder as ``plan.json`` and carried inside the ONNX file
as metadata, so that neither prediction nor a foreign runtime needs anything but that one file.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from volunet.errors import ConfigError

PLAN_VERSION = 2
"""Version of the plan's format. Version 1, which knew one task, is read as a segmentation; a plan
of another version is refused, never guessed at."""

TASKS: Final[dict[str, str]] = {"segmentation": "volunet.tasks.segmentation"}
"""Kind of task → the package that does it. It is imported when a plan of that kind is read, so that
plans stand below tasks and still hold what a task needs; see `volunet.tasks`."""

METADATA_KEY = "volunet.plan"
"""Key of the plan in an ONNX file's ``metadata_props``."""

FLATNESS: Final = 1e-3
"""A scan whose standard deviation is under this share of its mean is taken as flat: dividing by a
smaller number would blow the rounding of the mean up into a signal."""

SMALLEST_STD: Final = 1e-6
"""Lower bound of the divisor where the mean is 0 as well."""

Triple = tuple[float, float, float]
Size3 = tuple[int, int, int]

Alignment = Literal["crop", "pad", "pad_input"]
Upsampling = Literal["transposed", "transposed_dilated", "trilinear"]
NormName = Literal["batch", "instance", "group", "none"]
ActivationName = Literal["relu", "leaky_relu", "elu", "gelu"]
Head = Literal["none", "softmax", "argmax"]
OutputActivation = Literal["none", "relu", "sigmoid", "softmax"]
NormalisationKind = Literal["none", "zscore", "clip_zscore"]
Augmentation = Literal["none", "light", "moderate", "strong"]


Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class Frozen(BaseModel):
    """What cannot be changed, and takes no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalisation(Frozen):
    """How one channel's raw intensities become the network's input.

    Attributes:
        kind: ``none``; ``zscore``: (x − mean) / max(std, `FLATNESS`·|mean|, `SMALLEST_STD`) of the
            whole volume, computed anew for each scan (MR, whose units are arbitrary);
            ``clip_zscore``: clip to [low, high], then (x − mean) / std
            with the data set's fixed numbers (CT, whose units are HU).
        low: Lower clipping bound in the scan's units, ``clip_zscore`` only.
        high: Upper clipping bound in the scan's units, ``clip_zscore`` only.
        mean: Mean of the clipped foreground intensities, ``clip_zscore`` only.
        std: Standard deviation of the same, ``clip_zscore`` only, > 0.
    """

    kind: NormalisationKind = "zscore"
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0.0)

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.kind == "clip_zscore" and not self.low < self.high:
            raise ValueError(f"clip_zscore needs low < high, got {self.low} and {self.high}")
        return self


class NetworkPlan(Frozen):
    """The arguments of `volunet.nets.UNet3d`, which documents each of them."""

    in_channels: int = Field(ge=1)
    out_channels: int = Field(ge=1)
    features: tuple[int, ...] = Field(default=(32, 64, 128, 256, 512), min_length=1)
    kernels: tuple[Size3, ...] | None = None
    strides: tuple[Size3, ...] | None = None
    alignment: Alignment = "pad_input"
    upsampling: Upsampling = "transposed"
    norm: NormName = "batch"
    activation: ActivationName = "relu"
    output_activation: OutputActivation = "none"
    residual: bool = False
    dropout: Probability | tuple[Probability, ...] = 0.0
    deep_supervision: bool = False

    @property
    def gives_probabilities(self) -> bool:
        """Whether the network answers probabilities itself, so that no softmax may follow."""
        return self.output_activation in ("softmax", "sigmoid")

    @property
    def total_stride(self) -> Size3:
        """Voxels of the input in one voxel of the deepest level, (D, H, W)."""
        return total_stride(self.strides or ((2, 2, 2),) * (len(self.features) - 1))

    def deepest_size(self, size: Size3) -> Size3:
        """Size of the deepest level's map for an input of a size, (D, H, W).

        Example:
            >>> net = NetworkPlan(in_channels=1, out_channels=2, features=(4, 8, 16))
            >>> net.deepest_size((4, 5, 9))
            (1, 2, 3)
        """
        pairs = zip(size, self.total_stride, strict=True)
        if self.alignment == "pad_input":
            depth, height, width = (-(-d // stride) for d, stride in pairs)
        else:  # padded to one stride at the least; each pooling then leaves out what is over
            depth, height, width = (max(1, d // stride) for d, stride in pairs)
        return depth, height, width


class Regularisation(Frozen):
    """The measures against overfitting that are not layers; dropout and norms are the network's.

    Attributes:
        l1: Weight of the sum of the absolute weights in the loss; norms and biases are left out.
        l2: The optimizer's weight decay (decoupled in AdamW: a step takes learning rate · l2 of
            each weight away); norms and biases are left out.
        augmentation: How much training patches are changed at random; chosen by the number of
            cases where nobody says.
        patience: Validations without a better Dice after which a fit ends; 0: never.
    """

    l1: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    l2: float = Field(default=1e-2, ge=0.0, allow_inf_nan=False)
    augmentation: Augmentation = "moderate"
    patience: int = Field(default=0, ge=0)


class Fingerprint(Frozen):
    """What a data set's scans have in common, the numbers that the plan's rules start from.

    Attributes:
        num_cases: Cases that were read.
        median_spacing_mm: Median voxel spacing in mm, (D, H, W), in the plan's orientation.
        median_size: Median size in voxels, (D, H, W), in the plan's orientation.
        largest_size: Largest size in voxels on each axis, (D, H, W).
        intensity_percentiles: For each channel the 0.5, 50 and 99.5 percentiles of the foreground.
        intensity_mean: For each channel the mean of the foreground after clipping to those.
        intensity_std: For each channel the standard deviation of the same.
        class_fractions: For each class its share of all voxels, background first.
    """

    num_cases: int = Field(ge=1)
    median_spacing_mm: Triple
    median_size: Size3
    largest_size: Size3
    intensity_percentiles: tuple[Triple, ...]
    intensity_mean: tuple[float, ...]
    intensity_std: tuple[float, ...]
    class_fractions: tuple[float, ...]


@dataclass(frozen=True)
class ValidationScore:
    """How the validation of a task judges a network.

    Attributes:
        name: Its name in columns.
        title: Its name in sentences and pictures.
        higher_is_better: Its direction.
        limits: Its smallest and largest value, None where there is none.
    """

    name: str
    title: str
    higher_is_better: bool = True
    limits: tuple[float | None, float | None] = (None, None)

    @property
    def validation(self) -> str:
        """The column of validation cases."""
        return f"val_{self.name}"

    @property
    def training(self) -> str:
        """The column of the training cases beside them."""
        return f"train_{self.name}"

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a value is better than the best so far, of which there may be none.

        The worst value that there can be says nothing yet: of two such the later is the better.

        Example:
            >>> dice = ValidationScore("dice", "Dice", limits=(0.0, 1.0))
            >>> dice.is_better(0.2, None), dice.is_better(0.2, 0.2), dice.is_better(0.0, 0.0)
            (True, False, True)
        """
        if best is None:
            return True
        worst = self.limits[0 if self.higher_is_better else 1]
        if value == worst == best:
            return True
        return value > best if self.higher_is_better else value < best


class Task(Frozen):
    """What a model answers; each task has a model of its own, ``MODEL`` in its module ``plan``.

    Attributes:
        kind: A key of `TASKS`.
    """

    LOSSES: ClassVar[tuple[str, ...]] = ()
    """Names of the losses that it is trained by; the first where nobody says."""

    ANSWERS: ClassVar[tuple[str, ...]] = ()
    """Forms of what a model file answers, if there are several; ``answer`` is then a field."""

    kind: str

    def loss(self, name: str | None) -> str:
        """The loss of a name, or the task's own.

        Raises:
            ConfigError: It has no such loss.
        """
        return self._choice("loss", name, self.LOSSES) or self.LOSSES[0]

    def answering(self, answer: str | None) -> Self:
        """The task with another form of answer; None leaves it.

        Raises:
            ConfigError: It has no such form.
        """
        chosen = self._choice("answer", answer, self.ANSWERS)
        return self if chosen is None else self.model_copy(update={"answer": chosen})

    def _choice(self, flag: str, name: str | None, choices: Sequence[str]) -> str | None:
        if name is not None and name not in choices:
            raise ConfigError(
                f"--{flag} {name}",
                f"no such {flag}",
                f"Choices of the task {self.kind} are {', '.join(choices) or '(none)'}.",
                "Take one of these, or leave the flag out.",
            )
        return name

    @property
    @abstractmethod
    def out_channels(self) -> int:
        """Channels of the network's output."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what the model tells apart, if they have any."""
        return ()

    @property
    @abstractmethod
    def score(self) -> ValidationScore:
        """How validation judges a network."""

    @property
    def head(self) -> Head:
        """What follows the network in the model file."""
        return "none"


class Plan(Frozen):
    """What a model expects and answers.

    Attributes:
        plan_version: Version of this format.
        dataset: Name of the data set.
        channels: Name of each input channel, for instance ``("CT",)``.
        orientation: Direction in which each NIfTI axis (i, j, k) grows, for instance ``"RAS"``;
            the array axes (W, H, D) follow in the same order. ``"any"``: as the scan comes.
        spacing_mm: Voxel spacing of the model's grid in mm, (D, H, W). None: as the scan comes.
        normalisation: One rule a channel; it is inside the exported graph.
        task: What the model answers, by the kind of task.
        patch_size: Size of training patches in voxels, (D, H, W).
        batch_size: Patches in a training batch.
        mirror_axes: Axes of (D, H, W) along which augmentation may mirror a patch.
        regularisation: The measures against overfitting.
        network: The network's arguments.
        members: Networks of these arguments whose probabilities are averaged (bagging); 1: one
            network alone.
        fingerprint: The numbers that the rules started from; None for a plan given by hand.
    """

    plan_version: int = PLAN_VERSION
    dataset: str
    channels: tuple[str, ...] = Field(min_length=1)
    orientation: str = Field(default="RAS", pattern=r"^([RL][AP][SI]|[RL][SI][AP]|[AP][RL][SI]|"
                             r"[AP][SI][RL]|[SI][RL][AP]|[SI][AP][RL]|any)$")  # fmt: skip
    spacing_mm: Triple | None
    normalisation: tuple[Normalisation, ...]
    task: SerializeAsAny[Task]
    patch_size: Size3
    batch_size: int = Field(ge=1)
    mirror_axes: tuple[int, ...] = ()
    regularisation: Regularisation = Regularisation()
    network: NetworkPlan | None
    members: int = Field(default=1, ge=1)
    fingerprint: Fingerprint | None = None

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.normalisation) != len(self.channels):
            raise ValueError(
                f"{len(self.channels)} channels but {len(self.normalisation)} normalisations"
            )
        return self

    @field_validator("task", mode="before")
    @classmethod
    def _read_task(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in TASKS:
            raise ValueError(f"kind {kind!r}, of {', '.join(TASKS)}")
        return import_module(f"{TASKS[kind]}.plan").MODEL.model_validate(value)


def total_stride(strides: Sequence[Size3]) -> Size3:
    """The product of some strides on each axis, (D, H, W).

    Example:
        >>> total_stride([(1, 2, 2), (2, 2, 2)])
        (2, 4, 4)
    """
    depth, height, width = (math.prod(stride[axis] for stride in strides) for axis in range(3))
    return depth, height, width


def read_plan(text: str, where: str | Path) -> Plan:
    """Read a plan from its JSON text.

    Args:
        text: The JSON text.
        where: The file that it came from, for the message.

    Raises:
        ConfigError: The text is not a plan of this version.
    """
    version = PLAN_VERSION
    try:
        version = _Version.model_validate_json(text).plan_version
        if version not in (1, PLAN_VERSION):
            raise ConfigError(
                where,
                f"a plan of version {version}",
                f"This volunet reads versions 1 to {PLAN_VERSION}.",
                "Train again, or use the volunet that wrote it.",
            )
        if version == 1:
            return Plan.model_validate(_from_version_1(json.loads(text)))
        return Plan.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the text"
        raise ConfigError(
            where,
            f"not a plan of version {version}: {place}: {first['msg']}",
            "A plan is the JSON that volunet train or export wrote, unchanged.",
            "Train or export again with this version of volunet.",
        ) from error


def _from_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """A plan of before there were tasks as one of today: what it said of classes is its task's."""
    names = ("classes", "label_values", "colours", "answer")
    task = {name: content.pop(name) for name in names if name in content}
    return {**content, "plan_version": PLAN_VERSION, "task": {"kind": "segmentation", **task}}


class _Version(BaseModel):
    plan_version: int
