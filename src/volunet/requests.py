"""What users ask for: each choice once, with its default, its range and its help text.

Flags, Python arguments, ``--config`` files, their check and the copy in a run folder follow from
the models here.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from volunet.errors import ConfigError
from volunet.plan import Augmentation, Frozen, NormName, Probability, Regularisation

Optimizer = Literal["adamw", "sgd"]
Precision = Literal["float32", "bfloat16"]
Preset = Literal["auto", "notes"]
Mode = Literal["auto", "whole", "streamed"]

SEEDS: Final = 2**32
"""Seeds are below it: NumPy's old generators, which augmentation draws from, take no others."""

_OWN_WEIGHT_DECAY: Final[dict[Optimizer, float]] = {"adamw": Regularisation().l2, "sgd": 3e-5}
"""SGD's momentum repeats each pull 100 times, and its highest rate is 3 times AdamW's: for the same
pull at a step its number is 300 times smaller."""

Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
From1 = Annotated[int, Field(ge=1)]
Voxels3 = tuple[From1, From1, From1]


class Request(Frozen):
    """What was asked for; a field is a flag of its name, with hyphens."""

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Read values, as Python has them.

        Raises:
            ConfigError: One is out of its range, or two do not go together.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise _refusal(cls, error.errors()[0]) from error

    @classmethod
    def read(cls, path: str | Path) -> dict[str, Any]:
        """The values of a TOML file whose keys are fields.

        Raises:
            ConfigError: It cannot be read, or has a key that is none.
        """
        try:
            with Path(path).open("rb") as file:
                values = tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                path,
                f"no TOML that can be read ({error})",
                "A line a choice, such as minutes = 60.",
                "Mend the file.",
            ) from error
        unknown = sorted(set(values) - set(cls.model_fields))
        if unknown:
            raise ConfigError(
                path,
                f"the keys {', '.join(unknown)}",
                f"Keys are {', '.join(cls.model_fields)}.",
                "Correct or remove them.",
            )
        return values


class TrainingRequest(Request):
    """What `volunet.train` is asked for."""

    minutes: Above0 | None = Field(default=None, description="Budget in minutes.")
    epochs: From1 | None = Field(default=None, description="Budget in epochs instead.")
    fold: str | None = Field(
        default=None,
        description="K/N validates on fold K of N; all trains a network a fold and averages them; "
        "none trains on every case. Default 1/5, or fewer folds of fewer cases.",
    )
    preset: Preset = Field(
        default="auto",
        description="auto follows the data set; notes is the network of the project's notes.",
    )
    features: Annotated[tuple[From1, ...], Field(min_length=1)] | None = Field(
        default=None, description="Channels of each level, such as 16,32,64."
    )
    patch_size: Voxels3 | None = Field(
        default=None, description="Training patches, DxHxW voxels, such as 64x96x96."
    )
    batch_size: From1 | Literal["auto"] | None = Field(
        default=None,
        description="Patches in a batch, or auto: by the gradient noise scale and the memory.",
    )
    spacing_mm: tuple[Above0, Above0, Above0] | None = Field(
        default=None, description="Voxels of the model's grid, D,H,W in mm."
    )
    loss: str | None = Field(
        default=None, description="The loss, such as dice; default dice_cross_entropy."
    )
    norm: NormName | None = Field(default=None, description="Norm layers; default batch.")
    dropout: Probability | tuple[Probability, ...] = Field(
        default=0.0, description="Dropped channels, 0…1: one number, or one a level: 0,0,0.1,0.2."
    )
    l1: From0 = Field(default=0.0, description="Weight of the absolute weights in the loss.")
    l2: From0 | None = Field(default=None, description="Weight decay; default 0.01, sgd 3e-5.")
    augmentation: Augmentation | None = Field(
        default=None, description="How much patches are changed; default by the number of cases."
    )
    patience: int = Field(
        default=0, ge=0, description="Validations without gain that end the fit; 0: never."
    )
    optimizer: Optimizer = Field(default="adamw", description="The optimizer.")
    learning_rate: Above0 | None = Field(
        default=None, description="Highest of the schedule; default 3e-3, sgd 1e-2."
    )
    precision: Precision | None = Field(
        default=None, description="Of activations; default the quicker, measured."
    )
    workers: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Processes that prepare patches; default 1, or as many as before."
    )
    seed: int = Field(
        default=0, ge=0, lt=SEEDS, description="Seed of weights, patches and augmentation."
    )
    skip_bad: bool = Field(default=False, description="Leave out cases that fail their check.")

    @property
    def leaves_network(self) -> bool:
        """Whether the network's width, and the patch if none is given, are left to be measured."""
        return self.features is None and self.preset == "auto"

    @property
    def weight_decay(self) -> float:
        """What was given, or the optimizer's own."""
        return _OWN_WEIGHT_DECAY[self.optimizer] if self.l2 is None else self.l2

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if self.minutes is not None and self.epochs is not None:
            raise PydanticCustomError(
                "together",
                "--minutes, --epochs|both budgets|A fit has one budget: minutes of wall clock, or "
                "epochs.|Give one, for instance --minutes 60.",
            )
        return self


class PredictionRequest(Request):
    """What `volunet.predict` is asked for, beside the model and the scans."""

    engine: str = Field(default="auto", description="openvino, onnxruntime, torch or auto.")
    probabilities: bool = Field(
        default=False, description="A probability for each class, not labels."
    )
    resume: bool = Field(default=False, description="Keep the predictions that are there already.")
    threads: From1 | None = Field(default=None, description="Threads; default the engine's own.")
    memory: From1 | None = Field(
        default=None,
        description="What the process may take at most, such as 4GB; default what is free.",
    )
    mode: Mode = Field(
        default="auto",
        description="auto: whole where that fits in memory, else streamed; whole; streamed.",
    )
    windows: bool = Field(
        default=False, description="Overlapping windows with Gaussian blending: not exact."
    )
    window_size: Voxels3 | None = Field(
        default=None, description="Their size, such as 96x96x96; default the training patches'."
    )
    compare: bool = Field(
        default=False, description="With --windows, predict exactly too; print their Dice."
    )


def flag_of(name: str) -> str:
    """The flag of a field.

    Example:
        >>> flag_of("patch_size")
        '--patch-size'
    """
    return f"--{name.replace('_', '-')}"


def _refusal(model: type[BaseModel], error: ErrorDetails) -> ConfigError:
    """What pydantic refuses, in the words of errors here."""
    if error["type"] == "together":
        where, found, expected, do = error["msg"].split("|")
        return ConfigError(where, found, expected, do)
    name = str(error["loc"][0])
    field = model.model_fields.get(name)
    if field is None:
        return ConfigError(
            name, "no such choice", f"Choices are {', '.join(model.model_fields)}.", "Correct it."
        )
    rule = error["msg"].replace("Input should be", "It is")
    # Of a union each part says something; together they say what the help does.
    expected = f"{rule}." if len(error["loc"]) == 1 or isinstance(error["loc"][1], int) else ""
    return ConfigError(
        f"{flag_of(name)} {_text(error['input'])}",
        "not allowed",
        f"{expected} {field.description}".strip(),
        "Give another value, or leave it out.",
    )


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "nothing"
    return str(value)
