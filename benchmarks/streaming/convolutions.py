"""Table 6: convolutions of slices as 2D ones over the channels of three, by engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring.report import markdown_table
from benchmarks.streaming.child import run_child
from benchmarks.streaming.scan import gap, seconds

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.


def convolutions(folder: Path, plainconv: Path | None) -> str:
    """Convolutions of slices by engine: in 3D, and as 2D ones over the channels of three slices."""
    found = run_child("convolutions")
    rows = [[name, *(f"{rate:.0f}" for rate in rates)] for name, rates in found["rates"].items()]
    table = markdown_table(["GFLOP/s", *found["shapes"]], rows)
    return f"## Convolutions by engine\n\n{table}\n\nLargest difference: {found['error']:.1e}."


def time_convolutions() -> dict[str, Any]:
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
        error = max(error, *(gap(answer, answers[0]) for answer in answers))
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
    return min(seconds(run) for _ in range(5))


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
