"""The picture by which a person judges an answer, as each task draws it. Needs Matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from matplotlib.figure import Figure

from volunet.plan import Plan
from volunet.tasks import module_of
from volunet.volumes import Volume, atomic_path


def draw_case(plan: Plan, image: Volume, reference: Any, answer: Any, title: str) -> Figure:
    """Draw a scan with what is right and what the model answers.

    Args:
        plan: The plan of the model.
        image: The scan, (C, D, H, W).
        reference: What is right, as the task reads it; None: is not drawn.
        answer: What the model answers, in the same form; None: is not drawn.
        title: Heading, for instance the case's name.
    """
    draw = module_of(plan.task.kind, "picture").draw_case
    return cast(Figure, draw(plan, image, reference, answer, title))


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; its folder is made where it does not exist.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_path(path) as place:
        figure.savefig(place, format="png", facecolor=figure.get_facecolor())
