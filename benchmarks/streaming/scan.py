"""The public CT at any size, and a streamed pass of it that is ready to run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring.apart import ROOT

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

Size3 = tuple[int, int, int]

SCAN = ROOT.parent / "shared" / "data" / "volumes"


def ct(size: Size3) -> Any:
    """The public CT resampled to a size, (1, 1, D, H, W) float32."""
    import numpy as np

    return np.ascontiguousarray(resampled_ct(size).array, np.float32)[np.newaxis]


def resampled_ct(size: Size3) -> Any:
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


def resample(text: str, path: str) -> dict[str, Any]:
    from volunet.volumes import write_volume

    write_volume(resampled_ct(size_of(text)), path)
    return {"ok": True}


def seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def size_text(size: Size3) -> str:
    return "×".join(map(str, size))


def size_of(text: str) -> Size3:
    depth, height, width = map(int, text.split("×"))
    return depth, height, width


def streamed(path: str, x: Any, budget: int | None) -> tuple[Any, Any]:
    """The logits of a streamed pass, and its plan."""
    from volunet.graph.reading.onnx_file import read_onnx
    from volunet.inference.streaming.planning import plan_stream

    size = x.shape[2:]
    plan = plan_stream(read_onnx(path), path, size, budget, "openvino", 0, 20 * 10**9)
    with tempfile.TemporaryDirectory() as scratch:
        run, answer = execution_of(plan, x, Path(scratch))
        run()
    return answer, plan


def execution_of(plan: Any, x: Any, scratch: Path) -> tuple[Callable[[], None], Any]:
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


def gap(a: Any, b: Any) -> float:
    """The largest difference of two arrays."""
    import numpy as np

    return float(np.abs(a - b).max())
