"""Gradients of cross-entropy and squared error at the same weights, along short trainings.

A part of `losses`. The notes say that the surface of cross-entropy is the steeper.
"""

from __future__ import annotations

import copy
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.utils.data import default_collate

from benchmarks.measuring.hippocampus_cases import find_data, training_and_test
from benchmarks.measuring.report import markdown_table
from benchmarks.measuring.rows import Row
from volunet.datasets.cache import prepare_cases
from volunet.datasets.fingerprint import take_fingerprint
from volunet.datasets.patches import Patch, TrainingPatches
from volunet.datasets.rules import plan_from_fingerprint
from volunet.datasets.splits import Fold, split_cases
from volunet.requests import TrainingRequest
from volunet.tasks.segmentation.losses import SegmentationLoss
from volunet.tasks.segmentation.plan import LossName
from volunet.training.config import TrainingConfig
from volunet.training.fitting.budget import schedule, set_learning_rate
from volunet.training.fitting.module import FittedModule

FEATURES = (8, 16, 32, 64)
PATCH_SIZE = (40, 56, 40)
BATCH_SIZE = 2
VALIDATION = Fold(1, 10)
"""Of the training cases. All four are fixed, as the planner's choice follows the time of a step,
and this the loss: here every loss has the same network."""

PAIR: tuple[LossName, LossName] = ("cross_entropy", "squared_error")
"""The notes' two losses: the first is said to be the steeper."""

CHECKPOINTS = (0, 1, 3, 10, 30, 60, 100, 200, 300)
"""Steps of a trajectory after which gradients are measured; the last ends it."""

PROBES = 4
"""Batches that gradients are measured on, the same at each checkpoint."""

HEADER = (
    "trained under",
    "steps",
    "wrong voxels",
    "loss: CE, SE",
    "by weights: CE",
    "by weights: SE",
    "**by weights: CE / SE**",
    "by logits: CE / SE",
    "by logits of wrong voxels: CE / SE",
    "by weights, relative to the loss: CE / SE",
)


def measure_trajectory(settings: Row, data: Path, folder: Path) -> Row:
    """Train under one loss and measure both of `PAIR` on the way."""
    dataset = find_data(data)
    cases, _ = training_and_test(dataset)
    training, _ = split_cases(cases, VALIDATION)
    dataset = replace(dataset, cases=training)
    fingerprint = take_fingerprint(dataset)
    asked = TrainingRequest(features=FEATURES, patch_size=PATCH_SIZE, batch_size=BATCH_SIZE)
    plan = plan_from_fingerprint(dataset, fingerprint, asked)
    prepared = prepare_cases(training, dataset, plan, folder / "cache")
    patches = TrainingPatches(prepared, plan, settings["seed"])
    others = TrainingPatches(prepared, plan, settings["seed"] + 1)
    probes = [batch_of(others, index) for index in range(PROBES)]
    losses = {name: SegmentationLoss(name, fingerprint.class_fractions) for name in PAIR}

    torch.manual_seed(settings["seed"])
    config = TrainingConfig(epochs=1, loss=settings["loss"], seed=settings["seed"])
    module = FittedModule(plan, config).train()
    optimizer = module.configure_optimizers()
    last = CHECKPOINTS[-1]
    points = []
    for step in range(last + 1):
        if step:
            rate = config.highest_learning_rate * schedule((step - 1) / last, step - 1)
            set_learning_rate(optimizer, rate)
            batch = batch_of(patches, step - 1)
            optimizer.zero_grad()
            module.loss(module.network(batch["image"]), batch["target"]).backward()
            optimizer.step()
        if step in CHECKPOINTS:
            points.append({"step": step, **steepness(module.network, losses, probes)})
            print(f"{settings['loss']}: step {step} of {last}", file=sys.stderr, flush=True)
    return {"points": points}


def batch_of(patches: TrainingPatches, index: int) -> Patch:
    """Batch number `index`, in the memory format that the fit uses."""
    first = index * BATCH_SIZE
    batch: Patch = default_collate([patches[first + item] for item in range(BATCH_SIZE)])
    image = batch["image"].contiguous(memory_format=torch.channels_last_3d)
    return Patch(image=image, target=batch["target"])


def steepness(
    network: nn.Module, losses: Mapping[LossName, SegmentationLoss], batches: Sequence[Patch]
) -> dict[str, Any]:
    """Gradients of several losses at the weights that a network has now, which stay.

    Returns:
        ``wrong``: share of voxels that are answered wrong; and for each loss the means over the
        batches of ``value``, and of the norm of its gradient by all ``weights``, by all ``logits``
        and by those of ``wrong_logits``, the voxels that are answered wrong.
    """
    copied = copy.deepcopy(network).train()  # batch norm as in training; its averages stay
    weights = list(copied.parameters())
    shares: list[float] = []
    found: dict[str, dict[str, list[float]]] = {name: {} for name in losses}
    for batch in batches:
        logits: Tensor = copied(batch["image"])
        wrong = logits.argmax(dim=1, keepdim=True) != batch["target"]
        shares.append(float(wrong.float().mean()))
        for name, loss in losses.items():
            value = loss(logits, batch["target"])
            by_logits, *by_weights = torch.autograd.grad(
                value, [logits, *weights], retain_graph=True
            )
            figures = {
                "value": value.item(),
                "weights": float(get_total_norm(by_weights)),
                "logits": float(by_logits.norm()),
                "wrong_logits": float((by_logits * wrong).norm()),
            }
            for figure, number in figures.items():
                found[name].setdefault(figure, []).append(number)
    return {
        "wrong": statistics.fmean(shares),
        **{
            name: {figure: statistics.fmean(numbers) for figure, numbers in figures.items()}
            for name, figures in found.items()
        },
    }


def steepness_section(trajectories: Sequence[Row]) -> str:
    """Heading, table and what it says, Markdown."""
    points = [(row["loss"], point) for row in trajectories for point in row["points"]]
    return "\n\n".join(
        [
            "## Cross-entropy and squared error at the same weights",
            f"Gradients of both losses (CE, SE), with the same class weights, on the same {PROBES} "
            f"batches, at the weights that a short training under one of them has reached; means "
            f"over the batches. The last column divides each gradient by its loss.",
            markdown_table(HEADER, [_cells(name, point) for name, point in points]),
            _verdict([point for _, point in points]),
        ]
    )


def _cells(trained_under: str, point: Mapping[str, Any]) -> list[str]:
    steep, flat = (point[name] for name in PAIR)
    return [
        trained_under,
        str(point["step"]),
        f"{point['wrong']:.1%}",
        f"{steep['value']:.3f}, {flat['value']:.3f}",
        f"{steep['weights']:.3g}",
        f"{flat['weights']:.3g}",
        f"**{_ratio(point, 'weights'):.1f}**",
        f"{_ratio(point, 'logits'):.1f}",
        f"{_ratio(point, 'wrong_logits'):.1f}",
        f"{_relative_ratio(point):.1f}",
    ]


def _ratio(point: Mapping[str, Any], figure: str) -> float:
    """Cross-entropy's figure as a multiple of squared error's."""
    steep, flat = (point[name][figure] for name in PAIR)
    return steep / flat if flat else float("nan")


def _relative_ratio(point: Mapping[str, Any]) -> float:
    """The same of the gradients by weights, each as a share of its own loss."""
    return _ratio(point, "weights") / _ratio(point, "value")


def _verdict(points: Sequence[Mapping[str, Any]]) -> str:
    """In how far the notes are right: the steeper loss has the larger gradient."""
    kinds = {
        "by the weights": [_ratio(point, "weights") for point in points],
        "by the logits": [_ratio(point, "logits") for point in points],
        "by the logits of wrong voxels": [_ratio(point, "wrong_logits") for point in points],
        "by the weights, relative to the loss": [_relative_ratio(point) for point in points],
    }
    lines = [
        f"- {name}: above 1 at {sum(value > 1 for value in values)} of {len(values)} checkpoints, "
        f"from {min(values):.2f} to {max(values):.2f}, median {statistics.median(values):.2f}"
        for name, values in kinds.items()
    ]
    return "Cross-entropy's gradient as a multiple of squared error's:\n\n" + "\n".join(lines)
