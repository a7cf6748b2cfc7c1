"""How scans are to be predicted, and what the caller is told meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volunet.errors import ConfigError
from volunet.extras import check_train_extra
from volunet.inference.model import Model
from volunet.inference.passes import Pass
from volunet.inference.windows import check_windows, pad_values_of, predict_windows
from volunet.requests import PredictionRequest


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
class Ways:
    """How scans are to be predicted.

    Attributes:
        asked: What the user asked for.
        report: What the user is told.
    """

    asked: PredictionRequest
    report: Report

    def exact(self) -> Ways:
        """The same without windows."""
        return replace(self, asked=self.asked.model_copy(update={"windows": False}))

    def check(self, model: Model) -> None:
        """Refuse what does not go together before anything is read."""
        if self.asked.windows:
            check_windows(model)
            if self.asked.compare:
                check_train_extra("predict --compare")
            self._check_windows()
        elif self.asked.compare or self.asked.window_size is not None:
            raise ConfigError(
                "--compare" if self.asked.compare else "--window-size",
                "without --windows",
                "Both are about the prediction in windows.",
                "Add --windows, or leave it out.",
            )

    def _check_windows(self) -> None:
        if self.asked.compare and self.asked.probabilities:
            raise ConfigError(
                "--compare",
                "with --probabilities",
                "Two label maps are compared.",
                "Leave out one of them.",
            )
        if not self.asked.compare and (self.asked.memory is not None or self.asked.mode != "auto"):
            raise ConfigError(
                "--windows",
                "with --memory or --mode",
                "Windows hold all scores of the scan in memory; a budget is of the exact pass.",
                "Leave --windows out, or add --compare to run that pass too.",
            )

    def in_windows(self, model: Model) -> Callable[[NDArray[np.float32]], NDArray[Any]] | None:
        """Runs a model in windows; None where windows were not asked for."""
        if not self.asked.windows:
            return None
        size = self.asked.window_size or model.plan.patch_size
        if self.asked.window_size is None and model.plan.network is None:
            raise ConfigError(
                "--windows",
                "no --window-size, and the model says none",
                "Windows are of the size that the network was trained on.",
                "Add --window-size, for instance 96x96x96.",
            )
        return partial(
            predict_windows, model.engine.run, window=size, pad_values=pad_values_of(model)
        )
