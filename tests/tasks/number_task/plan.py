from __future__ import annotations

from typing import ClassVar, Final, Literal

from volunet.plan import Task, ValidationScore


class Number(Task):
    """One number a scan."""

    LOSSES: ClassVar[tuple[str, ...]] = ("squared",)

    kind: Literal["number"] = "number"
    unit: str = "voxels"

    @property
    def out_channels(self) -> int:
        return 1

    @property
    def score(self) -> ValidationScore:
        return ValidationScore("error", "error", higher_is_better=False, limits=(0.0, None))


MODEL: Final = Number
