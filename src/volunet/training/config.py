"""`TrainingConfig`: how a network is fitted, as asked for or as measured at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from volunet.errors import ConfigError
from volunet.requests import Optimizer, Precision, TrainingRequest

MOST_VALIDATED: Final = 24
"""Validation cases that each validation during a fit looks at; more would only cost time."""


_ASKED: Final = frozenset(TrainingRequest.model_fields)

_LEARNING_RATES: Final[Mapping[Optimizer, float]] = MappingProxyType({"adamw": 3e-3, "sgd": 1e-2})


@dataclass(frozen=True)
class TrainingConfig:
    """How to fit a network; ranges are those of `volunet.requests.TrainingRequest`.

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
        shared = {name: value for name, value in vars(self).items() if name in _ASKED}
        TrainingRequest.of(**shared)
        for name in ("accumulate", "validation_cases"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    name, f"{getattr(self, name)}", f"{name} is 1 or more.", "Give 1 or more."
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
