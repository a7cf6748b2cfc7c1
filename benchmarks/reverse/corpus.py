"""A corpus of networks in ONNX for ``volunet reverse``, all of them exported here.

53 networks: MONAI's, nnU-Net's, ours, the classic ones of their papers and 1D ones. Each is
exported by both of PyTorch's exporters, and each file is there twice, as it is and stripped of
every name: 212 files, less those that an exporter refuses, which are listed and never replaced.
Opsets are 18 to 21 (``dynamo=True``) and 9 to 17 (``dynamo=False``). Some networks are exported for
training, or unfolded, with their batch norms kept.

Weights are random (He's, seed 0), and statistics of batch norms are those of noise, jittered, so
that a norm that is forgotten or doubled shows. Widths are moderate, and a file is below 40 MB:
vgg16, googlenet, alexnet, squeezenet and the mobilenets have the depth of their papers at half the
width or less, and images of 64 to 96 pixels; VNet, whose width is fixed, is the 2D one. A file that
answers otherwise than its network is not in the corpus. PyTorch has no local response norm to
export: it comes as pooling and arithmetic.

    python -m benchmarks.reverse.corpus FOLDER [--only vgg16,unet] [--nnunet FOLDER]

takes about 10 minutes on 2 cores and 0.8 GB of disk, and writes ``corpus.json`` beside the files.
``--nnunet`` names a folder that dynamic-network-architectures was installed into with
``pip install --no-deps --target``; with its dependencies it would bring another torchvision.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from benchmarks.measuring.quiet import quiet
from benchmarks.reverse.networks import NETWORKS, Mode, Network

Exporter = Literal["dynamo", "legacy"]
EXPORTERS: tuple[Exporter, ...] = ("legacy", "dynamo")
TOLERANCE = 1e-4
"""Largest difference of a good export, relative to the largest answer."""


@dataclass(frozen=True)
class CorpusFile:
    """One variant of a network: a file, or why there is none.

    Attributes:
        network: Its name.
        family: Where it comes from.
        exporter: Of PyTorch's two.
        stripped: Whether its names are gone.
        opset: Of the file.
        mode: See `Network`.
        shapes: Shape of each input that it was exported with.
        other: Shapes that the network answers as well; none where no axis is open.
        path: The file; "" where there is none.
        sizes: What the file answers at another size: ``any``: as the network; ``fixed``: no axis is
            open; ``own``: it fails there, or answers otherwise, where the network does not.
        missing: Why there is no file.
    """

    network: str
    family: str
    exporter: Exporter
    stripped: bool
    opset: int
    mode: Mode
    shapes: tuple[tuple[int, ...], ...]
    other: tuple[tuple[int, ...], ...] = ()
    path: str = ""
    sizes: str = ""
    missing: str = ""


def make_corpus(
    folder: Path, only: Sequence[str] | None = None, nnunet: Path | None = None
) -> Iterator[CorpusFile]:
    """Export the corpus into a folder, variant by variant.

    Args:
        folder: For the files; made where it does not exist.
        only: Names of networks; all where not given.
        nnunet: Where dynamic-network-architectures lies, if Python does not find it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if nnunet is not None:
        sys.path.append(str(nnunet))
    for name in only or NETWORKS:
        for exporter in EXPORTERS:
            yield from _make_variants(folder, name, NETWORKS[name], exporter)


def read_corpus(folder: Path) -> list[CorpusFile]:
    """The variants that were made in a folder."""
    rows = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    made = []
    for row in rows:
        row["path"] = str(folder / row["path"]) if row["path"] else ""
        made.append(CorpusFile(**row | {key: _tuples(row[key]) for key in ("shapes", "other")}))
    return made


def export_network(
    network: nn.Module, inputs: tuple[Tensor, ...], path: Path, *, exporter: Exporter,
    opset: int, axes: Sequence[int] = (), mode: Mode = "eval",
) -> None:  # fmt: skip
    """Export a network by one of PyTorch's exporters, quietly."""
    kinds = torch.onnx.TrainingMode
    # Either exporter may write into the module.
    network = copy.deepcopy(network).train(mode == "training")
    names = ["input"] if len(inputs) == 1 else [f"input_{i}" for i in range(len(inputs))]
    with quiet():
        if exporter == "dynamo":
            open_axes = dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
            torch.onnx.export(
                network, inputs, path, dynamo=True, opset_version=opset, input_names=names,
                dynamic_shapes=tuple(open_axes for _ in inputs) if axes else None,
                external_data=False, optimize=mode != "unfolded", verbose=False,
            )  # fmt: skip
            return
        torch.onnx.export(
            network, inputs, path, dynamo=False, opset_version=opset, input_names=names,
            dynamic_axes={name: {a: f"axis_{a}" for a in axes} for name in names} if axes else None,
            do_constant_folding=mode == "eval",
            training={"eval": kinds.EVAL, "unfolded": kinds.PRESERVE, "training": kinds.TRAINING}[
                mode
            ],
        )  # fmt: skip


def strip_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, its nodes and values called n0, n1, … and nothing said about them."""
    model = copy.deepcopy(model)
    if model.functions:
        raise ValueError("a model with functions")
    renamed: dict[str, str] = {"": ""}
    _strip_graph(model.graph, renamed)
    for field in ("metadata_props", "doc_string", "producer_name", "producer_version", "domain"):
        model.ClearField(field)
    onnx.checker.check_model(model)
    return model


def _strip_graph(graph: onnx.GraphProto, renamed: dict[str, str]) -> None:
    def new(name: str) -> str:
        return renamed.setdefault(name, f"n{len(renamed) - 1}")

    graph.ClearField("value_info")
    for described in (graph, *graph.input, *graph.output, *graph.initializer):
        described.ClearField("doc_string")
        described.ClearField("metadata_props")
    for value in (*graph.input, *graph.initializer):
        value.name = new(value.name)
    for value in graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = new(f"size {dim.dim_param}")
    for node in graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        node.name = new(f"node {node.name} {node.output[0]}")
        node.input[:] = [new(name) for name in node.input]
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
            if attribute.type == onnx.AttributeProto.GRAPH:
                _strip_graph(attribute.g, renamed)
            if attribute.type == onnx.AttributeProto.TENSOR:
                attribute.t.ClearField("name")
        node.output[:] = [new(name) for name in node.output]
    for value in graph.output:
        value.name = new(value.name)
        # Sizes of outputs are formulas of the inputs'; a reader finds them by itself.
        for dim in value.type.tensor_type.shape.dim:
            dim.ClearField("dim_param")
    graph.name = "graph"


def _make_variants(
    folder: Path, name: str, entry: Network, exporter: Exporter
) -> Iterator[CorpusFile]:
    path = folder / f"{name}_{exporter}.onnx"
    opset = entry.legacy if exporter == "legacy" else entry.dynamo
    shapes = _with_batch(entry.shapes, 2) if 0 in entry.axes else entry.shapes
    other = _other_shapes(shapes, entry) if entry.axes else ()
    row = CorpusFile(name, entry.family, exporter, False, opset, entry.mode, shapes, other)
    try:
        network = _settled(entry, shapes)
        inputs = _noise(shapes, 1)
        export_network(
            network, inputs, path, exporter=exporter, opset=opset, axes=entry.axes, mode=entry.mode
        )
        model = onnx.load(path)
        row = replace(row, opset=_opset(model))
        sizes = _check_export(network, path, shapes, entry)
    except Exception as error:  # noqa: BLE001  (whatever an exporter raises is the result)
        path.unlink(missing_ok=True)
        reason = _first_line(error)
        yield replace(row, missing=reason)
        yield replace(row, missing=reason, stripped=True)
        return
    yield replace(row, path=str(path), sizes=sizes)
    stripped = path.with_name(f"{path.stem}_stripped.onnx")
    try:
        onnx.save(strip_names(model), stripped)
        _check_export(network, stripped, shapes, entry)
    except Exception as error:  # noqa: BLE001
        stripped.unlink(missing_ok=True)
        yield replace(row, stripped=True, missing=f"stripping: {_first_line(error)}")
        return
    yield replace(row, path=str(stripped), sizes=sizes, stripped=True)


def _settled(entry: Network, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
    """The network in eval mode; its weights let a signal through, and its norms do something."""
    torch.manual_seed(0)
    network = entry.build()
    norms = (nn.modules.batchnorm._BatchNorm, nn.modules.batchnorm._NormBase, nn.GroupNorm)
    batch_norms = [m for m in network.modules() if isinstance(m, norms[0])]
    with torch.no_grad():
        for module in network.modules():
            weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
            if isinstance(module, (*norms, nn.LayerNorm)) and weight is not None:
                weight.uniform_(0.5, 1.5)
            elif isinstance(module, nn.PReLU):
                module.weight.uniform_(0.1, 0.4)
            elif isinstance(weight, Tensor) and weight.ndim > 1:
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
            if isinstance(bias, Tensor):
                bias.normal_(0.0, 0.1)
        momenta = [norm.momentum for norm in batch_norms]
        for norm in batch_norms:
            norm.momentum = None
        if batch_norms:
            network.train()(*_noise(_with_batch(shapes, 4), 2))
        for norm, momentum in zip(batch_norms, momenta, strict=True):
            norm.momentum = momentum
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
            # A channel that noise hardly moves must not be blown up.
            norm.running_var += 0.1 * norm.running_var.mean()
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.4)
        network.eval()
        first, second = (_answers(network(*_noise(shapes, seed))) for seed in (3, 4))
    if _difference(first, second) < 10 * TOLERANCE:
        raise ValueError("the answer hardly depends on the input: the network tests nothing")
    return network


def _check_export(
    network: nn.Module, path: Path, shapes: Sequence[tuple[int, ...]], entry: Network
) -> str:
    """Compare a file with its network; what it does at another size, as `CorpusFile` has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def difference(sizes: Sequence[tuple[int, ...]]) -> float:
        inputs = _noise(sizes, 5)
        answers = session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))
        with torch.no_grad():
            wanted = _answers(copy.deepcopy(network).train(entry.mode == "training")(*inputs))
        return _difference(wanted, answers[: len(wanted)])

    own = difference(shapes)
    if not own <= TOLERANCE:
        raise ValueError(f"the file's answer differs from the network's by {own:.1e}")
    if not entry.axes:
        return "fixed"
    try:
        # A size that was written into the file is further off than ten times as much.
        found = difference(_other_shapes(shapes, entry))
        return "any" if found <= 10 * TOLERANCE else "own"
    except Exception:  # noqa: BLE001  (an engine's failure at another size is an answer)
        return "own"


def _other_shapes(shapes: Sequence[tuple[int, ...]], entry: Network) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(
            n + (1 if axis == 0 else entry.step) * (axis in entry.axes)
            for axis, n in enumerate(shape)
        )
        for shape in shapes
    )


def _difference(wanted: Sequence[Any], got: Sequence[Any]) -> float:
    if any(tuple(a.shape) != tuple(b.shape) for a, b in zip(wanted, got, strict=True)):
        return float("inf")
    return max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max() / max(np.abs(np.asarray(a)).max(), 1e-12))
        for a, b in zip(wanted, got, strict=True)
    )


def _answers(answer: Any) -> list[Tensor]:
    return [answer] if isinstance(answer, Tensor) else list(answer)


def _noise(shapes: Sequence[tuple[int, ...]], seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def _with_batch(shapes: Sequence[tuple[int, ...]], number: int) -> tuple[tuple[int, ...], ...]:
    return tuple((number, *shape[1:]) for shape in shapes)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _first_line(error: BaseException) -> str:
    """What went wrong first, in one line: exporters wrap it in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:150]}"


def main() -> None:
    """Export what is asked for, and say what was refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help="names of networks, with commas")
    parser.add_argument("--nnunet", type=Path, help="where dynamic-network-architectures lies")
    arguments = parser.parse_args()
    only = arguments.only.split(",") if arguments.only else None
    made = []
    for row in make_corpus(arguments.folder, only, arguments.nnunet):
        made.append(row)
        kind = f"{row.exporter}{' stripped' * row.stripped}"
        print(f"{row.network:24}{kind:18}{row.missing or row.sizes}", flush=True)
    _write_manifest(arguments.folder, made)
    missing = sum(bool(row.missing) for row in made)
    print(f"{len(made) - missing} files, {missing} refused")


def _write_manifest(folder: Path, made: Sequence[CorpusFile]) -> None:
    """Write ``corpus.json``; what it holds of other networks stays."""
    path = folder / "corpus.json"
    names = {row.network for row in made}
    before = read_corpus(folder) if path.is_file() else []
    rows = [row for row in before if row.network not in names and row.network in NETWORKS]
    order = list(NETWORKS)
    rows = sorted([*rows, *made], key=lambda row: order.index(row.network))
    # By name, so that the folder may be moved.
    listed = [asdict(row) | {"path": Path(row.path).name if row.path else ""} for row in rows]
    path.write_text(json.dumps(listed, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
