"""`TrainingConfig`: the flags of ``volunet train`` as data, kept in the run folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from volunet.errors import ConfigError

Optimizer = Literal["adamw", "sgd"]


@dataclass(frozen=True)
class TrainingConfig:
    """How to fit a network; each field is a flag of the same name.

    Attributes:
        minutes: Wall-clock budget of the fit, validation included.
        epochs: Budget in epochs instead; an epoch shows each training case once.
        fold: ``K/N`` or ``all``, see `volunet.datasets.splits.Fold`.
        optimizer: ``adamw`` or ``sgd`` (with Nesterov momentum 0.99).
        learning_rate: The highest of the schedule; None: 3e-3 for AdamW, 1e-2 for SGD.
        weight_decay: Of the optimizer.
        patience: Validations without a better Dice after which the fit stops; 0: never.
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
    weight_decay: float = 1e-2
    patience: int = 0
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
        for name in ("patience", "workers", "seed", "weight_decay"):
            # Written so that a NaN fails.
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}",
                    "below 0 or not finite",
                    f"{name} is 0 or more.",
                    "Give 0 or more.",
                )
        if self.optimizer not in get_args(Optimizer):
            raise ConfigError(
                f"--optimizer {self.optimizer}",
                "no such optimizer",
                f"Optimizers are {', '.join(get_args(Optimizer))}.",
                "Take one of these.",
            )

    @property
    def highest_learning_rate(self) -> float:
        """The learning rate given, or the optimizer's own."""
        return self.learning_rate or {"adamw": 3e-3, "sgd": 1e-2}[self.optimizer]
