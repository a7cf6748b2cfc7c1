"""Tables 3 and 4: seconds beside OpenVINO's whole pass and MONAI's sliding windows."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring.report import markdown_table
from benchmarks.streaming.child import run_child
from benchmarks.streaming.scan import Size3, ct, execution_of, seconds, size_of, size_text

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

TIMED: tuple[Size3, ...] = ((256, 256, 192), (224, 144, 144))


def against_whole(folder: Path, plainconv: Path | None) -> str:
    """Time of a streamed pass by that of a whole one."""
    model = folder / "notes.onnx"
    if not model.exists():
        run_child("export", "notes", str(model), "")
    rows = []
    for size in TIMED:
        found = [run_child("time", str(model), size_text(size)) for _ in range(3)]
        median = {key: statistics.median(f[key] for f in found) for key in found[0]}
        ratio = statistics.median(f["streamed"] / f["whole"] for f in found)
        first = statistics.median(f["streamed_first"] / f["whole_first"] for f in found)
        rows.append([
            size_text(size), f"{median['streamed']:.1f}", f"{median['whole']:.1f}", f"{ratio:.2f}",
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


def time_both(path: str, text: str) -> dict[str, float]:
    from volunet.graph.reading.onnx_file import read_onnx
    from volunet.inference.engines import open_engine
    from volunet.inference.streaming.planning import plan_stream

    x = ct(size_of(text))
    plan = plan_stream(
        read_onnx(path), path, x.shape[2:], 4 * 10**9, "openvino", 500_000_000, 20 * 10**9
    )
    with tempfile.TemporaryDirectory() as scratch:
        begin = time.perf_counter()
        run, _ = execution_of(plan, x, Path(scratch))
        run()
        streamed_first = time.perf_counter() - begin
        streamed = seconds(run)
    begin = time.perf_counter()
    engine = open_engine(Path(path), "openvino")
    engine.run(x)  # compiles, and takes its memory from the system
    whole_first = time.perf_counter() - begin
    return {
        "streamed": streamed,
        "whole": seconds(lambda: engine.run(x)),
        "streamed_first": streamed_first,
        "whole_first": whole_first,
        "work": plan.work,
        "chunk": plan.chunk,
    }


def against_monai(folder: Path, plainconv: Path | None) -> str:
    """Time of MONAI's sliding windows by that of a streamed pass, same weights."""
    model = folder / "notes.onnx"
    if not model.exists():
        run_child("export", "notes", str(model), "")
    found = run_child("monai", str(model), size_text(TIMED[0]))
    rows = [
        ["streamed, exact", f"{found['streamed']:.1f}", "1.00"],
        *(
            [name, f"{found[key]:.1f}", f"{found[key] / found['streamed']:.2f}"]
            for name, key in (("MONAI on PyTorch", "torch"), ("MONAI on OpenVINO", "openvino"))
        ),
    ]
    table = markdown_table([f"at {size_text(TIMED[0])}", "s", "by ours"], rows)
    return f"## Against sliding windows\n\n{table}"


def time_monai(path: str, text: str) -> dict[str, float]:
    import numpy as np
    import torch
    from monai.inferers import sliding_window_inference

    from volunet.graph.reading.onnx_file import find_plan, read_onnx, weights_of
    from volunet.inference.engines import open_engine
    from volunet.nets.deployed import DeployedNetwork
    from volunet.nets.presets import network_of

    x = ct(size_of(text))
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
            return seconds(
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
        run, _ = execution_of(plan, x, Path(scratch))
        run()
        return seconds(run)
