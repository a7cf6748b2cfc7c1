"""Tasks: what a model answers. One package each, with the same few modules.

=============== ===================================================================================
``plan``        what the plan says of it: a frozen `volunet.plan.Task`, under the name ``MODEL``
``annotations`` what a data set says of its labels: ``COLUMN``, the column of a table that
                holds them, and ``read_cells``; see `volunet.tasks.annotations`
``target``      what a case has beside its image, on the model's grid: ``make_target``, which
                makes a `volunet.tasks.target.Target`; PyTorch
``objective``   what a network is fitted to, and its score: ``make_objective``, which makes a
                `volunet.tasks.objective.Objective`; PyTorch
``answer``      from the network's output to the result on the scan's own grid, whole and slab
                by slab: ``make_answer``, which makes a `volunet.tasks.answer.Answer`
``scores``      how good predictions are: ``evaluate``, which answers `volunet.tasks.scores.Scores`,
                and ``agreement`` of two results; PyTorch
``picture``     the picture by which a person judges a result: ``draw_case``; Matplotlib
=============== ===================================================================================

`volunet.plan.TASKS` lists the packages. What is common to all, the modules beside them, finds the
one that a plan names (`module_of`), so that nobody else asks which task it is.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from volunet.plan import TASKS


def module_of(kind: str, name: str) -> Any:
    """A module of the package that does a task.

    Args:
        kind: The kind of task.
        name: The module's name, see above.
    """
    return import_module(f"{TASKS[kind]}.{name}")
