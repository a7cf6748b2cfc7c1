"""OpenVINO on the CPU, in float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import openvino as ov
from numpy.typing import NDArray

from volunet.errors import EngineError
from volunet.inference.engines.signal_stack import kept_signal_stack


class OpenVinoEngine:
    """An OpenVINO model, compiled for one size at a time.

    Each size is compiled as a static shape: the padding and cropping of an any-size network then
    fold into constants, and no plugin's handling of dynamic shapes is relied upon. The last size
    stays compiled.

    Args:
        model: An ONNX file, or its bytes.
        threads: Threads to use; None leaves it to OpenVINO.

    Raises:
        EngineError: OpenVINO does not take the model.
    """

    name = "openvino"

    def __init__(self, model: Path | bytes, threads: int | None) -> None:
        self._config = _config(threads)
        self._core = ov.Core()
        try:
            self._model = self._core.read_model(model if isinstance(model, bytes) else str(model))
        except RuntimeError as error:
            raise _engine_error("the model", error) from error
        self._shape: tuple[int, ...] | None = None
        self._compiled: Any = None

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """See `Engine.run`."""
        try:
            if self._shape != x.shape:
                self._compiled = None  # frees the last size's memory before the next is taken
                static = self._model.clone()
                static.reshape(list(x.shape))
                with kept_signal_stack():
                    self._compiled = self._core.compile_model(static, "CPU", self._config)
                self._shape = x.shape
            answer: NDArray[Any] = self._compiled([x])[0].copy()
        except RuntimeError as error:
            self._shape = None
            raise _engine_error(f"input {'×'.join(map(str, x.shape))}", error) from error
        return answer


class OpenVinoStatic:
    """An OpenVINO model of fixed shapes, which reads and writes the caller's arrays themselves.

    Args:
        model: The model.
        threads: Threads to use; None leaves it to OpenVINO.

    Raises:
        EngineError: OpenVINO does not take the model.
    """

    def __init__(self, model: ir.Model, threads: int | None) -> None:
        core = ov.Core()
        try:
            read = core.read_model(ir.to_proto(model).SerializeToString())
            with kept_signal_stack():
                self._compiled = core.compile_model(read, "CPU", _config(threads))
        except RuntimeError as error:
            raise _engine_error("a part of the model", error) from error
        self._request: Any = None

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]) -> None:
        """See `StaticModel.run`."""
        try:
            if self._request is None:
                # Not before: a request comes with arrays of its own, which are let go right here.
                self._request = self._compiled.create_infer_request()
            for index, array in enumerate(inputs):
                self._request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
            for index, array in enumerate(outputs):
                self._request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
            self._request.infer()
        except RuntimeError as error:
            raise _engine_error("a part of the model", error) from error


def make_engine(model: Path | bytes, threads: int | None) -> OpenVinoEngine:
    """Read a model; it is compiled at its first run."""
    return OpenVinoEngine(model, threads)


def make_static(model: ir.Model, threads: int | None) -> OpenVinoStatic:
    """Compile a model of fixed shapes."""
    return OpenVinoStatic(model, threads)


def _config(threads: int | None) -> dict[str, Any]:
    # Float32 always: on some processors OpenVINO would choose bfloat16 by itself.
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = threads
    return config


def _engine_error(what: str, error: Exception) -> EngineError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return EngineError(
        f"OpenVINO, {what}",
        lines[-1] if lines else type(error).__name__,
        "The engine takes the model at every size that the model was made for.",
        "Try another --engine, or volunet check on the model.",
    )
