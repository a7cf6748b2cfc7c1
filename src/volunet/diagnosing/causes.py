"""Which fault follows from which: a cause is told, what it explains is not told as a fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from volunet.diagnosing.diagnosis import Consequence
from volunet.diagnosing.finding import Finding, order_findings

_NOT_LEARNT: Final = frozenset(
    {"underfitting", "plateau", "stopped-too-early", "noisy-validation", "batch-too-large"}
)
"""What a network that does not learn looks like, whatever keeps it from learning."""

CONSEQUENCES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        # In causal order: what stands first is told first among findings that are equally sure.
        "no-foreground": _NOT_LEARNT
        | {"learning-rate-too-low", "learning-rate-too-high", "vanishing-gradients", "overfitting",
           "dead-activations", "batch-too-small", "divergence"},
        "frozen-layers": _NOT_LEARNT | {"vanishing-gradients", "learning-rate-too-low"},
        "loss-does-not-fit": _NOT_LEARNT
        | {"cannot-overfit-one-batch", "learning-rate-too-low", "vanishing-gradients"},
        "learning-rate-too-high": _NOT_LEARNT
        | {"divergence", "exploding-gradients", "vanishing-gradients", "dead-activations",
           "weight-decay-too-strong", "overfitting", "batch-too-small", "frozen-layers"},
        "dead-activations": _NOT_LEARNT
        | {"frozen-layers", "vanishing-gradients", "learning-rate-too-low", "overfitting"},
        "learning-rate-too-low": _NOT_LEARNT | {"batch-too-small", "vanishing-gradients"},
        "divergence": _NOT_LEARNT | {"overfitting", "exploding-gradients"},
        "cannot-overfit-one-batch": _NOT_LEARNT
        | {"learning-rate-too-low", "learning-rate-too-high", "vanishing-gradients"},
        "exploding-gradients": _NOT_LEARNT,
        "vanishing-gradients": _NOT_LEARNT,
        "batch-too-small": _NOT_LEARNT | {"overfitting"},
        "weight-decay-too-strong": _NOT_LEARNT,
        "loading-starved": frozenset({"stopped-too-early", "underfitting", "batch-too-large"}),
        "overfitting": frozenset({"stopped-too-early", "plateau", "noisy-validation"}),
        "batch-too-large": frozenset({"stopped-too-early", "underfitting"}),
        "stopped-too-early": frozenset({"underfitting", "plateau", "noisy-validation"}),
        "underfitting": frozenset({"plateau"}),
    }
)  # fmt: skip
"""Fault → the faults that it explains."""


def explain(findings: Sequence[Finding]) -> tuple[tuple[Finding, ...], tuple[Consequence, ...]]:
    """Divide findings into causes, the surest first, and what these explain.

    A finding explains another one only if it is told itself, and is not of low certainty: a hint
    explains nothing away.
    """
    told: list[Finding] = []
    explained: list[Consequence] = []
    for finding in by_cause(findings):
        cause = next(
            (
                one.fault
                for one in told
                if one.certainty != "low" and finding.fault in CONSEQUENCES.get(one.fault, ())
            ),
            None,
        )
        if cause is None:
            told.append(finding)
        else:
            explained.append(Consequence(finding.fault, finding.where, cause))
    return tuple(order_findings(told)), tuple(explained)


def by_cause(findings: Sequence[Finding]) -> list[Finding]:
    """Findings in causal order, those behind whose fault explains nothing."""
    order = list(CONSEQUENCES)
    return sorted(
        findings,
        key=lambda one: order.index(one.fault) if one.fault in CONSEQUENCES else len(order),
    )
