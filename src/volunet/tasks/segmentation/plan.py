"""What the plan of a segmentation says beside what every plan says."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from volunet.errors import ConfigError
from volunet.plan import Head, Plan, Size3, Task, ValidationScore

Answer = Literal["logits", "probabilities", "labels"]
LossName = Literal[
    "dice_cross_entropy",
    "cross_entropy",
    "dice",
    "focal",
    "tversky",
    "boundary",
    "squared_error",
    "l1",
]


DICE: Final = ValidationScore("dice", "Dice", limits=(0.0, 1.0))

_HEADS: Final[dict[Answer, Head]] = {
    "logits": "none",
    "probabilities": "softmax",
    "labels": "argmax",
}


class Segmentation(Task):
    """A class for each voxel.

    Attributes:
        kind: ``segmentation``.
        classes: Name of each class, background first; output channel k is class k.
        label_values: Value of each class in label maps, the same order as `classes`.
        colours: Red, green, blue (0…255) of each class in pictures.
        answer: What the model file answers: ``logits`` (N, K, D, H, W), ``probabilities`` (the same
            after softmax) or ``labels`` (N, 1, D, H, W), class indices.
    """

    LOSSES: ClassVar[tuple[str, ...]] = get_args(LossName)
    ANSWERS: ClassVar[tuple[str, ...]] = get_args(Answer)

    kind: Literal["segmentation"] = "segmentation"
    classes: tuple[str, ...] = Field(min_length=1)
    label_values: tuple[int, ...]
    colours: tuple[Size3, ...]
    answer: Answer = "logits"

    @property
    def out_channels(self) -> int:
        """One channel a class."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    @property
    def score(self) -> ValidationScore:
        """The mean Dice of the foreground classes."""
        return DICE

    @property
    def head(self) -> Head:
        """See `Task.head`."""
        return _HEADS[self.answer]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if not len(self.classes) == len(self.label_values) == len(self.colours):
            raise ValueError(
                f"{len(self.classes)} classes, {len(self.label_values)} label values and "
                f"{len(self.colours)} colours; all three must be as many"
            )
        return self


MODEL: Final = Segmentation


def segmentation_of(plan: Plan) -> Segmentation:
    """The task of a plan that must be a segmentation's.

    Raises:
        ConfigError: It is another.
    """
    if not isinstance(plan.task, Segmentation):
        raise ConfigError(
            plan.dataset,
            f"a model of the task {plan.task.kind}",
            "This is for models of the task segmentation.",
            "Give one of these.",
        )
    return plan.task
