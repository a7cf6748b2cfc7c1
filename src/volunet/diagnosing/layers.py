"""What the layers say: which are dead, frozen, starved of gradient, or flooded with it."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from volunet.diagnosing.answers import LeftOut
from volunet.diagnosing.check import Answer, Check
from volunet.diagnosing.command import train_again
from volunet.diagnosing.finding import Certainty, Finding
from volunet.diagnosing.record import LayerSample, Record
from volunet.plan import ActivationName
from volunet.training.fitting.telemetry import GRADIENT_NORM

MANY_SILENT: Final = 0.5
"""Share of a layer's channels; behind norm layers healthy networks stay below 0.2. Without them
and with leaky ReLU, healthy ones have had up to 0.98, so that it is a hint there."""

ALL_SILENT: Final = 0.9
"""Nothing but the skip goes past such a layer."""

TINY_GRADIENT: Final = 1e-6
"""Gradient by weight, as a share of the layer's with the most; healthy ones have 1e-4 and more."""

MOVES: Final = 1e-4
"""What weights moved in all, as a share of theirs, above which a layer surely learns."""

FEWEST_MOVES: Final = 2
"""Movements between samples that must be known of a layer: those over a resumption are not, and a
single one may be of steps without a gradient."""

OFTEN_CLIPPED: Final = 0.5
"""Share of the steps; the norm at which gradients are clipped is ten times a usual one."""

_LAST: Final = 3
"""Samples at the end whose mean counts, so that one odd batch does not."""

_SILENCED: Final[tuple[ActivationName, ...]] = ("relu", "leaky_relu")
"""Activations that let little or nothing through below 0."""


def dead_activations(record: Record) -> Answer:
    """Layers most of whose channels answer nothing."""
    network = record.run.plan.network
    if network is None or network.activation not in _SILENCED:
        return None
    shares = {
        name: statistics.fmean(values)
        for name, samples in record.layers.items()
        if (
            values := [one.silent_share for one in samples[-_LAST:] if one.silent_share is not None]
        )
    }
    dead = {name: share for name, share in shares.items() if share >= MANY_SILENT}
    if not dead:
        return None
    worst = max(dead, key=lambda name: dead[name])
    changes: dict[str, object] = {"preset": "auto", "learning_rate": _lower_rate(record)}
    if network.norm == "none":
        changes["norm"] = None
    certainty: Certainty = "medium"
    if network.activation == "relu" and dead[worst] >= ALL_SILENT:
        certainty = "high"
    elif network.activation == "leaky_relu" and network.norm == "none":
        certainty = "low"
    return Finding(
        "dead-activations",
        group_layers(dead, record.layers),
        f"{dead[worst]:.0%} of the channels of {worst} have no positive value in a batch "
        f"(last {_LAST} samples); behind norm layers a healthy one has less than 20 %.",
        "The channels were pushed below 0, by a learning rate that was too high at some time or by "
        "a bias, and an activation that is flat there brings no gradient back."
        if network.activation == "relu"
        else "The channels were pushed below 0, where leaky ReLU lets a hundredth through.",
        train_again(record.started, **changes),
        certainty,
    )


def frozen_layers(record: Record) -> Answer:
    """Layers that no step moves, or that no gradient reaches."""
    layers = {
        name: samples
        for name, samples in record.layers.items()
        if sum(sample.update_ratio is not None for sample in samples) >= FEWEST_MOVES
    }
    if not layers:
        return LeftOut(f"fewer than {FEWEST_MOVES} known movements of a layer")
    moved = {
        name: sum(sample.update_ratio or 0.0 for sample in samples)
        for name, samples in layers.items()
    }
    stiff = [
        name
        for name, samples in layers.items()
        if moved[name] == 0.0 or not any(sample.gradient_norm for sample in samples)
    ]
    others = [moved[name] for name in moved if name not in stiff]
    if not stiff or (others and max(others) < MOVES):
        return None
    still = sum(moved[name] == 0.0 for name in stiff)
    others_moved = (
        f"; the other layers moved by {statistics.median(others):.2g} of theirs" if others else ""
    )
    return Finding(
        "frozen-layers",
        group_layers(stiff, layers),
        f"{len(stiff)} of {len(layers)} convolutions had gradient 0 or did not move in any "
        f"of {len(layers[stiff[0]])} samples ({still} kept their weights exactly)"
        f"{others_moved}.",
        "The layers are not trained: their parameters do not require a gradient, the optimizer was "
        "not given them, or what follows them lets no gradient back.",
        "Make every parameter require a gradient and give the optimizer all of them; then "
        + train_again(record.started),
        "high",
    )


def vanishing_gradients(record: Record) -> Answer:
    """Layers whose gradient is next to nothing beside that of others."""
    relative = {
        name: statistics.median([_relative(sample) for sample in samples])
        for name, samples in record.layers.items()
    }
    most = max(relative.values())
    weak = [name for name, value in relative.items() if 0 < value < TINY_GRADIENT * most]
    if not weak:
        return None
    weakest = min(weak, key=lambda name: relative[name])
    return Finding(
        "vanishing-gradients",
        group_layers(weak, record.layers),
        f"gradient by weight of {weakest}: {relative[weakest]:.1e}, of the layer with the most: "
        f"{most:.1e} (medians); a healthy network's layers lie within a factor of 10,000.",
        "The gradient gets lost on the way back: no norm layers, or activations that are flat.",
        train_again(record.started, preset="auto", norm=None),
        "medium",
    )


def exploding_gradients(record: Record) -> Answer:
    """Gradients that are clipped most of the time."""
    shares = record.values("clipped_share")
    norms = record.values("gradient_norm")
    if not shares or not norms:
        return LeftOut("no finite gradient norm")
    clipped = statistics.fmean(shares)
    if clipped < OFTEN_CLIPPED:
        return None
    typical = statistics.median(norms)
    where = "every layer"
    if record.layers:
        peaks = {
            name: max(sample.gradient_norm for sample in samples)
            for name, samples in record.layers.items()
        }
        worst = max(peaks, key=lambda name: peaks[name])
        where = f"most in {worst}"
    return Finding(
        "exploding-gradients",
        where,
        f"{clipped:.0%} of the steps had a gradient above {GRADIENT_NORM:g} and were clipped; its "
        f"median norm is {typical:.3g}. A healthy fit clips next to none, at norms about 1.",
        "Steps throw the weights about: the learning rate is too high, norm layers are missing, or "
        "the loss is a sum where it should be a mean.",
        train_again(record.started, norm=None, learning_rate=_lower_rate(record)),
        "high" if typical > 10 * GRADIENT_NORM else "medium",
    )


CHECKS: Final = (
    Check("dead-activations", dead_activations, needs_layers=True),
    Check("frozen-layers", frozen_layers, needs_layers=True),
    Check("vanishing-gradients", vanishing_gradients, needs_layers=True),
    Check("exploding-gradients", exploding_gradients, columns=("clipped_share", "gradient_norm")),
)


def group_layers(names: Collection[str], known: Iterable[str]) -> str:
    """Names of layers, those of a whole part of the network as one.

    Args:
        names: The layers, such as ``encoders.0.conv1``.
        known: Every layer's name.

    Example:
        >>> group_layers(["encoders.0.conv1", "head"], ["encoders.0.conv1", "head", "decoders.0"])
        'all of encoders, head'
    """
    parts: dict[str, list[str]] = {}
    for name in known:
        parts.setdefault(name.split(".")[0], []).append(name)
    words: list[str] = []
    for part, layers in parts.items():
        chosen = [name for name in layers if name in names]
        if len(chosen) == len(layers) and chosen != [part]:
            words.append(f"all of {part}")
        else:
            words += chosen
    return _shortened(words)


def _shortened(words: Sequence[str], most: int = 6) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _relative(sample: LayerSample) -> float:
    return sample.gradient_norm / sample.weight_norm if sample.weight_norm else 0.0


def _lower_rate(record: Record) -> float:
    return record.run.config.highest_learning_rate / 10
