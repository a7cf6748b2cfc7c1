"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from volunet.errors import EngineError

_FAILURES: Final = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)


class OnnxRuntimeEngine:
    """An ONNX Runtime session.

    Args:
        model: An ONNX file, or its bytes.
        threads: Threads to use; None leaves it to ONNX Runtime.

    Raises:
        EngineError: ONNX Runtime does not take the model.
    """

    name = "onnxruntime"

    def __init__(self, model: Path | bytes, threads: int | None) -> None:
        source = model if isinstance(model, bytes) else str(model)
        self._session = _session(source, threads, "the model")
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """See `Engine.run`."""
        try:
            answer: NDArray[Any] = self._session.run([self._output], {self._input: x})[0]
        except _FAILURES as error:
            raise _engine_error(f"input {'×'.join(map(str, x.shape))}", error) from error
        return answer


class OnnxRuntimeStatic:
    """An ONNX Runtime session that writes into the caller's arrays.

    Args:
        model: A model of fixed shapes.
        threads: Threads to use; None leaves it to ONNX Runtime.

    Raises:
        EngineError: ONNX Runtime does not take the model.
    """

    def __init__(self, model: ir.Model, threads: int | None) -> None:
        proto = ir.to_proto(model).SerializeToString()
        self._session = _session(proto, threads, "a part of the model")
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]) -> None:
        """See `StaticModel.run`."""
        binding = self._session.io_binding()
        for name, array in zip(self._inputs, inputs, strict=True):
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in zip(self._outputs, outputs, strict=True):
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        try:
            self._session.run_with_iobinding(binding)
        except _FAILURES as error:
            raise _engine_error("a part of the model", error) from error


def make_engine(model: Path | bytes, threads: int | None) -> OnnxRuntimeEngine:
    """Open a session."""
    return OnnxRuntimeEngine(model, threads)


def make_static(model: ir.Model, threads: int | None) -> OnnxRuntimeStatic:
    """Open a session of a model of fixed shapes."""
    return OnnxRuntimeStatic(model, threads)


def _session(source: str | bytes, threads: int | None, what: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # Volumes differ in size; the arena would keep the largest's memory for good
    # (https://github.com/microsoft/onnxruntime/issues/11627).
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # faults arrive as exceptions, not also as log lines
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except _FAILURES as error:
        raise _engine_error(what, error) from error


def _engine_error(what: str, error: Exception) -> EngineError:
    return EngineError(
        f"ONNX Runtime, {what}",
        str(error).strip().splitlines()[0],
        "The engine takes the model at every size that the model was made for.",
        "Try another --engine, or volunet check on the model.",
    )
