"""What a model file must be before anything is read from it: whole, in order, within its folder.

A model file may come from anywhere. Its external data is a path that somebody wrote into it: it is
followed only inside the model's own folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir
import onnx_ir.passes.common as common

from volunet.errors import ConfigError
from volunet.graph.reading.branches import take_known_branches


def check_structure(model: ir.Model, path: Path) -> None:
    """Check a model's structure, and put its nodes in an order in which they can run.

    Functions of the file's own are replaced by their nodes, and so are branches that are always
    taken (`volunet.graph.reading.branches`).

    Raises:
        ConfigError: External data is missing, too short or outside the folder; the nodes form a
            cycle; or a node reads a tensor that nothing makes.
    """
    _check_external_data(model, path)
    if model.functions:
        common.InlinePass()(model)
    try:
        model.graph.sort()
    except ValueError as error:
        raise ConfigError(
            path,
            f"its nodes form a cycle: {_cycle(model.graph)}",
            "In an ONNX graph every node comes after those that it reads from.",
            "The file was not written by an exporter, or is damaged: export it again.",
        ) from error
    take_known_branches(model, str(path))
    for node in model.graph:
        for value in node.inputs:
            if value is not None and _comes_from_nowhere(value):
                raise ConfigError(
                    path,
                    f"{node.op_type} '{node.name}' reads '{value.name}', which nothing makes",
                    "A node reads inputs, weights and what the nodes before it made.",
                    "The file is damaged: export it again.",
                )


def _comes_from_nowhere(value: ir.Value) -> bool:
    if not value.name:  # an optional input that is left out
        return False
    return value.producer() is None and not value.is_graph_input() and not value.is_initializer()


def _check_external_data(model: ir.Model, path: Path) -> None:
    folder = path.parent.resolve()
    for name, content in _external_tensors(model):
        file = (folder / content.location).resolve()
        if not file.is_relative_to(folder):
            raise ConfigError(
                path,
                f"weight '{name}' points outside the model's folder: {content.location}",
                "External data lies in the folder of the model file, or below it.",
                "Do not trust this file. Ask its author for one that holds its weights.",
            )
        if not file.is_file():
            raise ConfigError(
                path,
                f"weight '{name}' is in {content.location}, which is not there",
                "External data lies beside the model file.",
                f"Copy {file.name} into {folder} as well.",
            )
        needed = (content.offset or 0) + content.nbytes
        if file.stat().st_size < needed:
            raise ConfigError(
                path,
                f"weight '{name}' ends at byte {needed} of {content.location}, which has "
                f"{file.stat().st_size}",
                "External data is whole.",
                f"Copy {file.name} again; it may be truncated.",
            )


def _external_tensors(model: ir.Model) -> Iterator[tuple[str, ir.ExternalTensor]]:
    """Weights outside of the file: initializers, and tensors that nodes hold, with their names."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for name, value in graph.initializers.items():
            if isinstance(value.const_value, ir.ExternalTensor):
                yield name, value.const_value
        for node in graph:
            for attribute in node.attributes.values():
                if isinstance(attribute.value, ir.ExternalTensor):
                    yield node.name or node.op_type, attribute.value


def _cycle(graph: ir.Graph) -> str:
    """Names of the nodes around one cycle, in their order."""
    path: list[ir.Node] = []
    seen: set[ir.Node] = set()
    # Every node that never becomes free of unfinished inputs is on a cycle or behind one; going
    # back from any of them through such inputs must come around.
    left = set(graph)
    freed = True
    while freed:
        free = {
            node
            for node in left
            if not any(v is not None and v.producer() in left for v in node.inputs)
        }
        left -= free
        freed = bool(free)
    node = next(iter(node for node in graph if node in left))
    while node not in seen:
        seen.add(node)
        path.append(node)
        producers = (v.producer() for v in node.inputs if v is not None)
        node = next(producer for producer in producers if producer in left)
    around = path[path.index(node) :]
    names = [f"{member.op_type} '{member.name}'" for member in reversed(around)]
    return " → ".join([*names, names[0]])
