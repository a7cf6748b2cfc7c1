"""`TrainingConfig`: the flags of ``volunet train`` as data, kept in the run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from volunet.errors import ConfigError
from volunet.plan import Regularisation

Optimizer = Literal["adamw", "sgd"]
Precision = Literal["float32", "bfloat16"]

SEEDS: Final = 2**32
"""Seeds are below it: NumPy's old generators, which augmentation draws from, take no others."""

MOST_VALIDATED: Final = 24
"""Validation cases that each validation during a fit looks at; more would only cost time."""


_LEARNING_RATES: Final[Mapping[Optimizer, float]] = MappingProxyType({"adamw": 3e-3, "sgd": 1e-2})


@dataclass(frozen=True)
class TrainingConfig:
    """How to fit a network; each field is a flag of the same name, or is measured at the start.

    Attributes:
        minutes: Wall-clock budget of everything: reading, preparing, fitting, validating.
        epochs: Budget in epochs instead; an epoch shows each training case once, or in its last
            step some once more.
        fold: ``K/N`` or ``all``, see `volunet.datasets.splits.Fold`.
        optimizer: ``adamw`` or ``sgd`` (with Nesterov momentum 0.99).
        learning_rate: The highest of the schedule; None: 3e-3 for AdamW, 1e-2 for SGD.
        loss: Name of the loss; None: the task's own (`volunet.plan.Task.loss`).
        precision: Of activations in the network; weights, loss and optimizer are float32 always.
        accumulate: Batches whose gradients are averaged before a step.
        validation_cases: Validation cases that each validation during the fit looks at.
        workers: Processes that prepare patches; 0: the training process does it.
        seed: Seed of weights, patches and augmentation.

    Raises:
        ConfigError: A value is out of its range, or both budgets or neither are given.
    """

    minutes: float | None = None
    epochs: int | None = None
    fold: str = "1/5"
    optimizer: Optimizer = "adamw"
    learning_rate: float | None = None
    loss: str | None = None
    precision: Precision = "float32"
    accumulate: int = 1
    validation_cases: int = MOST_VALIDATED
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.epochs is None):
            raise ConfigError(
                "--minutes, --epochs",
                "both budgets" if self.minutes is not None else "no budget",
                "A fit has one budget: minutes of wall clock, or epochs.",
                "Give one, for instance --minutes 60.",
            )
        for name, least in (("minutes", 0.0), ("epochs", 0), ("learning_rate", 0.0)):
            value = getattr(self, name)
            if value is not None and not least < value < math.inf:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {value}",
                    "not above 0 and finite",
                    f"{name} is above 0 and finite.",
                    "Give another number.",
                )
        for name, least in (
            ("workers", 0),
            ("seed", 0),
            ("accumulate", 1),
            ("validation_cases", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"--{name} {getattr(self, name)}",
                    f"below {least}",
                    f"{name} is {least} or more.",
                    f"Give {least} or more.",
                )
        if self.seed >= SEEDS:
            raise ConfigError(
                f"--seed {self.seed}",
                "too large",
                f"seed is below {SEEDS}.",
                "Give another number.",
            )
        for name, kind in (("optimizer", Optimizer), ("precision", Precision)):
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(
                    f"--{name} {getattr(self, name)}",
                    f"no such {name}",
                    f"Choices are {', '.join(get_args(kind))}.",
                    "Take one of these.",
                )

    @property
    def highest_learning_rate(self) -> float:
        """The learning rate given, or the optimizer's own."""
        return self.learning_rate or _LEARNING_RATES[self.optimizer]

    @property
    def adamw_learning_rate(self) -> float:
        """The highest learning rate of trial steps by AdamW, whatever the optimizer of the fit."""
        given = self.learning_rate if self.optimizer == "adamw" else None
        return given or _LEARNING_RATES["adamw"]

    @property
    def own_weight_decay(self) -> float:
        """The optimizer's own weight decay, where the plan is given none.

        SGD's momentum repeats each pull 100 times, and its highest rate is 3 times AdamW's: for the
        same pull at a step its number is 300 times smaller.
        """
        return {"adamw": Regularisation().l2, "sgd": 3e-5}[self.optimizer]
