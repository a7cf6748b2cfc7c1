"""`open_any`: a model from whatever holds one: an ONNX file or a run folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnx_ir as ir

from volunet.extras import check_train_extra
from volunet.graph.reading.onnx_file import parse_onnx
from volunet.inference import ForeignModel, Model, choose_engine, open_engine, open_model
from volunet.inference.engines import DeferredEngine


def open_any(
    model: str | Path | Model,
    engine: str = "auto",
    *,
    foreign: ForeignModel | None = None,
    threads: int | None = None,
) -> Model:
    """Open an ONNX file or a run folder; a model that is open already stays as it is.

    A run folder's network runs in PyTorch as it is, or on the other engines after a conversion in
    memory.

    Raises:
        ConfigError: It is neither, or it cannot be used as it is.
        EngineError: The engine is not installed or does not take the model.
    """
    if isinstance(model, Model):
        return model
    if not Path(model).is_dir():
        return open_model(model, engine, foreign=foreign, threads=threads)
    check_train_extra("predict with a run folder")
    from volunet.exporting.convert import convert
    from volunet.inference.engines.torch_engine import TorchEngine
    from volunet.nets.deployed import DeployedNetwork
    from volunet.training.record.run_folder import read_network, read_run

    run = read_run(model)
    network = read_network(run)
    name = choose_engine(engine)

    @cache
    def as_onnx() -> bytes:
        return convert(network, run.plan)

    def source() -> ir.Model:
        return parse_onnx(as_onnx())

    if name == "torch":
        torch_engine = TorchEngine(DeployedNetwork(network, run.plan), threads)
        return Model(run.plan, torch_engine, source=source, threads=threads)
    opened = DeferredEngine(name, lambda: open_engine(as_onnx(), name, threads))
    return Model(run.plan, opened, source=source, threads=threads)
