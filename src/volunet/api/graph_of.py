"""Whatever a user calls a model, as a graph: an ONNX file, a run folder, or a preset."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx_ir as ir

from volunet.errors import ConfigError
from volunet.extras import check_train_extra
from volunet.graph.reading.onnx_file import find_plan, parse_onnx, read_onnx
from volunet.plan import Normalisation, Plan
from volunet.tasks.segmentation.plan import Segmentation

_PREFIX: Final = "preset:"


def graph_of(model: str | Path) -> tuple[ir.Model, Plan | None]:
    """The graph of a model and its plan, if it has one.

    Args:
        model: An ONNX file; a run folder, whose network need not be trained yet; or
            ``preset:notes``, the notes' network with one channel in and out.

    Raises:
        ConfigError: It is none of these, or PyTorch is needed and not installed.
    """
    if str(model).startswith(_PREFIX):
        return _of_preset(str(model))
    path = Path(model)
    if path.is_dir():
        check_train_extra("the graph of a run folder")
        from volunet.training.record.run_folder import read_run

        return _of_plan(read_run(path).plan)
    graph = read_onnx(path)
    return graph, find_plan(graph, path)


def _of_preset(name: str) -> tuple[ir.Model, Plan]:
    if name != f"{_PREFIX}notes":
        raise ConfigError(
            name,
            "no such preset",
            "A preset that is a network by itself: preset:notes. Others depend on a data set.",
            "Name preset:notes, a run folder or an ONNX file.",
        )
    check_train_extra("the graph of a preset")
    from volunet.nets import notes_plan

    return _of_plan(
        Plan(
            dataset=name,
            channels=("image",),
            orientation="any",
            spacing_mm=None,
            normalisation=(Normalisation(kind="none"),),
            task=Segmentation(classes=("answer",), label_values=(0,), colours=((0, 0, 0),)),
            patch_size=(64, 64, 64),
            batch_size=1,
            network=notes_plan(1, 1),
        )
    )


def _of_plan(plan: Plan) -> tuple[ir.Model, Plan]:
    """The network of a plan as `volunet export` would write it, with fresh weights."""
    from volunet.exporting.convert import convert
    from volunet.nets import network_of

    model = parse_onnx(convert(network_of(plan).eval(), plan))
    model.graph.sort()
    return model, plan
