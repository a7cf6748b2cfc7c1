"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
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
        options = ort.SessionOptions()
        # Volumes differ in size; the arena would keep the largest's memory for good
        # (https://github.com/microsoft/onnxruntime/issues/11627).
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4  # faults arrive as exceptions, not also as log lines
        if threads is not None:
            options.intra_op_num_threads = threads
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except _FAILURES as error:
            raise _engine_error("the model", error) from error
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """See `Engine.run`."""
        try:
            answer: NDArray[Any] = self._session.run([self._output], {self._input: x})[0]
        except _FAILURES as error:
            raise _engine_error(f"input {'×'.join(map(str, x.shape))}", error) from error
        return answer


def make_engine(model: Path | bytes, threads: int | None) -> OnnxRuntimeEngine:
    """Open a session."""
    return OnnxRuntimeEngine(model, threads)


def _engine_error(what: str, error: Exception) -> EngineError:
    return EngineError(
        f"ONNX Runtime, {what}",
        str(error).strip().splitlines()[0],
        "The engine takes the model at every size that the model was made for.",
        "Try another --engine, or volunet check on the model.",
    )
