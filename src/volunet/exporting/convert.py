"""Network → ONNX: dynamic axes with a name each, the plan in the metadata, nothing of this machine.

The conversion alone promises nothing; `volunet.exporting.verified` checks its answers.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Final

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
import torch
from onnxscript import optimizer

from volunet.nets import Network
from volunet.nets.deployed import DeployedNetwork
from volunet.plan import METADATA_KEY, Plan, Size3

OPSET: Final = 18
"""The first opset whose Resize, Pad and ReduceMean every current runtime knows."""

AXES: Final = ("depth", "height", "width")
"""Names of the dynamic axes. One name for all three would declare them equal."""


def convert(network: Network, plan: Plan) -> bytes:
    """Convert a trained network to the bytes of an ONNX model.

    Args:
        network: The trained network, or an ensemble of several.
        plan: Its plan; the model's answer is `Plan.answer`.

    Returns:
        A model from ``input`` (1, C, depth, height, width), float32 raw intensities on the plan's
        grid, to ``output`` (1, K, depth, height, width).
    """
    deployed = DeployedNetwork(network, plan).eval()
    example = torch.zeros(1, len(plan.channels), *example_size(network))
    dynamic = dict.fromkeys((2, 3, 4), torch.export.Dim.DYNAMIC)
    with _quiet():
        program = torch.onnx.export(
            deployed,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=(dynamic,),
            verbose=False,
            optimize=False,
        )
    if program is None:  # only the older exporter answers None; this is for the type checker
        raise RuntimeError("torch.onnx.export answered no program")
    model: ir.Model = program.model
    _simplify(model)
    _name_axes(model, same_size=network.alignment != "crop")
    _strip_traces(model)
    model.metadata_props.clear()
    model.metadata_props[METADATA_KEY] = plan.model_dump_json()
    model.producer_name = "volunet"
    model.producer_version = None
    data: bytes = onnx.ModelProto.SerializeToString(ir.to_proto(model))
    return data


def example_size(network: Network) -> Size3:
    """Size that the exporter traces the network at: odd, unequal, no multiple of its strides."""
    sizes: list[int] = []
    for m in network.total_stride:
        size = 2 * m + 3
        while size in sizes or (m > 1 and size % m == 0):
            size += 2
        sizes.append(size)
    return sizes[0], sizes[1], sizes[2]


def _simplify(model: ir.Model) -> None:
    """Fold the arithmetic of constants; keep every weight under its own name.

    The exporter's own optimisation would also fold batch norms into convolutions and merge equal
    weights. Engines do the first for themselves, and without either the network can be rebuilt
    from the file by its weights' names.
    """
    common.InlinePass()(model)
    optimizer.fold_constants(model)
    ir.passes.Sequential(
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


def _name_axes(model: ir.Model, *, same_size: bool) -> None:
    """Call the spatial axes of the input, and of an output of the same size, by their names."""
    values = [model.graph.inputs[0], *(model.graph.outputs if same_size else ())]
    for value in values:
        if value.shape is not None:
            value.shape = ir.Shape([*value.shape[:2], *AXES])
    # The shapes between are the exporter's formulas in names of its own; runtimes infer better.
    kept = {*model.graph.inputs, *model.graph.outputs}
    for node in model.graph:
        for value in node.outputs:
            if value not in kept:
                value.shape = None
    if not same_size:
        output = model.graph.outputs[0]
        if output.shape is not None:
            output.shape = ir.Shape([*output.shape[:2], *(f"output_{name}" for name in AXES)])


def _strip_traces(model: ir.Model) -> None:
    """Drop the exporter's notes on each node: they hold paths of the machine it ran on."""
    model.doc_string = None
    model.graph.doc_string = None
    for holder in (model.graph, *model.graph, *model.graph.initializers.values()):
        holder.metadata_props.clear()
    for node in model.graph:
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in model.graph.inputs:
        value.metadata_props.clear()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines and its notes on torchvision off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
