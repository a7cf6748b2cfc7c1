"""PyTorch: runs a network, or rebuilds one from the plan and weights of volunet's own ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from volunet.errors import EngineError
from volunet.graph.onnx_file import find_plan, parse_onnx, read_onnx, weights_of
from volunet.nets.deployed import DeployedNetwork
from volunet.nets.presets import build_network


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


def make_engine(model: Path | bytes, threads: int | None) -> TorchEngine:
    """Rebuild the network of an ONNX file of volunet's export.

    Raises:
        EngineError: The file is not volunet's, or its weights are not its plan's network.
    """
    where = "the model" if isinstance(model, bytes) else str(model)
    try:
        graph = parse_onnx(model) if isinstance(model, bytes) else read_onnx(model)
    except DecodeError as error:
        raise EngineError(
            where,
            f"not a whole ONNX model ({error})",
            "The bytes of an ONNX model.",
            "Export the model again.",
        ) from error
    plan = find_plan(graph, where)
    if plan is None or plan.network is None:
        raise EngineError(
            where,
            "no plan that describes a network in its metadata",
            "PyTorch can rebuild only what volunet export wrote.",
            "Use --engine openvino or --engine onnxruntime.",
        )
    deployed = DeployedNetwork(build_network(plan.network), plan)
    wanted = deployed.state_dict()
    weights = {
        name: torch.from_numpy(np.array(array))
        for name, array in weights_of(graph, where).items()
        if name in wanted
    }
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    needed -= {name for name in needed if ".side_heads." in name}
    unlike = [n for n in weights if weights[n].shape != wanted[n].shape]
    if needed - weights.keys() or unlike:
        odd = sorted((needed - weights.keys()) | set(unlike))
        raise EngineError(
            where,
            f"{len(odd)} weights missing or of another shape, the first {odd[0]}",
            "The weights in the file are those of the network in its plan.",
            "Export the model again, or use --engine openvino.",
        )
    deployed.load_state_dict(weights, strict=False)
    return TorchEngine(deployed, threads)
