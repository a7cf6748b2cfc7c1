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

    python benchmarks/reverse_corpus.py FOLDER [--only vgg16,unet] [--nnunet FOLDER]

takes about 10 minutes on 2 cores and 0.8 GB of disk, and writes ``corpus.json`` beside the files.
``--nnunet`` names a folder that dynamic-network-architectures was installed into with
``pip install --no-deps --target``; with its dependencies it would bring another torchvision.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quiet import quiet
from volunet.nets import UNet3d, build_network, notes_plan
from volunet.nets.deployed import DeployedNetwork
from volunet.plan import Normalisation, Plan

Exporter = Literal["dynamo", "legacy"]
Mode = Literal["eval", "unfolded", "training"]
EXPORTERS: tuple[Exporter, ...] = ("legacy", "dynamo")
TOLERANCE = 1e-4
"""Largest difference of a good export, relative to the largest answer."""


@dataclass(frozen=True)
class Network:
    """How one network of the corpus is made and exported.

    Attributes:
        family: Where it comes from.
        build: Makes it, with fresh weights.
        shapes: Shape of each input.
        axes: Axes of every input that the file leaves open; 0 is the batch.
        legacy: Opset of the older exporter.
        dynamo: Opset of the newer one.
        step: How much longer an open axis is in a second comparison.
        mode: ``eval``; ``unfolded``: without constant folding (dynamo: without its optimizer), so
            that norms stay; ``training``: in train mode.
    """

    family: str
    build: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    axes: tuple[int, ...] = ()
    legacy: int = 17
    dynamo: int = 18
    step: int = 32
    mode: Mode = "eval"


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


# The networks of papers, at moderate widths; each says what differs from its paper.


class ConvNorm(nn.Sequential):
    """Convolution that keeps the size (of an odd kernel), batch norm, activation."""

    def __init__(
        self, inside: int, outside: int, kernel: int = 3, stride: int = 1, groups: int = 1,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        *, dims: int = 2,
    ) -> None:  # fmt: skip
        conv = (nn.Conv1d, nn.Conv2d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d)[dims - 1]
        padding = kernel // 2
        parts = [
            conv(inside, outside, kernel, stride, padding, groups=groups, bias=False),
            norm(outside),
        ]
        super().__init__(*parts, *([activation()] if activation else []))


def lenet5() -> nn.Module:
    """LeCun 1998: tanh and average pooling; the last layer is linear instead of radial."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(),
        nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def alexnet() -> nn.Module:
    """Krizhevsky 2012, two groups and local response norms; a third of the width, 512 hidden."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 11, 4, 2), nn.ReLU(), nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(32, 80, 5, padding=2, groups=2), nn.ReLU(),
        nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0), nn.MaxPool2d(3, 2),
        nn.Conv2d(80, 128, 3, padding=1), nn.ReLU(),
        nn.Conv2d(128, 128, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(128, 80, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Dropout(), nn.Linear(80 * 2 * 2, 512), nn.ReLU(),
        nn.Dropout(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10), nn.Softmax(dim=1),
    )  # fmt: skip


class Vgg16(nn.Module):
    """Simonyan 2014, configuration D: 13 convolutions and 3 linear layers; half the width."""

    def __init__(self, width: int = 32, hidden: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for factor, convolutions in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
            for _ in range(convolutions):
                layers += [nn.Conv2d(inside, width * factor, 3, padding=1), nn.ReLU(inplace=True)]
                inside = width * factor
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(inside * 2 * 2, hidden), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(hidden, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 64, 64) → logits (N, 10)."""
        scores: Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return scores


class Inception(nn.Module):
    """Four branches side by side: 1×1; 1×1 and 3×3; 1×1 and 5×5; pooling and 1×1."""

    def __init__(self, inside: int, ones: int, threes: tuple[int, int], fives: tuple[int, int],
                 pooled: int, layer: Callable[..., nn.Module]) -> None:  # fmt: skip
        super().__init__()
        self.ones = layer(inside, ones, 1)
        self.threes = nn.Sequential(layer(inside, threes[0], 1), layer(*threes, 3))
        self.fives = nn.Sequential(layer(inside, fives[0], 1), layer(*fives, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), layer(inside, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The branches' channels, one behind another."""
        return torch.cat([self.ones(x), self.threes(x), self.fives(x), self.pooled(x)], 1)


def _conv_relu(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inside, outside, kernel, stride, kernel // 2), nn.ReLU())


class GoogLeNet(nn.Module):
    """Szegedy 2014, table 1, at half the width; with batch norms instead of local ones if asked.

    In train mode it answers those of its two auxiliary classifiers, too (linear ones, no dropout).
    """

    def __init__(self, *, batch_norm: bool = False, auxiliary: bool = False) -> None:
        super().__init__()
        layer: Callable[..., nn.Module] = ConvNorm if batch_norm else _conv_relu
        norm = nn.Identity if batch_norm else partial(nn.LocalResponseNorm, 5)
        down = partial(nn.MaxPool2d, 3, 2, 1)
        self.stem = nn.Sequential(
            layer(3, 32, 7, 2), down(), norm(), layer(32, 32, 1), layer(32, 96, 3), norm(), down()
        )
        block = partial(Inception, layer=layer)
        self.three = nn.Sequential(
            block(96, 32, (48, 64), (8, 16), 16), block(128, 64, (64, 96), (16, 48), 32), down()
        )
        self.four_a = block(240, 96, (48, 104), (8, 24), 32)
        self.four_bcd = nn.Sequential(
            block(256, 80, (56, 112), (12, 32), 32), block(256, 64, (64, 128), (12, 32), 32),
            block(256, 56, (72, 144), (16, 32), 32),
        )  # fmt: skip
        self.four_e = nn.Sequential(block(264, 128, (80, 160), (16, 64), 64), down())
        self.five = nn.Sequential(
            block(416, 128, (80, 160), (16, 64), 64), block(416, 192, (96, 192), (24, 64), 64)
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.0 if auxiliary else 0.4),
            nn.Linear(512, 10),
        )  # fmt: skip
        self.auxiliary = nn.ModuleList(
            nn.Sequential(
                layer(inside, 64, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
            )
            for inside in ((256, 264) if auxiliary else ())
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, 3, H, W) → logits (N, 10)."""
        first = self.four_a(self.three(self.stem(x)))
        second = self.four_bcd(first)
        logits: Tensor = self.head(self.five(self.four_e(second)))
        if not self.training or not self.auxiliary:
            return logits
        one, two = self.auxiliary
        return logits, one(first), two(second)


def mobilenet_v1() -> nn.Module:
    """Howard 2017, table 1, width multiplier 0.25."""
    parts: list[nn.Module] = [ConvNorm(3, 8, 3, 2)]
    inside = 8
    for outside, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2),
                            *[(128, 1)] * 5, (256, 2), (256, 1)):  # fmt: skip
        parts += [ConvNorm(inside, inside, 3, stride, inside), ConvNorm(inside, outside, 1)]
        inside = outside
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 10))


class InvertedResidual(nn.Module):
    """Widen, convolve by channel, narrow; around it, where the size stays, the input."""

    def __init__(self, inside: int, outside: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inside * expansion
        relu6 = partial(nn.ReLU6, inplace=True)
        widen = [ConvNorm(inside, hidden, 1, activation=relu6)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *widen,
            ConvNorm(hidden, hidden, 3, stride, hidden, relu6),
            ConvNorm(hidden, outside, 1, activation=None),
        )
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, outside, H / stride, W / stride)."""
        out: Tensor = x + self.layers(x) if self.adds else self.layers(x)
        return out


class MobileNetV2(nn.Module):
    """Sandler 2018, table 2, width multiplier 0.5."""

    def __init__(self) -> None:
        super().__init__()
        relu6 = partial(nn.ReLU6, inplace=True)
        parts: list[nn.Module] = [ConvNorm(3, 16, 3, 2, activation=relu6)]
        inside = 16
        for expansion, outside, repeats, stride in (
            (1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1),
            (6, 80, 3, 2), (6, 160, 1, 1),
        ):  # fmt: skip
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                parts.append(InvertedResidual(inside, outside, step, expansion))
                inside = outside
        self.features = nn.Sequential(*parts, ConvNorm(inside, 640, 1, activation=relu6))
        self.classifier = nn.Linear(640, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → logits (N, 10)."""
        scores: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return scores


class Fire(nn.Module):
    """Squeeze by 1×1, widen by 1×1 and 3×3 side by side."""

    def __init__(self, inside: int, squeezed: int, widened: int) -> None:
        super().__init__()
        self.squeeze = _conv_relu(inside, squeezed, 1)
        self.one = _conv_relu(squeezed, widened, 1)
        self.three = _conv_relu(squeezed, widened, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, 2 · widened, H, W)."""
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], 1)


def squeezenet() -> nn.Module:
    """Iandola 2016, table 1, at half the width; it pools with ceil mode and has no linear layer."""
    pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
    return nn.Sequential(
        nn.Conv2d(3, 48, 7, 2), nn.ReLU(), pool(),
        Fire(48, 8, 32), Fire(64, 8, 32), Fire(64, 16, 64), pool(),
        Fire(128, 16, 64), Fire(128, 24, 96), Fire(192, 24, 96), Fire(192, 32, 128), pool(),
        Fire(256, 32, 128), nn.Conv2d(256, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class ShuffleUnit(nn.Module):
    """ShuffleNet v2's unit: half of the channels is convolved, then the halves are interleaved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            ConvNorm(half, half, 1), ConvNorm(half, half, 3, 1, half, None), ConvNorm(half, half, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        kept, changed = x.chunk(2, 1)
        number, channels, height, width = x.shape
        y = torch.cat([kept, self.branch(changed)], 1)
        y = y.view(number, 2, channels // 2, height, width).transpose(1, 2)
        return y.reshape(number, channels, height, width)


def shufflenet() -> nn.Module:
    """Ma 2018, the units of stride 1; a strided convolution between the stages."""
    stages = [
        nn.Sequential(ConvNorm(a, b, 3, 2), *(ShuffleUnit(b) for _ in range(3)))
        for a, b in ((24, 48), (48, 96), (96, 192))
    ]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 10)]
    return nn.Sequential(ConvNorm(3, 24, 3, 2), *stages, *head)


class ConvNextBlock(nn.Module):
    """Convolve by channel, layer norm over channels, two linear layers with GELU, scale, add."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(F.gelu(self.widen(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    """Liu 2022, stages of 2, 2, 4 and 2 blocks, 24 to 192 channels; group norm between stages."""
    parts: list[nn.Module] = [nn.Conv2d(3, 24, 4, 4)]
    for level, blocks in enumerate((2, 2, 4, 2)):
        channels = 24 * 2**level
        if level:
            parts += [nn.GroupNorm(1, channels // 2), nn.Conv2d(channels // 2, channels, 2, 2)]
        parts += [ConvNextBlock(channels) for _ in range(blocks)]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 10))


class UNet2015(nn.Module):
    """Ronneberger 2015: convolutions without padding, skips cropped; an eighth of the width."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.downs = nn.ModuleList(map(self._double, [1, *widths[:-1]], widths))
        self.pool = nn.MaxPool2d(2)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1])
        self.decoders = nn.ModuleList(self._double(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(width, 2, 1)

    @staticmethod
    def _double(inside: int, outside: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inside, outside, 3), nn.ReLU(), nn.Conv2d(outside, outside, 3), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 188, 188) → logits (N, 2, 4, 4)."""
        skips = []
        for down in self.downs[:-1]:
            skips.append(down(x))
            x = self.pool(skips[-1])
        x = self.downs[-1](x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x, skip = up(x), skips.pop()
            top, left = (
                (have - want) // 2 for have, want in zip(skip.shape[2:], x.shape[2:], strict=True)
            )
            skip = skip[:, :, top : top + x.shape[2], left : left + x.shape[3]]
            x = decoder(torch.cat([skip, x], 1))
        logits: Tensor = self.head(x)
        return logits


class Aspp(nn.Module):
    """DeepLab v3's head (Chen 2017) on four strided layers; resized to the input's size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*(ConvNorm(a, b, 3, 2) for a, b in ((3, 16), (16, 32), (32, 64))))
        self.ones = ConvNorm(64, 32, 1)
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(64, 32, 3, padding=rate, dilation=rate, bias=False),
                nn.BatchNorm2d(32), nn.ReLU(),
            )
            for rate in (2, 4, 6)
        )  # fmt: skip
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 32, 1), nn.ReLU())
        self.project = nn.Sequential(ConvNorm(160, 32, 1), nn.Conv2d(32, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → probabilities (N, 4, H, W)."""
        y = self.stem(x)
        whole = F.interpolate(self.whole(y), y.shape[2:], mode="nearest")
        y = torch.cat([self.ones(y), *(branch(y) for branch in self.dilated), whole], 1)
        y = F.interpolate(self.project(y), x.shape[2:], mode="bilinear", align_corners=False)
        return torch.softmax(y, 1)


class FeaturePyramid(nn.Module):
    """Lin 2016: a top-down path, nearest-neighbour, beside a strided one; three answers."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNorm(a, b, 3, 2), ConvNorm(b, b))
            for a, b in zip((3, 16, 32), widths, strict=True)
        )
        self.sides = nn.ModuleList(nn.Conv2d(w, 24, 1) for w in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(24, 8, 3, padding=1) for _ in widths)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) → (N, 8, …) at a half, a quarter and an eighth of the size."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        top = self.sides[2](maps[2])
        tops = [top]
        for level in (1, 0):
            top = self.sides[level](maps[level]) + F.interpolate(
                top, scale_factor=2, mode="nearest"
            )
            tops.insert(0, top)
        return tuple(smooth(top) for smooth, top in zip(self.smooth, tops, strict=True))


class Siamese(nn.Module):
    """One encoder for two images; the answer is their cosine similarity (Bromley 1993)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            ConvNorm(1, 16, 5, 2), ConvNorm(16, 32, 3, 2), ConvNorm(32, 64, 3, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 32),
        )  # fmt: skip

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two (N, 1, H, W) → (N,)."""
        a, b = self.encoder(left), self.encoder(right)
        return (a * b).sum(1) / ((a * a).sum(1).sqrt() * (b * b).sum(1).sqrt() + 1e-6)


class Recursive(nn.Module):
    """Super-resolution with one convolution used six times (Kim 2015)."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, channels, 3, padding=1)
        self.step = nn.Conv2d(channels, channels, 3, padding=1)
        self.rebuild = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → the same shape."""
        y = torch.relu(self.embed(x))
        for _ in range(6):
            y = torch.relu(self.step(y))
        out: Tensor = x + self.rebuild(y)
        return out


class Residual1d(nn.Module):
    """Two convolutions and a way around them, with a 1×1 convolution where the width changes."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvNorm(inside, outside, 7, stride, dims=1),
            ConvNorm(outside, outside, 7, activation=None, dims=1),
        )
        same = stride == 1 and inside == outside
        self.around = (
            nn.Identity() if same else ConvNorm(inside, outside, 1, stride, activation=None, dims=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) → (N, outside, L / stride)."""
        return torch.relu(self.layers(x) + self.around(x))


def resnet_1d() -> nn.Module:
    """A residual network of signals, as for an ECG of 12 leads."""
    blocks = [
        Residual1d(a, b, s)
        for a, b, s in (
            (16, 16, 1),
            (16, 16, 1),
            (16, 32, 2),
            (32, 32, 1),
            (32, 64, 2),
            (64, 64, 1),
        )
    ]
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 5), nn.Sigmoid()]
    return nn.Sequential(ConvNorm(12, 16, 15, 2, dims=1), nn.MaxPool1d(3, 2, 1), *blocks, *head)


class WaveBlock(nn.Module):
    """A gated, dilated convolution that sees the past only; answers the next input and a skip."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.past = dilation
        self.filter = nn.Conv1d(channels, channels, 2, dilation=dilation)
        self.gate = nn.Conv1d(channels, channels, 2, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, L) → two of the same shape."""
        y = F.pad(x, (self.past, 0))
        y = self.mix(torch.tanh(self.filter(y)) * torch.sigmoid(self.gate(y)))
        return x + y, y


class WaveNet(nn.Module):
    """van den Oord 2016, two cycles of dilations 1 to 32; every skip is added up."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.embed = nn.Conv1d(1, channels, 1)
        self.blocks = nn.ModuleList(WaveBlock(channels, 2 ** (i % 6)) for i in range(12))
        self.head = nn.Sequential(
            nn.ReLU(), nn.Conv1d(channels, 32, 1), nn.ReLU(), nn.Conv1d(32, 8, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, L) → logits (N, 8, L)."""
        x = self.embed(x)
        total = torch.zeros_like(x)
        for block in self.blocks:
            x, skip = block(x)
            total = total + skip
        logits: Tensor = self.head(total)
        return logits


class UNet1d(nn.Module):
    """A U-Net of signals: strided convolutions down, linear resizing up (Stoller 2018)."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        widths = [width * n for n in (1, 2, 3, 4)]
        self.downs = nn.ModuleList(
            ConvNorm(a, b, 5, 1 if a == 1 else 2, activation=nn.SiLU, dims=1)
            for a, b in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.ups = nn.ModuleList(
            ConvNorm(a + b, b, 5, activation=nn.SiLU, dims=1)
            for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv1d(width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, L), L a multiple of 8 → logits (N, 3, L)."""
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.ups:
            x = F.interpolate(x, scale_factor=2.0, mode="linear", align_corners=False)
            x = up(torch.cat([x, skips.pop()], 1))
        logits: Tensor = self.head(x)
        return logits


# The table


def _monai(name: str, dims: int, inside: int = 1, **arguments: Any) -> nn.Module:
    from monai.networks import nets

    network: nn.Module = getattr(nets, name)(spatial_dims=dims, in_channels=inside, **arguments)
    return network


def _flexible() -> nn.Module:
    from monai.networks.nets import FlexibleUNet

    network: nn.Module = FlexibleUNet(1, 2, "efficientnet-b0", decoder_channels=(64, 32, 16, 16, 8))
    return network


class _First(nn.Module):
    """The first answer of a network that answers a list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """The first answer."""
        answer: Tensor = self.network(x)[0]
        return answer


def _monai_resnet(dims: int, block: str, layers: list[int]) -> nn.Module:
    from monai.networks.nets import ResNet

    widths = [16, 32, 64, 128]
    inside = 3 if dims == 2 else 1
    return ResNet(block, layers, widths, dims, inside, conv1_t_stride=2, num_classes=5)


def _nnunet(name: str, dims: int, **arguments: Any) -> nn.Module:
    from dynamic_network_architectures.architectures import unet

    conv, norm = ((nn.Conv2d, nn.InstanceNorm2d), (nn.Conv3d, nn.InstanceNorm3d))[dims - 2]
    network: nn.Module = getattr(unet, name)(
        input_channels=1, n_stages=4, features_per_stage=(8, 16, 32, 64), conv_op=conv,
        kernel_sizes=3, strides=[1, 2, 2, 2], num_classes=3, n_conv_per_stage_decoder=2,
        conv_bias=True, norm_op=norm, norm_op_kwargs={"affine": True, "eps": 1e-5},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, **arguments,
    )  # fmt: skip
    return network


def _deployed() -> nn.Module:
    """A network as ``volunet export`` ships it: normalisation in front, softmax behind."""
    plan = Plan(
        dataset="corpus", channels=("CT",), orientation="any", spacing_mm=None,
        normalisation=(Normalisation(kind="clip_zscore", low=-1.5, high=1.5, mean=0.2, std=0.8),),
        classes=("background", "bone"), label_values=(0, 1), colours=((0, 0, 0), (255, 0, 0)),
        patch_size=(32, 48, 64), batch_size=1, network=None, answer="probabilities",
    )  # fmt: skip
    return DeployedNetwork(_ours(norm="instance", activation="leaky_relu"), plan)


_ours = partial(UNet3d, 1, 2, (4, 8, 16, 32))
_VOLUME, _IMAGE, _SCAN, _SIGNAL = (1, 1, 32, 48, 64), (1, 3, 64, 96), (1, 1, 64, 96), (1, 1, 256)
_NARROW = (8, 8, 16, 32, 64, 8)
_volume = partial(Network, shapes=(_VOLUME,), axes=(2, 3, 4))
_any_size = partial(_volume, "volunet", step=13)
_image = partial(Network, shapes=(_IMAGE,), axes=(2, 3))
_scan = partial(Network, shapes=(_SCAN,), axes=(2, 3))
_signal = partial(Network, "1D", shapes=(_SIGNAL,), axes=(2,))

NETWORKS: Mapping[str, Network] = {
    # MONAI
    "unet": _volume("MONAI", lambda: _monai(
        "UNet", 3, out_channels=2, channels=(8, 16, 32, 64), strides=(2,) * 3), legacy=13),
    "unet_residual": _volume("MONAI", lambda: _monai(
        "UNet", 3, out_channels=2, channels=(8, 16, 32), strides=(2, 2), num_res_units=2)),
    "unet_2d_batch": _scan("MONAI", lambda: _monai(
        "UNet", 2, out_channels=3, channels=(8, 16, 32, 64), strides=(2,) * 3, num_res_units=1,
        norm="batch", act="leakyrelu"), legacy=11, mode="unfolded"),
    "basic_unet": _volume("MONAI", lambda: _monai("BasicUNet", 3, features=_NARROW), legacy=14),
    "basic_unet_2d": _scan("MONAI", lambda: _monai(
        "BasicUNet", 2, features=_NARROW, norm="batch", upsample="nontrainable"), dynamo=20),
    "basic_unet_plus_plus": _scan("MONAI", lambda: _First(_monai(
        "BasicUNetPlusPlus", 2, features=_NARROW)), legacy=15),
    "dyn_unet": _volume("MONAI", lambda: _monai(
        "DynUNet", 3, out_channels=2, kernel_size=[3] * 4, strides=[1, 2, 2, 2],
        upsample_kernel_size=[2] * 3, filters=[8, 16, 32, 64]), legacy=16),
    "dyn_unet_residual": _volume("MONAI", lambda: _monai(
        "DynUNet", 3, out_channels=2, kernel_size=[(1, 3, 3), 3, 3],
        strides=[1, (1, 2, 2), 2], upsample_kernel_size=[(1, 2, 2), 2], filters=[8, 16, 32],
        res_block=True), dynamo=21),
    "seg_resnet": _volume("MONAI", lambda: _monai("SegResNet", 3), legacy=13),
    "seg_resnet_ds": _volume("MONAI", lambda: _monai(
        "SegResNetDS", 3, init_filters=8, norm="instance"), legacy=14),
    "attention_unet": _volume("MONAI", lambda: _monai(
        "AttentionUnet", 3, out_channels=2, channels=(8, 16, 32), strides=(2, 2))),
    "vnet_2d": _scan("MONAI", lambda: _monai("VNet", 2, dropout_dim=2), legacy=15),
    "resnet18_2d": _image("MONAI", lambda: _monai_resnet(2, "basic", [2, 2, 2, 2]), legacy=9),
    "resnet50_3d": _volume("MONAI", lambda: _monai_resnet(3, "bottleneck", [3, 4, 6, 3])),
    "densenet121": _image("MONAI", lambda: _monai(
        "DenseNet", 2, 3, out_channels=5, init_features=32, growth_rate=16), legacy=11),
    "efficientnet_b0": _image("MONAI", lambda: _monai(
        "EfficientNetBN", 2, 3, model_name="efficientnet-b0", pretrained=False, num_classes=5)),
    "se_resnext": _image("MONAI", lambda: _monai(
        "SENet", 2, 3, block="se_resnetxt_bottleneck", layers=[1, 2, 2, 1], groups=8, reduction=8,
        inplanes=64, input_3x3=False, downsample_kernel_size=1, num_classes=5), legacy=13),
    "highres_net": _volume("MONAI", lambda: _monai("HighResNet", 3, out_channels=3), legacy=16),
    "flexible_unet": _scan("MONAI", lambda: _flexible()),
    "mednext": _volume("MONAI", lambda: _monai(
        "MedNeXt", 3, init_filters=8, kernel_size=3, blocks_down=(1, 2), blocks_up=(2, 1),
        use_residual_connection=True)),
    "auto_encoder": _scan("MONAI", lambda: _monai(
        "AutoEncoder", 2, out_channels=1, channels=(8, 16, 32), strides=(2, 2, 2),
        num_inter_units=2, inter_channels=[32, 32], inter_dilations=[1, 2]), legacy=11),
    # nnU-Net
    "plain_conv_unet": _volume("nnU-Net", lambda: _nnunet(
        "PlainConvUNet", 3, n_conv_per_stage=2)),
    "plain_conv_unet_2d": _scan("nnU-Net", lambda: _nnunet(
        "PlainConvUNet", 2, n_conv_per_stage=2), legacy=13, mode="unfolded"),
    "residual_encoder_unet": _volume("nnU-Net", lambda: _nnunet(
        "ResidualEncoderUNet", 3, n_blocks_per_stage=[1, 3, 4, 4])),
    "residual_encoder_unet_fixed": Network("nnU-Net", lambda: _nnunet(
        "ResidualEncoderUNet", 3, n_blocks_per_stage=[1, 2, 2, 2]), (_VOLUME,), legacy=11),
    # volunet
    "volunet_notes": _any_size(lambda: build_network(
        notes_plan(1, 2, (4, 8, 16, 32, 64)))),
    "volunet_crop": _any_size(lambda: _ours(
        alignment="crop", norm="instance", activation="elu"), legacy=16),
    "volunet_pad": _any_size(lambda: _ours(
        alignment="pad", upsampling="trilinear", norm="group", activation="gelu"), dynamo=20),
    "volunet_residual": _any_size(lambda: _ours(
        residual=True, dropout=0.2, output_activation="sigmoid", activation="leaky_relu"),
        legacy=14, mode="unfolded"),
    "volunet_plain": _any_size(lambda: _ours(
        upsampling="trilinear", norm="none", alignment="crop", output_activation="softmax"),
        legacy=13),
    "volunet_anisotropic": _any_size(lambda: UNet3d(
        1, 3, (4, 8, 16), kernels=[(1, 3, 3), (3, 3, 3), (3, 3, 3)], strides=[(1, 2, 2), (2, 2, 2)],
        upsampling="transposed_dilated", norm="instance", residual=True), dynamo=19),
    "volunet_deployed": _any_size(_deployed),
    "volunet_fixed": Network("volunet", lambda: _ours(
        alignment="pad", upsampling="trilinear"), ((1, 1, 25, 38, 51),)),
    "volunet_training": Network("volunet", lambda: _ours(
        deep_supervision=True), (_VOLUME,), legacy=15, mode="training"),
    # Papers
    "lenet5": Network("papers", lenet5, ((1, 1, 32, 32),), axes=(0,), legacy=9),
    "alexnet": Network("papers", alexnet, ((1, 3, 95, 95),), legacy=11),
    "vgg16": Network("papers", Vgg16, ((1, 3, 64, 64),), axes=(0,), legacy=9),
    "googlenet": _image("papers", GoogLeNet, legacy=11),
    "googlenet_training": Network("papers", lambda: GoogLeNet(
        batch_norm=True, auxiliary=True), ((4, 3, 64, 96),), legacy=14, mode="training"),
    "mobilenet_v1": _image("papers", mobilenet_v1, legacy=9),
    "mobilenet_v2": _image("papers", MobileNetV2, legacy=13),
    "mobilenet_v2_unfolded": _image("papers", MobileNetV2, legacy=11, mode="unfolded"),
    "squeezenet": _image("papers", squeezenet, legacy=11),
    "shufflenet": _image("papers", shufflenet),
    "convnext": _image("papers", convnext),
    "unet_2015": Network("papers", UNet2015, ((1, 1, 188, 188),), axes=(2, 3), legacy=13),
    "deeplab_head": _image("papers", Aspp, legacy=16),
    "feature_pyramid": _image("papers", FeaturePyramid, legacy=13),
    "siamese": Network("papers", Siamese, (_SCAN, _SCAN), axes=(2, 3), legacy=14),
    "recursive": _scan("papers", Recursive, legacy=9),
    # 1D
    "resnet_1d": Network("1D", resnet_1d, ((1, 12, 500),), axes=(0, 2), legacy=13),
    "wavenet": _signal(WaveNet, legacy=11),
    "unet_1d": _signal(UNet1d, legacy=17),
}  # fmt: skip


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
