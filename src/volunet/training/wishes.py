"""`Wishes`: what the user asked for, kept in ``run.json``.

A run that is killed while it prepares has a plan already, but not yet the one that fits the time;
with the wishes it is planned on where it was. Later they tell what was asked for from what followed
by rules and measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from volunet.errors import ConfigError


@dataclass(frozen=True)
class Wishes:
    """What the user asked for besides the budget; None leaves a choice to the rules.

    Attributes:
        fold: ``K/N``, ``all``, ``all/N`` or ``none``; None: 1/5, or fewer folds of fewer cases.
        batch_size: Patches in a batch; ``auto``: by the gradient noise scale and the memory.
        precision: Whether activations are rounded; None: the quicker.
        skip_bad: Whether cases that fail their check are left out.
        plan: The other arguments of `volunet.datasets.rules.plan_from_fingerprint`.

    Raises:
        ConfigError: The batch size is no number of patches.
    """

    fold: str | None = None
    batch_size: int | Literal["auto"] | None = None
    precision: str | None = None
    skip_bad: bool = False
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def leave_network(self) -> bool:
        """Whether the network's width, and the patch if none is given, are left to be measured."""
        return not self.plan.get("features") and self.plan.get("preset", "auto") == "auto"

    def __post_init__(self) -> None:
        size = self.batch_size
        if size not in (None, "auto") and not (isinstance(size, int) and size >= 1):
            raise ConfigError(
                f"--batch-size {size}",
                "neither a number of patches nor auto",
                "A batch has at least one patch.",
                "Give a whole number from 1 up, or auto.",
            )

    def to_json(self) -> dict[str, Any]:
        """The wishes as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; JSON has lists where there were tuples.

        Raises:
            KeyError: There is no plan in it.
            TypeError: There is something else in it.
        """
        plan = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values["plan"].items()
        }
        return cls(**{**values, "plan": plan})
