"""What `volunet inspect` says, against what is measured.

On the notes' network (`volunet.nets.notes_plan(1, 1)`, 32 to 512 channels, fresh weights):

- parameters and FLOPs at 1×1×224×144×144, beside PyTorch's own count;
- the predicted peak memory of a pass at three sizes, beside the measured highest resident set above
  that before the model was loaded, each engine and size in a process of its own. The numbers in
  `volunet.graph.inspecting.memory` were set at other sizes (64³ to 128×160×144), on this network
  and others;
- the receptive field of every phase of the output and of both ends, on each axis, beside the
  gradient's support. For the gradient every weight is positive and each max pooling an average
  pooling of the same window: a maximum's gradient shows one voxel of its window only;
- seconds and memory of `volunet inspect` on a file of 100 MB.

The memory of other networks, MONAI's among them, stands in a second table.

    python -m benchmarks inspection --output benchmarks/results/inspection.md

takes about 5 minutes and 5 GB on 2 cores and needs no data.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks.measuring.apart import own_peak_bytes, peak_bytes, run_module
from benchmarks.measuring.report import markdown_table, publish

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

Size3 = tuple[int, int, int]

PACKAGES = ("volunet", "torch", "monai", "openvino")
FLOP_SIZE: Size3 = (224, 144, 144)
MEMORY_SIZES: tuple[Size3, ...] = ((224, 144, 144), (96, 208, 112), (80, 80, 176))
OTHERS: tuple[tuple[str, Size3], ...] = (
    ("volunet, thick slices, residual", (72, 128, 120)),
    ("volunet, group norm, GELU", (120, 112, 88)),
    ("MONAI BasicUNet", (128, 112, 96)),
    ("MONAI SegResNet", (128, 112, 96)),
)
LONG, SHORT = 448, 16
"""Voxels of the axis whose receptive field is measured, and of the other two."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the tables here as well")
    parser.add_argument("--make", nargs=2, help="only write the network NAME to the file FILE")
    parser.add_argument("--peak", nargs=3, help="only measure ENGINE, FILE, DxHxW, and print JSON")
    parser.add_argument("--cost", type=Path, help="only inspect FILE, and print seconds and bytes")
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make[0], Path(arguments.make[1]))
    elif arguments.cost:
        print(*inspect_cost(arguments.cost))
    elif arguments.peak:
        engine, file, size = arguments.peak
        print(measured_peak(engine, Path(file), _size(size)))
    else:
        publish("Inspection", _body(), PACKAGES, arguments.output)


def make(name: str, file: Path) -> None:
    """Write a network as ONNX; volunet's by its own export, MONAI's by PyTorch's."""
    import torch

    from volunet.exporting.convert import convert
    from volunet.nets import build_network, notes_plan
    from volunet.plan import NetworkPlan, Normalisation, Plan
    from volunet.tasks.segmentation.plan import Segmentation

    torch.manual_seed(0)
    if name.startswith("MONAI"):
        _make_monai(name.split()[1], file)
        return
    network = notes_plan(1, 1)
    if name == "100 MB":
        network = notes_plan(1, 1, (34, 68, 136, 272, 544))
    elif name == "volunet, thick slices, residual":
        network = NetworkPlan(
            in_channels=1,
            out_channels=4,
            features=(24, 48, 96, 192),
            kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
            strides=((1, 2, 2), (2, 2, 2), (2, 2, 2)),
            activation="leaky_relu",
            residual=True,
        )
    elif name != "notes":
        network = NetworkPlan(
            in_channels=1, out_channels=4, features=(24, 48, 96), norm="group", activation="gelu"
        )
    plan = Plan(
        dataset="inspection",
        channels=("CT",),
        orientation="any",
        spacing_mm=None,
        normalisation=(Normalisation(kind="none"),),
        task=Segmentation(
            classes=tuple(map(str, range(network.out_channels))),
            label_values=tuple(range(network.out_channels)),
            colours=((0, 0, 0),) * network.out_channels,
        ),
        patch_size=(16, 16, 16),
        batch_size=1,
        network=network,
    )
    file.write_bytes(convert(build_network(network).eval(), plan))


def _make_monai(name: str, file: Path) -> None:
    import torch
    from monai.networks.nets import BasicUNet, SegResNet

    network = {
        "BasicUNet": lambda: BasicUNet(3, 1, 4, features=(32, 32, 64, 128, 256, 32)),
        "SegResNet": lambda: SegResNet(3, init_filters=16, in_channels=1, out_channels=4),
    }[name]().eval()
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 32, 48, 64),),
        file,
        dynamo=True,
        opset_version=18,
        external_data=False,
        dynamic_shapes=(dict.fromkeys((2, 3, 4), torch.export.Dim.DYNAMIC),),
    )


def measured_peak(engine: str, file: Path, size: Size3) -> int:
    """Highest resident set of loading and one pass, above that before loading, in bytes."""
    import numpy as np

    from volunet.inference.engines import open_engine

    import_module(f"volunet.inference.engines.{engine}_engine")
    x = np.random.default_rng(0).standard_normal((1, 1, *size), dtype=np.float32)
    before = own_peak_bytes()
    open_engine(file, engine).run(x)
    return own_peak_bytes() - before


def _body() -> str:
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{place}.onnx" for place, name in enumerate(_names())}
        for name, file in files.items():
            run_module("benchmarks.inspection.command", "--make", name, str(file))
            print(f"made {name}: {file.stat().st_size / 1e6:.0f} MB", file=sys.stderr)
        # The cost comes first: children of a process that has imported PyTorch begin with its
        # memory.
        cost = _inspect_cost(files["100 MB"])
        memory = _memory(files)
        parts = [_counts(files["notes"]), memory, _receptive_field(files["notes"]), cost]
    return "\n\n".join(parts)


def _names() -> list[str]:
    return ["notes", "100 MB", *(name for name, _ in OTHERS)]


def _counts(file: Path) -> str:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from volunet.api.inspect import inspect
    from volunet.nets import build_network, notes_plan

    report = inspect(file, FLOP_SIZE)
    with torch.device("meta"):
        network = build_network(notes_plan(1, 1)).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            network(torch.empty(1, 1, *FLOP_SIZE))
    parameters = sum(p.numel() for p in network.parameters())
    flops = counter.get_total_flops()
    rows = [
        ["parameters", f"{report.parameters:,}", f"{parameters:,}",
         f"{report.parameters / parameters - 1:+.3%}"],
        ["FLOP", f"{report.flops / 1e12:.4f} T", f"{flops / 1e12:.4f} T",
         f"{report.flops / flops - 1:+.3%}"],
    ]  # fmt: skip
    table = markdown_table(["at 1×1×224×144×144", "inspect", "PyTorch", "difference"], rows)
    return f"## Parameters and FLOPs\n\n{table}\n\nFLOPs of convolutions, 2 a multiply-add."


def _memory(files: dict[str, Path]) -> str:
    from volunet.api.inspect import inspect

    jobs = [("notes", size, engine) for size in MEMORY_SIZES for engine in _ENGINES]
    for name, size in OTHERS:
        # PyTorch rebuilds volunet's own networks, of which not those with group norm.
        engines = _ENGINES if "residual" in name else _ENGINES[:1]
        jobs += [(name, size, engine) for engine in engines]
    rows = []
    for name, size, engine in jobs:
        text = "x".join(map(str, size))
        measured = int(
            run_module(
                "benchmarks.inspection.command", "--peak", engine, str(files[name]), text
            ).splitlines()[-1]
        )
        predicted = inspect(files[name], size).peak_bytes[engine]
        rows.append(
            [
                name,
                text.replace("x", "×"),
                engine,
                f"{predicted / 1e6:,.0f}",
                f"{measured / 1e6:,.0f}",
                f"{predicted / measured - 1:+.1%}",
            ]
        )
        print(rows[-1], file=sys.stderr)
    header = ["network", "size", "engine", "predicted (MB)", "measured (MB)", "difference"]
    return f"## Peak memory of one pass\n\n{markdown_table(header, rows)}"


_ENGINES = ("openvino", "torch")


def _receptive_field(file: Path) -> str:
    import torch

    from volunet.graph import read_onnx
    from volunet.graph.inspecting.receptive_field import find_fields
    from volunet.graph.network import infer_sizes

    network = _averaging_network(torch)
    rows = []
    for axis in range(3):
        size = [SHORT] * 3
        size[axis] = LONG
        graph = infer_sizes(read_onnx(file), str(file), size)
        field = find_fields(graph, 2 + axis)[graph.outputs[0].name]
        if field is None:
            raise SystemExit("the network has no receptive field")
        x = torch.rand(1, 1, *size).requires_grad_()
        answer = network(x)
        slices = [0, *range(LONG // 2, LONG // 2 + SHORT), LONG - 1]
        agree = 0
        widest = 0
        for z in slices:
            (gradient,) = torch.autograd.grad(
                answer.select(2 + axis, z).sum(), x, retain_graph=True
            )
            others = [i for i in range(5) if i != 2 + axis]
            moved = torch.nonzero(gradient.abs().sum(others)).flatten()
            support = int(moved[0]), int(moved[-1]) + 1
            start, stop = field.interval(z)
            agree += support == (max(start, 0), min(stop, LONG))
            widest = max(widest, support[1] - support[0])
        rows.append(["DHW"[axis], str(field.size), str(widest), f"{agree} of {len(slices)}"])
        print(rows[-1], file=sys.stderr)
    header = ["axis", "inspect (voxels)", "gradient's support (voxels)", "slices that agree"]
    return (
        f"## Receptive field\n\n{markdown_table(header, rows)}\n\nThe widest of all slices; and of "
        "how many slices (every phase of the 16 in the middle, and both ends) first and last voxel "
        "are the same."
    )


def _averaging_network(torch):
    """The notes' network with positive weights, averages for maxima and biases of 0."""
    from torch import nn

    from volunet.nets import build_network, notes_plan

    network = build_network(notes_plan(1, 1)).eval()
    for place in range(len(network.pools)):
        network.pools[place] = nn.AvgPool3d(2)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                # The mean of its inputs, so that nothing under- or overflows on the way.
                taps = (
                    module.weight[0].numel()
                    if isinstance(module, nn.Conv3d)
                    else (module.weight[:, 0].numel())
                )
                module.weight.fill_(1 / taps)
                module.bias.zero_()
    return network


def inspect_cost(file: Path) -> tuple[float, int]:
    """Seconds and highest resident set of `volunet inspect`, this process' only child."""
    command = [sys.executable, "-m", "volunet.cli", "inspect", str(file), "--size", "224x144x144"]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin, peak_bytes(resource.RUSAGE_CHILDREN)


def _inspect_cost(file: Path) -> str:
    seconds, peak = run_module("benchmarks.inspection.command", "--cost", str(file)).split()
    table = markdown_table(
        ["file (MB)", "seconds", "peak memory (MB)"],
        [[f"{file.stat().st_size / 1e6:.0f}", f"{float(seconds):.1f}", f"{int(peak) / 1e6:.0f}"]],
    )
    return f"## Cost of `volunet inspect` itself\n\n{table}"


def _size(text: str) -> Size3:
    depth, height, width = map(int, text.split("x"))
    return depth, height, width


if __name__ == "__main__":
    main()
