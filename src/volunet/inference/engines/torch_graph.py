"""`TorchGraph`: any ONNX graph at one input size in PyTorch, from its operators' own rules.

`TorchEngine` rebuilds volunet's own networks; this needs no plan, only that every operator has a
`volunet.graph.operators.Source`. In float64 it is the reference that tests of exactness ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from volunet.errors import EngineError
from volunet.graph.network import Network, infer_sizes
from volunet.graph.sizes import shape_text
from volunet.inference.engines.torch_steps import OTHERS, StepBuilder, as_tensor, numbers_of

_FAILURES: Final = (RuntimeError, ValueError, TypeError, IndexError)
"""What PyTorch raises where a call does not fit its tensors."""


class TorchGraph:
    """An ONNX graph, ready to run at one input size.

    Args:
        model: A model whose nodes are in order and whose inputs have numbers for sizes.
        where: The file, for messages.
        dtype: Type of all computation in FLOAT, FLOAT16 and BFLOAT16, casts to these included:
            with float64 nothing is rounded on the way. DOUBLE stays float64.
        threads: Threads to use, for all of PyTorch; None leaves it to PyTorch.
        size: Sizes for inputs that the file leaves open, as `infer_sizes` takes them.

    Attributes:
        inputs: The inputs' names and sizes, in order.
        outputs: The outputs' names and sizes, in order.

    Raises:
        EngineError: An operator has no PyTorch here, or a size is open or does not fit.
        ShapeError: `size` contradicts one that is fixed in the first input.
    """

    def __init__(
        self,
        model: ir.Model,
        where: str,
        dtype: torch.dtype = torch.float32,
        threads: int | None = None,
        size: Sequence[int] | None = None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        network = infer_sizes(model, where, size)
        _check_sizes(network)
        self._where = where
        self.inputs = {tensor.name: numbers_of(tensor) for tensor in network.inputs}
        self._answers = [value.name or "" for value in model.graph.outputs]
        self.outputs = {name: numbers_of(network.tensors[name]) for name in self._answers}
        builder = StepBuilder(network, model, dtype)
        with torch.inference_mode():
            self._steps = builder.steps(self._answers)
            self._constants = builder.constants_of(self._steps, self._answers)
        self._dtypes = [builder.dtype_of(tensor) for tensor in network.inputs]

    def run(
        self, inputs: Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """Run the graph once.

        Args:
            inputs: An array for each input, by its name or in order, of the sizes in `inputs`.

        Returns:
            An array for each output, of the sizes in `outputs`, of memory of its own. Its strides
            are those that PyTorch left: it need not be in C order.

        Raises:
            EngineError: An input is missing or of another size, or PyTorch refuses a call.
        """
        arrays = self._checked(inputs)
        borrowed = {array.ctypes.data for array in arrays}
        borrowed |= {_storage(tensor) for tensor in self._constants.values()}
        tensors = self._constants | {
            name: as_tensor(array).to(dtype)
            for name, array, dtype in zip(self.inputs, arrays, self._dtypes, strict=True)
        }
        with torch.inference_mode():
            for step in self._steps:
                try:
                    step.run(tensors)
                except _FAILURES as error:
                    raise EngineError(
                        f"{self._where}, {step.node}",
                        f"PyTorch: {str(error).strip().splitlines()[0]}",
                        "PyTorch computes what the operator's definition says.",
                        OTHERS,
                    ) from error
            answers = []
            for name in self._answers:
                answer = tensors[name]
                # A view would keep all of what it is a part of; another's memory may change.
                shared = answer.untyped_storage().nbytes() > answer.nbytes
                if shared or _storage(answer) in borrowed:
                    answer = answer.clone()
                borrowed.add(_storage(answer))
                answers.append(answer.numpy())
        return answers

    def _checked(
        self, inputs: Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """The inputs in order, of the sizes that the graph was made for."""
        if not isinstance(inputs, Mapping):
            names = [*self.inputs, *(f"input {i}" for i in range(len(self.inputs), len(inputs)))]
            inputs = dict(zip(names, inputs, strict=False))
        shapes = {name: np.shape(array) for name, array in inputs.items()}
        if shapes != self.inputs:
            raise EngineError(
                f"{self._where}, run by PyTorch",
                f"inputs {_listed(shapes) or 'none'}",
                f"The graph was made for {_listed(self.inputs)}",
                "Make another one for another size.",
            )
        return [np.asarray(inputs[name]) for name in self.inputs]


def _check_sizes(network: Network) -> None:
    """Say which operator or size keeps the graph from being run.

    Raises:
        EngineError: There is one.
    """
    if network.unsupported:
        kinds = sorted({node.op_type for node in network.unsupported})
        raise EngineError(
            network.where,
            f"operator {', '.join(kinds)} (node '{network.unsupported[0].name}') is not known",
            "Operators are those of the table of operators (volunet.graph.operators).",
            OTHERS,
        )
    if network.failures:
        raise EngineError(
            network.where,
            str(network.failures[0]),
            "Every operator fits the sizes of its inputs.",
            "Give another size, or volunet inspect the model.",
        )
    for tensor in (*network.inputs, *network.outputs):
        if tensor.shape is None or not all(isinstance(size, int) for size in tensor.shape):
            raise EngineError(
                network.where,
                f"tensor '{tensor.name}' is of "
                + ("an unknown size" if tensor.shape is None else shape_text(tensor.shape)),
                "The graph is made for one size; its inputs' sizes are numbers.",
                "Give its inputs sizes.",
            )


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"'{name}' {'×'.join(map(str, shape))}" for name, shape in shapes.items())
