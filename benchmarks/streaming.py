"""Exact whole-volume prediction in a bounded memory: exactness, memory, time and largest volumes.

The notes' network (32 to 512 channels, seeded weights) on a public CT resampled to size, and five
other networks; each table is of one run:

1. Largest difference of logits between the streamed pass and one whole pass, at six sizes, the
   longest axis first, in the middle and last, odd ones among them; each with the quickest plan and
   with one whose budget makes it recompute or spill. MONAI's BasicUNet and nnU-Net's PlainConvUNet
   are exported by PyTorch.
2. Peak of the process, measured from outside, beside the predicted one, at 512×512×256 and
   512×512×1000 within 4 GB.
3. Seconds of the streamed pass by those of a whole OpenVINO pass, both of a compiled model, in
   alternation.
4. Seconds of MONAI's `sliding_window_inference` (128³, overlap 0.5, Gaussian) by those of the
   streamed pass.
5. The largest volume within 4, 8 and 16 GB, in steps of 64 voxels an axis (whole passes: 16), by
   the predictions that tables 2 and
   ``benchmarks/inspection.py`` hold against measurements.
6. Convolutions of slices as 2D ones over the channels of three, by engine.
7. Peak at 256 and at 1000 slices of 128×128 with one budget, which leaves the same plan for both.

    python benchmarks/streaming.py --output benchmarks/results/streaming.md

takes about an hour, 12 GB of memory and 3 GB of disk on 2 cores, and reads ../shared/data.
``--parts 1,3`` runs some of them, as our own results were made (results/streaming_*.md, each with
its command), ``--plainconv FOLDER`` says where nnU-Net's
dynamic-network-architectures lies (pip install --no-deps --target FOLDER; with its dependencies it
would bring another torchvision).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from report import markdown_table, publish

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

Size3 = tuple[int, int, int]

SCAN = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "volumes"
PACKAGES = ("volunet", "torch", "openvino", "onnxruntime", "monai")
SIZES: tuple[Size3, ...] = (
    (96, 48, 64), (48, 96, 64), (64, 48, 96), (81, 65, 51), (51, 81, 65), (65, 51, 81),
)  # fmt: skip
TIMED: tuple[Size3, ...] = ((256, 256, 192), (224, 144, 144))
MEMORY = "4GB"
BUDGETS_GB = (4, 8, 16)


def main() -> None:
    """Run the parts that are asked for and publish them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--parts", default="1,2,3,4,5,6,7")
    parser.add_argument("--plainconv", type=Path)
    parser.add_argument("--child", nargs="+")
    arguments = parser.parse_args()
    if arguments.child:
        _child(arguments.child)
        return
    if not (SCAN / "ct_torso_3mm.nii.gz").is_file():
        sys.exit(f"{SCAN}: the public scans are not beside the project")
    parts: dict[str, Callable[[Path, Path | None], str]] = {
        "1": exactness, "2": memory, "3": against_whole, "4": against_monai, "5": largest,
        "6": convolutions, "7": depth,
    }  # fmt: skip
    texts = []
    with tempfile.TemporaryDirectory() as folder:
        for part in arguments.parts.split(","):
            texts.append(parts[part](Path(folder), arguments.plainconv))
            print(texts[-1], flush=True)
    publish("Streamed prediction", "\n\n".join(texts), PACKAGES, arguments.output)


# Part 1


def exactness(folder: Path, plainconv: Path | None) -> str:
    """Largest difference of logits to a whole pass."""
    rows = []
    for name in ("notes", "residual", "trilinear", "instance", "basicunet", "plainconvunet"):
        path = folder / f"{name}.onnx"
        if not _run_child("export", name, str(path), str(plainconv or "")):
            rows.append([name, "not run: give --plainconv", "", "", "", ""])
            continue
        found = _run_child("compare", str(path))["sizes"]
        rows.append([
            name,
            f"{max(f['torch'] for f in found):.1e}",
            f"{max(f['openvino'] for f in found):.1e}",
            f"{found[0]['ours_to_float64']:.1e}",
            f"{found[0]['openvino_to_float64']:.1e}",
            f"{max(f['largest'] for f in found):.2f}",
        ])  # fmt: skip
    sizes = ", ".join(_text(size) for size in SIZES)
    table = markdown_table(
        ["network", "to PyTorch's whole pass", "to OpenVINO's whole pass", "ours to float64",
         "OpenVINO's whole pass to float64", "largest logit"], rows,
    )  # fmt: skip
    note = (
        "Largest absolute difference of logits, over all sizes, each with the quickest plan and "
        "with one that holds a third less; to float64 at the first size. Where a network has "
        "instance norms, OpenVINO's whole pass is itself further from the exact answer than the "
        "streamed one: its statistics are running float32 sums."
    )
    return f"## Exactness\n\nSizes {sizes}.\n\n{table}\n\n{note}"


def _export(name: str, path: str, plainconv: str) -> dict[str, Any] | None:
    import torch

    torch.manual_seed(0)
    if name in ("basicunet", "plainconvunet"):
        if name == "basicunet":
            from monai.networks.nets import BasicUNet

            net: Any = BasicUNet(spatial_dims=3, in_channels=1, out_channels=2)
        else:
            if not plainconv:
                return None
            sys.path.append(plainconv)
            from dynamic_network_architectures.architectures.unet import PlainConvUNet

            net = PlainConvUNet(
                1, 5, (32, 64, 128, 256, 320), torch.nn.Conv3d, 3, [1, 2, 2, 2, 2], 2, 2, 2,
                conv_bias=True, norm_op=torch.nn.InstanceNorm3d, norm_op_kwargs={"affine": True},
                nonlin=torch.nn.LeakyReLU, nonlin_kwargs={"inplace": True},
            )  # fmt: skip
        # Sizes that the strides do not divide do not fit these networks: their export is of the
        # padded size, here 16.
        axes = dict.fromkeys((2, 3, 4), torch.export.Dim.DYNAMIC)
        example = torch.zeros(1, 1, 48, 64, 80)
        program = torch.onnx.export(
            net.eval(), (example,), dynamo=True, dynamic_shapes=({**axes},), verbose=False
        )
        program.save(path)
        return {"ok": True}
    from volunet.exporting.convert import convert
    from volunet.nets import build_network, notes_plan
    from volunet.plan import NetworkPlan, Normalisation, Plan
    from volunet.tasks.segmentation.plan import Segmentation

    keys: dict[str, Any] = {
        "residual": {"residual": True, "norm": "batch"},
        "trilinear": {"upsampling": "trilinear", "alignment": "crop"},
        "instance": {"norm": "instance", "activation": "leaky_relu", "alignment": "pad"},
    }
    network = notes_plan(1, 1) if name == "notes" else NetworkPlan(
        in_channels=1, out_channels=2, features=(32, 64, 128, 256), **keys[name]
    )  # fmt: skip
    rule = Normalisation(kind="clip_zscore", low=-1000, high=1000, mean=0, std=400)
    plan = Plan(
        dataset=name, channels=("CT",), orientation="any", spacing_mm=None, normalisation=(rule,),
        task=Segmentation(
            classes=("background", "bone"), label_values=(0, 1), colours=((0, 0, 0), (255, 0, 0)),
        ),
        patch_size=(64, 64, 64), batch_size=1, network=network,
    )  # fmt: skip
    Path(path).write_bytes(convert(build_network(network).eval(), plan))
    return {"ok": True}


def _compare(path: str) -> dict[str, Any]:
    return {"sizes": [_compare_at(path, size) for size in SIZES]}


def _compare_at(path: str, size: Size3) -> dict[str, float]:
    import numpy as np
    import torch

    from volunet.graph.reading.onnx_file import read_onnx
    from volunet.inference.engines import open_engine
    from volunet.inference.engines.torch_graph import TorchGraph

    multiple = 16 if Path(path).stem in ("basicunet", "plainconvunet") else 1
    depth, height, width = (-(-length // multiple) * multiple for length in size)
    x = _ct((depth, height, width))
    whole = open_engine(Path(path), "openvino").run(x)
    plain, plan = _streamed(path, x, None)
    tight, _ = _streamed(path, x, plan.peak_bytes - plan.footprint.memory_bytes // 3)
    in_torch = TorchGraph(read_onnx(path), path, torch.float32, size=x.shape).run([x])[0]
    found = {
        "openvino": max(_gap(plain, whole), _gap(tight, whole)),
        "torch": max(_gap(plain, in_torch), _gap(tight, in_torch)),
        "largest": _gap(whole, np.zeros(1)),
    }
    if size == SIZES[0]:  # slow
        exact = TorchGraph(read_onnx(path), path, torch.float64, size=x.shape).run([x])[0]
        found |= {
            "ours_to_float64": max(_gap(plain, exact), _gap(tight, exact)),
            "openvino_to_float64": _gap(whole, exact),
        }
    return found


def _gap(a: Any, b: Any) -> float:
    import numpy as np

    return float(np.abs(a - b).max())


def _streamed(path: str, x: Any, budget: int | None) -> tuple[Any, Any]:
    """The logits of a streamed pass, and its plan."""
    from volunet.graph.reading.onnx_file import read_onnx
    from volunet.inference.streaming.planning import plan_stream

    size = x.shape[2:]
    plan = plan_stream(read_onnx(path), path, size, budget, "openvino", 0, 20 * 10**9)
    with tempfile.TemporaryDirectory() as scratch:
        run, answer = _execution(plan, x, Path(scratch))
        run()
    return answer, plan


def _execution(plan: Any, x: Any, scratch: Path) -> tuple[Callable[[], None], Any]:
    """A streamed pass of an array, ready to run, and the array that it answers in."""
    import numpy as np

    from volunet.inference.streamed import ArraySlabs
    from volunet.inference.streaming.engines import open_part
    from volunet.inference.streaming.execution import Execution
    from volunet.volumes import Volume

    execution = Execution(
        plan.program, plan.axes, partial(open_part, engine="openvino", threads=None), scratch
    )
    fixed = plan.program.fixed
    answer = np.full(fixed.shapes[fixed.target], np.nan, np.float32)
    axis = plan.axes[fixed.target]

    def take(start: int, block: Any) -> None:
        index = (slice(None),) * axis + (slice(start, start + block.shape[axis]),)
        answer[index] = block

    slabs = ArraySlabs(x[0], Volume.of_array(x[0], (1.0, 1.0, 1.0)).grid)
    return lambda: execution.run(slabs, take), answer


# Part 2


def memory(folder: Path, plainconv: Path | None) -> str:
    """Peak of `volunet predict --memory`, from outside, beside the predicted one."""
    model = folder / "notes.onnx"
    if not model.exists():
        _run_child("export", "notes", str(model), "")
    rows = [_measured(model, (depth, 512, 512), MEMORY, folder) for depth in (256, 1000)]
    return f"## Memory\n\n`volunet predict --memory {MEMORY}`.\n\n{_peaks(rows)}"


def depth(folder: Path, plainconv: Path | None) -> str:
    """Peak by the number of slices, where budget and plane leave one plan for all."""
    model = folder / "notes.onnx"
    if not model.exists():
        _run_child("export", "notes", str(model), "")
    rows = [_measured(model, (depth, 128, 128), "1GB", folder) for depth in (256, 1000)]
    return f"## Memory by depth\n\n`volunet predict --memory 1GB`.\n\n{_peaks(rows)}"


def _peaks(rows: list[list[str]]) -> str:
    return markdown_table(
        ["scan", "peak", "predicted", "ratio", "seconds, all in all", "plan"], rows
    )


def _measured(model: Path, size: Size3, budget: str, folder: Path) -> list[str]:
    """Peak and time of one prediction, a row."""
    scan = folder / f"ct_{_text(size)}.nii.gz"
    _run_child("resample", _text(size), str(scan))
    peak, seconds, text = _predict(model, scan, folder / f"out_{_text(size)}", budget)
    scan.unlink()
    match = re.search(r"peak ([\d.]+) GB", text)
    predicted = float(match[1]) if match else float("nan")
    plan = next((line for line in text.splitlines() if "streamed" in line), text[-200:])
    depth, height, width = size
    return [
        f"{height}×{width}×{depth}", f"{peak / 1e9:.2f} GB", f"{predicted:.2f} GB",
        f"{predicted / (peak / 1e9):.2f}", f"{seconds:.0f}", plan.partition(": ")[2],
    ]  # fmt: skip


def _predict(model: Path, scan: Path, output: Path, budget: str) -> tuple[int, float, str]:
    """Peak in bytes, seconds and output of a prediction in a process of its own."""
    command = [
        str(Path(sys.executable).with_name("volunet")), "predict", str(model), str(scan),
        "-o", str(output), "--memory", budget,
    ]  # fmt: skip
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begin
        out.seek(0)
        text = out.read()
    if status != 0:
        sys.exit(f"{' '.join(command)}\n{text}")
    return usage.ru_maxrss * 1024, seconds, text


# Part 3


def against_whole(folder: Path, plainconv: Path | None) -> str:
    """Time of a streamed pass by that of a whole one."""
    model = folder / "notes.onnx"
    if not model.exists():
        _run_child("export", "notes", str(model), "")
    rows = []
    for size in TIMED:
        found = [_run_child("time", str(model), _text(size)) for _ in range(3)]
        median = {key: statistics.median(f[key] for f in found) for key in found[0]}
        ratio = statistics.median(f["streamed"] / f["whole"] for f in found)
        first = statistics.median(f["streamed_first"] / f["whole_first"] for f in found)
        rows.append([
            _text(size), f"{median['streamed']:.1f}", f"{median['whole']:.1f}", f"{ratio:.2f}",
            f"{median['streamed_first']:.1f}", f"{median['whole_first']:.1f}", f"{first:.2f}",
            f"{median['work']:.2f}", f"{median['chunk']:.0f}",
        ])  # fmt: skip
    table = markdown_table(
        ["size", "streamed, s", "whole OpenVINO pass, s", "ratio", "streamed with preparing, s",
         "whole with preparing, s", "ratio", "work", "slices a run"], rows,
    )  # fmt: skip
    text = (
        "Median of three processes, in each the two in turn; plans within 4 GB. The first pass of "
        "a process prepares the models and takes its memory from the system; the second is timed "
        "by itself."
    )
    return f"## Time\n\n{text}\n\n{table}"


def _time(path: str, text: str) -> dict[str, float]:
    from volunet.graph.reading.onnx_file import read_onnx
    from volunet.inference.engines import open_engine
    from volunet.inference.streaming.planning import plan_stream

    x = _ct(_size(text))
    plan = plan_stream(
        read_onnx(path), path, x.shape[2:], 4 * 10**9, "openvino", 500_000_000, 20 * 10**9
    )
    with tempfile.TemporaryDirectory() as scratch:
        begin = time.perf_counter()
        run, _ = _execution(plan, x, Path(scratch))
        run()
        streamed_first = time.perf_counter() - begin
        streamed = _seconds(run)
    begin = time.perf_counter()
    engine = open_engine(Path(path), "openvino")
    engine.run(x)  # compiles, and takes its memory from the system
    whole_first = time.perf_counter() - begin
    return {
        "streamed": streamed,
        "whole": _seconds(lambda: engine.run(x)),
        "streamed_first": streamed_first,
        "whole_first": whole_first,
        "work": plan.work,
        "chunk": plan.chunk,
    }


# Part 4


def against_monai(folder: Path, plainconv: Path | None) -> str:
    """Time of MONAI's sliding windows by that of a streamed pass, same weights."""
    model = folder / "notes.onnx"
    if not model.exists():
        _run_child("export", "notes", str(model), "")
    found = _run_child("monai", str(model), _text(TIMED[0]))
    rows = [
        ["streamed, exact", f"{found['streamed']:.1f}", "1.00"],
        *(
            [name, f"{found[key]:.1f}", f"{found[key] / found['streamed']:.2f}"]
            for name, key in (("MONAI on PyTorch", "torch"), ("MONAI on OpenVINO", "openvino"))
        ),
    ]
    table = markdown_table([f"at {_text(TIMED[0])}", "s", "by ours"], rows)
    return f"## Against sliding windows\n\n{table}"


def _monai(path: str, text: str) -> dict[str, float]:
    import numpy as np
    import torch
    from monai.inferers import sliding_window_inference

    from volunet.graph.reading.onnx_file import find_plan, read_onnx, weights_of
    from volunet.inference.engines import open_engine
    from volunet.nets.deployed import DeployedNetwork
    from volunet.nets.presets import network_of

    x = _ct(_size(text))
    found = {"streamed": _time_streamed(path, x)}
    graph = read_onnx(path)
    plan = find_plan(graph, path)
    if plan is None:
        raise SystemExit(path)
    module = DeployedNetwork(network_of(plan), plan).eval()
    weights = {n: torch.from_numpy(np.array(a)) for n, a in weights_of(graph, path).items()}
    module.load_state_dict({n: w for n, w in weights.items() if n in module.state_dict()},
                           strict=False)  # fmt: skip

    def windows(run: Callable[[torch.Tensor], torch.Tensor]) -> float:
        with torch.inference_mode():
            run(torch.zeros(1, 1, 128, 128, 128))  # compiles, or warms up
            return _seconds(
                lambda: sliding_window_inference(
                    torch.from_numpy(x), (128,) * 3, 1, run, overlap=0.5, mode="gaussian"
                )
            )

    found["torch"] = windows(module)
    engine = open_engine(Path(path), "openvino")
    found["openvino"] = windows(lambda part: torch.from_numpy(engine.run(part.numpy())))
    return found


def _time_streamed(path: str, x: Any) -> float:
    from volunet.graph.reading.onnx_file import read_onnx
    from volunet.inference.streaming.planning import plan_stream

    plan = plan_stream(
        read_onnx(path), path, x.shape[2:], 4 * 10**9, "openvino", 500_000_000, 20 * 10**9
    )
    with tempfile.TemporaryDirectory() as scratch:
        run, _ = _execution(plan, x, Path(scratch))
        run()
        return _seconds(run)


# Part 5


def largest(folder: Path, plainconv: Path | None) -> str:
    """The largest volumes within budgets, by prediction."""
    model = folder / "notes.onnx"
    if not model.exists():
        _run_child("export", "notes", str(model), "")
    found = _run_child("largest", str(model))
    rows = [
        [
            f"{budget} GB", f"{_cube(f['cube'])}", f"{_cube(f['whole'])}",
            f"{(f['cube'] / f['whole']) ** 3:.0f}×", f"{f['plane']}×{f['plane']}×1000",
            f"{f['plane'] ** 2 * 1000 / f['whole'] ** 3:.0f}×",
        ]
        for budget, f in zip(BUDGETS_GB, found["budgets"], strict=True)
    ]  # fmt: skip
    table = markdown_table(
        ["budget", "cube, streamed", "cube, whole pass", "ratio",
         "1000 slices, streamed", "ratio to the whole pass"], rows,
    )  # fmt: skip
    return f"## Largest volume\n\n{table}"


def _largest(path: str) -> dict[str, Any]:
    from volunet.inference.model import open_model
    from volunet.inference.passes import whole_peak
    from volunet.inference.streamed import plan_scan
    from volunet.inference.streaming.planning import BudgetError
    from volunet.volumes.axes import affine_of
    from volunet.volumes.grid import Grid

    model = open_model(path, "openvino")

    def grid(size: Size3) -> Grid:
        return Grid(size, affine_of((1.0, 1.0, 1.0)))

    def fits_streamed(size: Size3, budget: int) -> bool:
        try:
            plan_scan(model, [Path("scan")], grid(size), budget, 50 * 10**9)
        except BudgetError:
            return False
        return True

    def fits_whole(size: Size3, budget: int) -> bool:
        peak = whole_peak(model, grid(size), grid(size))
        return peak is not None and peak <= budget

    budgets = []
    for gigabytes in BUDGETS_GB:
        budget = gigabytes * 10**9
        budgets.append({
            "cube": _most(lambda n, b=budget: fits_streamed((n, n, n), b), 64),
            "whole": _most(lambda n, b=budget: fits_whole((n, n, n), b), 16),
            "plane": _most(lambda n, b=budget: fits_streamed((1000, n, n), b), 64),
        })  # fmt: skip
    return {"budgets": budgets}


def _most(fits: Callable[[int], bool], step: int) -> int:
    """The largest multiple of a step up to 1536 that fits."""
    low, high = 0, 1536 // step
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * step) else (low, middle - 1)
    return low * step


def _cube(edge: int) -> str:
    return f"{edge}³"


# Part 6


def convolutions(folder: Path, plainconv: Path | None) -> str:
    """Convolutions of slices by engine: in 3D, and as 2D ones over the channels of three slices."""
    found = _run_child("convolutions")
    rows = [[name, *(f"{rate:.0f}" for rate in rates)] for name, rates in found["rates"].items()]
    table = markdown_table(["GFLOP/s", *found["shapes"]], rows)
    return f"## Convolutions by engine\n\n{table}\n\nLargest difference: {found['error']:.1e}."


def _convolutions() -> dict[str, Any]:
    import numpy as np
    import torch
    import torch.nn.functional as F

    from volunet.inference.engines.static import open_static

    shapes = ((128, 64, 4), (64, 128, 8), (32, 256, 8))
    rates: dict[str, list[float]] = {}
    error = 0.0
    for channels, edge, chunk in shapes:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((1, chunk + 2, edge, edge, channels), np.float32)
        weight = rng.standard_normal((channels, channels, 3, 3, 3), np.float32)
        weight /= np.sqrt(27 * channels)
        flops = 2 * 27 * channels**2 * chunk * edge**2
        # (K, C, 3, 3, 3) on channels-last slices: three slices' channels side by side are 3C.
        flat = np.concatenate([weight[:, :, tap] for tap in range(3)], axis=1)
        answers = []
        for engine in ("openvino", "onnxruntime"):
            answers.append(np.empty((1, chunk, edge, edge, channels), np.float32))
            ready = open_static(_conv_model(weight, x.shape, answers[-1].shape), engine)
            rate = flops / _quickest(partial(ready.run, [x], [answers[-1]])) / 1e9
            rates.setdefault(f"{engine}, 3D", []).append(rate)
            planes = np.ascontiguousarray(x[0].transpose(0, 3, 1, 2))
            made = np.empty((chunk, channels, edge, edge), np.float32)
            one = open_static(
                _conv_model(flat, (1, 3 * channels, edge, edge), made[:1].shape), engine
            )
            rate = flops / _quickest(partial(_slice_by_slice, one, planes, made)) / 1e9
            rates.setdefault(f"{engine}, 2D over 3C", []).append(rate)
            answers.append(made.transpose(0, 2, 3, 1)[np.newaxis])
        with torch.inference_mode():
            volume = torch.from_numpy(x).permute(0, 4, 1, 2, 3)
            kernel = torch.from_numpy(weight).contiguous(memory_format=torch.channels_last_3d)
            seconds = _quickest(partial(F.conv3d, volume, kernel, padding=(0, 1, 1)))
            rates.setdefault("torch, 3D channels last", []).append(flops / seconds / 1e9)
        error = max(error, *(_gap(answer, answers[0]) for answer in answers))
    names = [f"{c}→{c}, {e}², {d} slices" for c, e, d in shapes]
    return {"rates": rates, "shapes": names, "error": error}


def _slice_by_slice(model: Any, planes: Any, made: Any) -> None:
    """Each output slice from three input slices, which lie side by side in memory."""
    _, channels, height, width = planes.shape
    for z in range(len(made)):
        model.run([planes[z : z + 3].reshape(1, 3 * channels, height, width)], [made[z : z + 1]])


def _quickest(run: Callable[[], Any]) -> float:
    """Seconds of the quickest of five runs behind a first one."""
    run()
    return min(_seconds(run) for _ in range(5))


def _conv_model(weight: Any, given: tuple[int, ...], made: tuple[int, ...]) -> Any:
    """A convolution as a model; in 3D with channels last outside, as streamed kernels have it."""
    import onnx
    import onnx_ir as ir
    from onnx import TensorProto, helper, numpy_helper

    spatial = weight.ndim - 2
    pads = [0, 1, 1, 0, 1, 1] if spatial == 3 else [1, 1, 1, 1]
    conv = helper.make_node("Conv", ["a", "w"], ["b"], pads=pads)
    nodes = [conv]
    if spatial == 3:
        nodes = [
            helper.make_node("Transpose", ["x"], ["a"], perm=[0, 4, 1, 2, 3]),
            conv,
            helper.make_node("Transpose", ["b"], ["y"], perm=[0, 2, 3, 4, 1]),
        ]
    names = ("x", "y") if spatial == 3 else ("a", "b")
    graph = helper.make_graph(
        nodes, "conv",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, made)],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return ir.from_proto(proto)


# Common


def _ct(size: Size3) -> Any:
    """The public CT resampled to a size, (1, 1, D, H, W) float32."""
    import numpy as np

    return np.ascontiguousarray(_resampled(size).array, np.float32)[np.newaxis]


def _resampled(size: Size3) -> Any:
    """The public CT on another number of voxels, int16."""
    import numpy as np
    import SimpleITK as sitk  # noqa: N813  (the name that its documentation uses)

    from volunet.volumes import volume_of_image

    image = sitk.ReadImage(str(SCAN / "ct_torso_3mm.nii.gz"))
    wanted = size[::-1]
    spacing = [
        s * (have - 1) / max(want - 1, 1)
        for s, have, want in zip(image.GetSpacing(), image.GetSize(), wanted, strict=True)
    ]
    resampled = sitk.Resample(
        image, wanted, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), spacing,
        image.GetDirection(), 0.0, sitk.sitkInt16,
    )  # fmt: skip
    volume = volume_of_image(resampled)
    return volume.with_array(volume.array.astype(np.int16, copy=False))


def _resample(text: str, path: str) -> dict[str, Any]:
    from volunet.volumes import write_volume

    write_volume(_resampled(_size(text)), path)
    return {"ok": True}


def _seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _text(size: Size3) -> str:
    return "×".join(map(str, size))


def _size(text: str) -> Size3:
    depth, height, width = map(int, text.split("×"))
    return depth, height, width


_CHILDREN: dict[str, Callable[..., Any]] = {
    "export": _export, "compare": _compare, "time": _time, "monai": _monai, "largest": _largest,
    "convolutions": _convolutions, "resample": _resample,
}  # fmt: skip


def _run_child(*words: str) -> Any:
    """Run one of `_CHILDREN` in a process of its own; its answer."""
    command = [sys.executable, __file__, "--child", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    answers = [line for line in ended.stdout.splitlines() if line.startswith("answer ")]
    if ended.returncode != 0 or not answers:
        sys.exit(f"{' '.join(command)}\n{ended.stdout}\n{ended.stderr}")
    return json.loads(answers[-1].removeprefix("answer "))


def _child(words: list[str]) -> None:
    print("answer", json.dumps(_CHILDREN[words[0]](*words[1:])))


if __name__ == "__main__":
    main()
