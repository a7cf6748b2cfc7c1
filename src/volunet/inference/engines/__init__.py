"""The engines that do the arithmetic: one module an engine and one line in `ENGINES`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from volunet.errors import EngineError

ENGINES: Final[dict[str, str]] = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
}
"""Engine → the module that must be installed for it; the fastest first (benchmarks/engines)."""


class Engine(Protocol):
    """A model that is ready to run."""

    name: str

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """Run the model on one input.

        Args:
            x: (1, C, D, H, W), float32.

        Returns:
            The model's first output.

        Raises:
            EngineError: The engine refuses the model at this size.
        """
        ...


class DeferredEngine:
    """An engine that is opened at its first run: a streamed pass never runs it.

    Args:
        name: Its name.
        opening: Opens it.
    """

    def __init__(self, name: str, opening: Callable[[], Engine]) -> None:
        self.name = name
        self._opening = opening
        self._engine: Engine | None = None

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """See `Engine.run`.

        Raises:
            EngineError: The engine does not take the model, or not at this size.
        """
        if self._engine is None:
            self._engine = self._opening()
        return self._engine.run(x)


def installed_engines() -> list[str]:
    """Names of the engines that can be used here, the fastest first."""
    return [name for name, module in ENGINES.items() if importlib.util.find_spec(module)]


def choose_engine(name: str = "auto") -> str:
    """The engine of that name, or for ``auto`` the fastest that is installed.

    Raises:
        EngineError: There is no such engine, or it is not installed.
    """
    installed = installed_engines()
    if name == "auto" and installed:
        return installed[0]
    if name not in installed:
        raise EngineError(
            f"--engine {name}",
            "not installed" if name in ("auto", *ENGINES) else "no such engine",
            f"Engines are auto, {', '.join(ENGINES)}; installed: {', '.join(installed) or 'none'}",
            'Take another one, or install it (torch: pip install "volunet[train]").',
        )
    return name


def open_engine(model: Path | bytes, name: str = "auto", threads: int | None = None) -> Engine:
    """Load a model into an engine.

    Args:
        model: An ONNX file, or its bytes.
        name: See `choose_engine`.
        threads: Threads to use; None leaves it to the engine.

    Raises:
        EngineError: The engine is not installed or does not take the model.
    """
    module = import_module(f"volunet.inference.engines.{choose_engine(name)}_engine")
    make = cast("Callable[[Path | bytes, int | None], Engine]", module.make_engine)
    return make(model, threads)
