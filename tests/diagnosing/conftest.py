"""Runs and records that are written by hand: a healthy one, and changes to it."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volunet.diagnosing.probes.case_dice import CaseDice
from volunet.diagnosing.probes.learning_rate import RangeTest
from volunet.diagnosing.probes.one_batch import OneBatch
from volunet.diagnosing.probes.probed import Probed
from volunet.diagnosing.record import LayerSample, Record
from volunet.plan import Fingerprint, NetworkPlan, Plan, Regularisation
from volunet.training.config import TrainingConfig
from volunet.training.planning.noise_scale import NoiseScale
from volunet.training.record.run_folder import Run, write_run

ROWS = 20
"""Rows of each figure, one in 20 steps; every fourth is a validation."""

LAYERS = ("encoders.0.conv1", "encoders.0.conv2", "encoders.1.conv1", "decoders.0.conv1", "head")

HEALTHY: dict[str, list[float]] = {
    "train_loss": [0.5 + 1.6 * 0.8**row for row in range(ROWS)],
    "gradient_norm": [1.0] * ROWS,
    "clipped_share": [0.0] * ROWS,
    "waiting_share": [0.4] + [0.02] * (ROWS - 1),
    "foreground_share": [0.06] * ROWS,
    "learning_rate": [1.5e-3 * (1 + math.cos(math.pi * row / (ROWS - 1))) for row in range(ROWS)],
    "val_loss": [1.4, 0.8, 0.6, 0.52, 0.5],
    "val_dice": [0.4, 0.8, 0.82, 0.822, 0.824],
    "train_dice": [0.42, 0.76, 0.82, 0.84, 0.85],
}


def of_run(folder: Path, plan: Plan, **keys: Any) -> Run:
    """A run of 12 training and 8 validation cases; keywords of its parts replace theirs."""
    network = {k: keys.pop(k) for k in list(keys) if k in NetworkPlan.model_fields}
    measures = {k: keys.pop(k) for k in list(keys) if k in Regularisation.model_fields}
    training = tuple(f"case_{index}" for index in range(keys.pop("training", 12)))
    validation = tuple(f"valid_{index}" for index in range(keys.pop("validation", 8)))
    of_plan = {k: keys.pop(k) for k in list(keys) if k in Plan.model_fields}
    fractions = keys.pop("fractions", (0.95, 0.05))
    fingerprint = Fingerprint(
        num_cases=20,
        median_spacing_mm=(1.0, 1.0, 1.0),
        median_size=(12, 12, 12),
        largest_size=(12, 12, 12),
        intensity_percentiles=((0.0, 1.0, 2.0),),
        intensity_mean=(1.0,),
        intensity_std=(1.0,),
        class_fractions=fractions,
    )
    plan = plan.model_copy(
        update={
            "network": plan.network.model_copy(update=network),
            # As the rule has it with so few cases.
            "regularisation": Regularisation(**{"augmentation": "strong", **measures}),
            "fingerprint": fingerprint,
            **of_plan,
        }
    )
    budget = {} if "epochs" in keys else {"minutes": 2.0}
    return Run(folder, plan, TrainingConfig(**{**budget, **keys}), "scans", training, validation)


def points(name: str, values: list[float]) -> list[tuple[int, float]]:
    stride = 80 if name.startswith(("val_", "train_dice")) else 20
    return [(stride * (index + 1), value) for index, value in enumerate(values)]


def sample_layer(
    weight: float = 2.0, growth: float = 1.2, gradient: float = 0.1, moved: float = 0.2,
    silent: float | None = 0.0, count: int = 5, steps: int = 80,
) -> list[LayerSample]:  # fmt: skip
    """Looks, every so many steps, at a layer whose weights grow evenly to `growth` times theirs."""
    return [
        LayerSample(
            step=1 + steps * index,
            weight_norm=weight * growth ** (index / max(1, count - 1)),
            gradient_norm=gradient,
            update_ratio=moved if index else None,
            silent_share=silent,
        )
        for index in range(count)
    ]


@pytest.fixture
def samples() -> Callable[..., list[LayerSample]]:
    return sample_layer


@pytest.fixture
def make_run(tmp_path: Path, blob_plan: Plan) -> Callable[..., Run]:
    def make(**keys: Any) -> Run:
        return of_run(tmp_path / "run", blob_plan, **keys)

    return make


@pytest.fixture
def make_record(make_run: Callable[..., Run]) -> Callable[..., Record]:
    """A healthy record; `metrics` and `layers` replace figures and layers, None takes one away."""

    def make(
        metrics: dict[str, list[float] | None] | None = None,
        layers: dict[str, list[LayerSample]] | None = None,
        probed: Probed | None = None,
        **keys: Any,
    ) -> Record:
        figures = {**HEALTHY, **(metrics or {})}
        return Record(
            make_run(**keys),
            {name: points(name, values) for name, values in figures.items() if values},
            {**{name: sample_layer() for name in LAYERS}, **(layers or {})},
            probed or Probed(),
        )

    return make


@pytest.fixture
def write_record() -> Callable[[Record], Path]:
    """Write a record as a fit does, and answer its folder."""

    def write(record: Record) -> Path:
        folder = record.run.folder
        folder.mkdir(parents=True)
        write_run(record.run)
        names = sorted(record.metrics)
        steps = sorted({step for values in record.metrics.values() for step, _ in values})
        with (folder / "metrics.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, ["epoch", "step", *names])
            rows.writeheader()
            for step in steps:
                found = {name: dict(record.metrics[name]).get(step) for name in names}
                kept = {name: value for name, value in found.items() if value is not None}
                rows.writerow({"epoch": 0, "step": step, **kept})
        with (folder / "layers.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(
                ["step", "layer", "weight_norm", "gradient_norm", "update_ratio", "silent_share"]
            )
            for name, seen in record.layers.items():
                for sample in seen:
                    cells = (sample.weight_norm, sample.gradient_norm, sample.update_ratio)
                    cells += (sample.silent_share,)
                    table.writerow(
                        [sample.step, name, *("" if cell is None else cell for cell in cells)]
                    )
        return folder

    return write


@pytest.fixture
def healthy_probes() -> Probed:
    """What the probes find of a healthy network: it learns, up to a rate of 0.3."""
    losses = [2.0, 2.0, 1.9, 1.6, 1.2, 0.8, 3.0]
    return Probed(
        OneBatch(20, 2.0, 1.1, finished=True),
        RangeTest([10.0**power for power in range(-6, 1)], losses),
        NoiseScale(0.5, 0.1, 1.0, 0.1, 0.5, 12, 12, 5.0),
        CaseDice([0.8, 0.82, 0.84, 0.86], [0.78, 0.8, 0.82, 0.84]),
    )
