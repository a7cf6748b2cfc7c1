"""Models of fixed shapes, several inputs and outputs, that write where they are told to.

The sub-models of a streamed pass: nothing is copied on the way in or out where the engine can do
without.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import onnx_ir as ir
from numpy.typing import NDArray

from volunet.inference.engines import choose_engine


class StaticModel(Protocol):
    """A model of fixed shapes that is ready to run."""

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]) -> None:
        """Run the model.

        Args:
            inputs: Its inputs in their order, C-contiguous.
            outputs: Arrays that its outputs are written to, C-contiguous, of their shape and type.

        Raises:
            EngineError: The engine refuses the model.
        """
        ...


class StaticMaker(Protocol):
    """What every engine's module makes static models with."""

    def __call__(self, model: ir.Model, threads: int | None) -> StaticModel:
        """Make a model ready."""
        ...


def open_static(model: ir.Model, name: str = "auto", threads: int | None = None) -> StaticModel:
    """Load a model of fixed shapes into an engine.

    Args:
        model: The model.
        name: See `volunet.inference.engines.choose_engine`.
        threads: Threads to use; None leaves it to the engine.

    Raises:
        EngineError: The engine is not installed or does not take the model.
    """
    module = import_module(f"volunet.inference.engines.{choose_engine(name)}_engine")
    return cast("StaticMaker", module.make_static)(model, threads)
