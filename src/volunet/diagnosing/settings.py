"""What plan and configuration say by themselves: a loss that does not fit, too much decay."""

from __future__ import annotations

import math
import statistics
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file

from volunet.diagnosing.answers import OF_LABELS, LeftOut
from volunet.diagnosing.check import Answer, Check
from volunet.diagnosing.command import train_again
from volunet.diagnosing.finding import Finding
from volunet.diagnosing.record import Record
from volunet.plan import OutputActivation
from volunet.training.record.run_folder import LAYERS_FILE, WEIGHTS_FILE

STRONG_DECAY: Final = 1e-3
"""Share of each weight that a step takes away at the highest rate: from here on weights halve in
700 steps."""

USUAL_DECAY: Final = 3e-5
"""The same by default, and in nnU-Net: learning rate 0.01, momentum 0.99, decay 3e-5."""

SHRUNK: Final = 0.5
"""What is left of the weights' norm where the decay has surely won."""

STRONG_PENALTY: Final = 0.5
"""Share of the loss that L1 may be."""

SMALL_FOREGROUND: Final = 0.01
"""Share of the voxels below which means over voxels need weights to see the foreground."""

POOR_DICE: Final = 0.3

_SQUASHED: Final[tuple[OutputActivation, ...]] = ("softmax", "sigmoid", "relu")
_OVER_VOXELS: Final[tuple[str, ...]] = ("squared_error", "l1")


def loss_does_not_fit(record: Record) -> Answer:
    """A network whose answer the loss does not expect, or a loss that cannot see the objects."""
    plan, loss = record.run.plan, record.run.plan.task.loss(record.run.config.loss)
    activation: OutputActivation = (
        "none" if plan.network is None else plan.network.output_activation
    )
    if activation in _SQUASHED:
        classes = plan.task.out_channels
        best = math.e / (math.e + classes - 1)
        limit = (
            f"; of {classes} classes the right one cannot get more than {best:.2f} so"
            if activation != "relu"
            else "; what it cuts away brings no gradient back"
        )
        return Finding(
            "loss-does-not-fit",
            "the network's output",
            f"the network ends in {activation}, and the loss {loss} takes the softmax of its "
            f"answer once more{limit}.",
            "The loss expects logits.",
            "Let the network answer logits, as every plan of volunet's own does; then "
            + train_again(record.started),
            "medium" if activation == "relu" else "high",
        )
    fractions = plan.fingerprint.class_fractions if plan.fingerprint else ()
    foreground = sum(fractions[1:])
    dice = record.values("val_dice")
    if loss not in _OVER_VOXELS or not 0 < foreground < SMALL_FOREGROUND or not dice:
        return None
    if max(dice) >= POOR_DICE:
        return None
    return Finding(
        "loss-does-not-fit",
        f"loss {loss}",
        f"foreground is {foreground:.2%} of the voxels, and the best validation Dice "
        f"{max(dice):.2f}; the loss is a mean over voxels, nearly all of them background.",
        f"{loss} is flat where a network is sure and wrong, as it is of a small object at first.",
        train_again(record.started, loss="dice_cross_entropy"),
        "medium",
    )


def weight_decay_too_strong(record: Record) -> Answer:
    """Weights that L2 or L1 pulls down faster than the loss builds them up."""
    regularisation = record.run.plan.regularisation
    a_step = regularisation.l2 * _rate(record)
    if a_step >= STRONG_DECAY:
        return _decay(record, a_step)
    if not regularisation.l1:
        return None
    return _penalty(record)


def _rate(record: Record) -> float:
    """The highest rate at which a step decays: momentum of 0.99 repeats each pull 100 times."""
    repeated = 100 if record.run.config.optimizer == "sgd" else 1
    return repeated * record.run.config.highest_learning_rate


def _decay(record: Record, a_step: float) -> Answer:
    grown = [
        looks[-1].weight_norm / looks[0].weight_norm
        for looks in record.layers.values()
        if len(looks) > 1 and looks[0].weight_norm > 0
    ]
    if not grown:
        return LeftOut(f"{LAYERS_FILE} has fewer than 2 looks at the weights")
    typical = statistics.median(grown)
    # Half of the highest rate is the mean of the schedule.
    taken = 1 - math.exp(-0.5 * a_step * record.steps)
    return Finding(
        "weight-decay-too-strong",
        f"--l2 {record.run.plan.regularisation.l2:g}",
        f"a step takes up to {a_step:.2%} of each weight away and all {record.steps} steps about "
        f"{taken:.0%}; usual is {USUAL_DECAY:.3%} a step. The convolutions' weights ended at "
        f"{typical:.2f} of their first norm (median; {sum(factor < 1 for factor in grown)} of "
        f"{len(grown)} shrank), in a healthy fit at 1.1 to 3.",
        "The decay pulls weights down faster than the loss builds them up, so that the network "
        "remembers its last steps alone.",
        train_again(record.started, l2=float(f"{USUAL_DECAY / _rate(record):.0e}")),
        "high" if typical < SHRUNK else "medium",
    )


def _penalty(record: Record) -> Answer:
    l1 = record.run.plan.regularisation.l1
    file = record.run.folder / WEIGHTS_FILE
    losses = record.values("train_loss")
    if not file.is_file() or not losses:
        return LeftOut(f"no {WEIGHTS_FILE} or no finite loss")
    try:
        weights = load_file(file)
    except SafetensorError as error:
        return LeftOut(f"{WEIGHTS_FILE} cannot be read ({error})")
    absolute = sum(float(tensor.abs().sum()) for tensor in weights.values() if tensor.ndim > 1)
    share = l1 * absolute / losses[-1] if losses[-1] > 0 else 0.0
    if share < STRONG_PENALTY:
        return None
    return Finding(
        "weight-decay-too-strong",
        "the penalty of L1",
        f"l1 {l1:g} times the absolute weights is {l1 * absolute:.3g}, {share:.0%} of the training "
        f"loss of {losses[-1]:.3g}; it should be a small part of it.",
        "The fit makes weights small rather than right.",
        train_again(record.started, l1=float(f"{0.1 * l1 / share:.0e}")),
        "medium",
    )


CHECKS: Final = (
    Check("loss-does-not-fit", loss_does_not_fit, tasks=OF_LABELS),
    Check("weight-decay-too-strong", weight_decay_too_strong),
)
