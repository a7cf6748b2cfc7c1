"""PyTorch: a network rebuilt from volunet's own ONNX file, or any other file's graph as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from volunet.errors import EngineError, ShapeError
from volunet.graph.reading.onnx_file import find_plan, parse_onnx, read_onnx, weights_of
from volunet.graph.reading.structure import check_structure
from volunet.inference.engines.torch_graph import TorchGraph
from volunet.nets.deployed import DeployedNetwork
from volunet.nets.presets import network_of


class TorchEngine:
    """A PyTorch module in eval mode.

    Args:
        module: (1, C, D, H, W) → a tensor; usually a `DeployedNetwork`.
        threads: Threads to use; None leaves it to PyTorch.
    """

    name = "torch"

    def __init__(self, module: torch.nn.Module, threads: int | None = None) -> None:
        self._module = module.eval()
        if threads is not None:
            torch.set_num_threads(threads)

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """See `Engine.run`."""
        try:
            with torch.inference_mode():
                answer: NDArray[Any] = self._module(torch.from_numpy(x)).numpy()
        except RuntimeError as error:
            raise EngineError(
                f"PyTorch, input {'×'.join(map(str, x.shape))}",
                str(error).strip().splitlines()[0],
                "The engine takes the model at every size that the model was made for.",
                "Try another --engine.",
            ) from error
        return answer


class TorchGraphEngine:
    """An ONNX graph of any origin, made ready for one size at a time; the last size stays ready.

    Args:
        model: The graph; its first output is the answer.
        where: The file, for messages.
        threads: Threads to use; None leaves it to PyTorch.
    """

    name = "torch"

    def __init__(self, model: ir.Model, where: str, threads: int | None = None) -> None:
        self._model = model
        self._where = where
        self._threads = threads
        self._shape: tuple[int, ...] | None = None
        self._graph: TorchGraph | None = None

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """See `Engine.run`."""
        if self._graph is None or self._shape != x.shape:
            self._graph = None  # frees the last size's weights before they are read again
            try:
                self._graph = TorchGraph(
                    self._model, self._where, threads=self._threads, size=x.shape
                )
            except ShapeError as error:
                raise EngineError(
                    f"PyTorch, input {'×'.join(map(str, x.shape))}",
                    error.found,
                    error.expected,
                    "Give another size, or volunet inspect the model.",
                ) from error
            self._shape = x.shape
        return self._graph.run([x])[0]


class TorchStatic:
    """A graph of fixed shapes in PyTorch, its answers copied to where they are wanted.

    Args:
        model: The graph.
        threads: Threads to use; None leaves it to PyTorch.

    Raises:
        EngineError: An operator has no PyTorch source.
    """

    def __init__(self, model: ir.Model, threads: int | None) -> None:
        self._graph = TorchGraph(model, "a part of the model", threads=threads)

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]) -> None:
        """See `StaticModel.run`."""
        for answer, output in zip(self._graph.run(inputs), outputs, strict=True):
            output[...] = answer


def make_static(model: ir.Model, threads: int | None) -> TorchStatic:
    """Make a graph of fixed shapes ready."""
    return TorchStatic(model, threads)


def make_engine(model: Path | bytes, threads: int | None) -> TorchEngine | TorchGraphEngine:
    """Rebuild the network of an ONNX file of volunet's export, or take a file's graph as it is.

    The graph is taken where no plan describes the network, or another one than the weights are of.

    Raises:
        EngineError: The bytes are no whole ONNX model.
        ConfigError: The file is not a whole ONNX file, or its structure is not sound.
    """
    where = "the model" if isinstance(model, bytes) else str(model)
    graph = _parsed(model, where) if isinstance(model, bytes) else read_onnx(model)
    network = _rebuilt(graph, where)
    return (
        TorchGraphEngine(graph, where, threads)
        if network is None
        else TorchEngine(network, threads)
    )


def _parsed(data: bytes, where: str) -> ir.Model:
    try:
        model = parse_onnx(data)
    except DecodeError as error:
        raise _not_a_model(where, str(error)) from error
    if not model.graph.outputs:
        raise _not_a_model(where, "no graph with an output in it")
    check_structure(model, Path(where))
    return model


def _not_a_model(where: str, reason: str) -> EngineError:
    return EngineError(
        where,
        f"not a whole ONNX model ({reason})",
        "The bytes of an ONNX model.",
        "Export the model again.",
    )


def _rebuilt(graph: ir.Model, where: str) -> DeployedNetwork | None:
    """The network of the plan with the file's weights; None without one that they are of."""
    plan = find_plan(graph, where)
    if plan is None or plan.network is None:
        return None
    deployed = DeployedNetwork(network_of(plan), plan)
    wanted = deployed.state_dict()
    weights = {
        name: torch.from_numpy(np.array(array))
        for name, array in weights_of(graph, where).items()
        if name in wanted
    }
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    needed -= {name for name in needed if ".side_heads." in name}
    if needed - weights.keys() or any(weights[n].shape != wanted[n].shape for n in weights):
        return None
    deployed.load_state_dict(weights, strict=False)
    return deployed
