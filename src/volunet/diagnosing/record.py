"""`Record`: what a run wrote down of itself, read for the doctor."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from volunet.diagnosing.probes.probed import Probed
from volunet.errors import ConfigError
from volunet.plan import ValidationScore
from volunet.training.record.curve import read_metrics
from volunet.training.record.run_folder import LAYERS_FILE, METRICS_FILE, Run

Series = Sequence[tuple[int, float]]
"""(step, value) in the order of the steps."""


@dataclass(frozen=True)
class LayerSample:
    """What one sample of one convolution saw.

    Attributes:
        step: Optimizer steps that were done.
        weight_norm: Norm of its weights.
        gradient_norm: Norm of their gradient in this step.
        update_ratio: Norm of what the weights moved since the sample before, by theirs; None in the
            first sample.
        silent_share: Share of the channels whose activation had no positive value in the batch;
            None where no activation follows.
    """

    step: int
    weight_norm: float
    gradient_norm: float
    update_ratio: float | None
    silent_share: float | None


@dataclass(frozen=True)
class Record:
    """What is known of a run.

    Attributes:
        run: Its description; of a bagging run that of one member.
        metrics: Name of a figure → its values, not all of them finite.
        layers: Name of a convolution → the samples of it, in the order of the steps.
        probed: What was tried out on the run's plan and cases.
        whole: The run that it is a member of; None where it is none.
    """

    run: Run
    metrics: Mapping[str, Series] = field(default_factory=dict)
    layers: Mapping[str, Sequence[LayerSample]] = field(default_factory=dict)
    probed: Probed = field(default_factory=Probed)
    whole: Run | None = None

    @property
    def started(self) -> Run:
        """The run that the user started, which commands are about."""
        return self.whole or self.run

    @property
    def score(self) -> ValidationScore:
        """How the run's validation judges a network."""
        return self.run.plan.task.score

    @property
    def steps(self) -> int:
        """Optimizer steps that the figures know of."""
        return max((points[-1][0] for points in self.metrics.values() if points), default=0)

    def finite(self, name: str) -> list[tuple[int, float]]:
        """The finite values of a figure."""
        return [(s, v) for s, v in self.metrics.get(name, ()) if math.isfinite(v)]

    def values(self, name: str) -> list[float]:
        """The finite values of a figure, without their steps."""
        return [value for _, value in self.finite(name)]


def read_record(run: Run) -> Record:
    """Read what a run wrote down.

    Raises:
        ConfigError: A file is damaged.
    """
    metrics_file = run.folder / METRICS_FILE
    try:
        metrics = read_metrics(metrics_file)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise _damaged(metrics_file, error) from error
    return Record(run, metrics, read_layers(run.folder / LAYERS_FILE))


def read_layers(file: Path) -> dict[str, list[LayerSample]]:
    """The samples of a ``layers.csv`` by layer; none where there is no file.

    Raises:
        ConfigError: The file is damaged.
    """
    samples: dict[str, list[LayerSample]] = {}
    if not file.is_file():
        return samples
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                sample = LayerSample(
                    step=int(row["step"]),
                    weight_norm=float(row["weight_norm"]),
                    gradient_norm=float(row["gradient_norm"]),
                    update_ratio=float(row["update_ratio"]) if row["update_ratio"] else None,
                    silent_share=float(row["silent_share"]) if row["silent_share"] else None,
                )
                samples.setdefault(row["layer"], []).append(sample)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise _damaged(file, error) from error
    return samples


def _damaged(file: Path, error: Exception) -> ConfigError:
    return ConfigError(
        file,
        f"a damaged table ({error})",
        "It is as volunet train wrote it.",
        "Restore it, or delete it: what it tells is then left out.",
    )
