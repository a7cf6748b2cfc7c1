"""Milliseconds that the augmentation of one training patch costs, with two libraries.

batchgeneratorsv2 as `volunet.datasets.augment` uses it, beside a TorchIO pipeline of the same
changes with the same probabilities: rotation and zoom, mirroring, noise, blur, gamma, lower
resolution. Ours also changes brightness and contrast, which TorchIO has no transform for. TorchIO
is timed twice: on what ours gets, a cut 1.3 times as large whose corners survive a rotation, and
on the patch alone, whose corners are then filled. Noise as data, one channel, one thread; patches
of all three pipelines by turns.

    python -m benchmarks augmentation --output benchmarks/results/augmentation.md

takes about 1 minute and needs no data. TorchIO is no dependency of volunet.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its documentation uses)
import torch

from benchmarks.measuring.report import markdown_table, publish
from volunet.datasets.augment import STRENGTHS, make_augmentation
from volunet.datasets.patches import MARGIN
from volunet.plan import Normalisation, Plan
from volunet.tasks.segmentation.plan import Segmentation

Size3 = tuple[int, int, int]
Make = Callable[[Size3], Callable[[], Any]]

SIZES: tuple[Size3, ...] = ((40, 56, 40), (64, 96, 96))
PACKAGES = ("volunet", "batchgeneratorsv2", "torchio", "torch", "SimpleITK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=200, help="patches of each pipeline")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    if importlib.util.find_spec("torchio") is None:
        sys.exit("skipped: TorchIO is not installed; pip install torchio")
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    rows = []
    for size in SIZES:
        timings = time_by_turns([make(size) for make in PIPELINES.values()], arguments.patches)
        ours = statistics.fmean(timings[0])
        for name, seconds in zip(PIPELINES, timings, strict=True):
            mean = statistics.fmean(seconds)
            error = statistics.stdev(seconds) / math.sqrt(len(seconds))
            rows.append(
                [
                    "×".join(map(str, size)),
                    name,
                    f"{1000 * mean:.1f} ± {1000 * error:.1f}",
                    f"{mean / ours:.2f} ×",
                ]
            )
    table = markdown_table(["patch", "pipeline", "ms a patch (mean ± SE)", "of ours"], rows)
    body = f"{arguments.patches} patches of each pipeline by turns, one thread.\n\n{table}"
    publish("Augmentation", body, PACKAGES, arguments.output)


def time_by_turns(runs: Sequence[Callable[[], Any]], patches: int) -> list[list[float]]:
    """Seconds of each call of each pipeline, after one call each to warm up."""
    torch.manual_seed(0)
    np.random.seed(0)
    timings: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(patches):
        for run, seconds in zip(runs, timings, strict=True):
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
    return timings


def _ours(size: Size3) -> Callable[[], Any]:
    transform = make_augmentation(_plan(size))
    image, label = _noise(_with_margin(size))
    return lambda: transform(image=image.clone(), segmentation=label.clone())


def _torchio_margin(size: Size3) -> Callable[[], Any]:
    return _torchio(_with_margin(size), crop=size)


def _torchio_patch(size: Size3) -> Callable[[], Any]:
    return _torchio(size, crop=None)


def _torchio(size: Size3, crop: Size3 | None) -> Callable[[], Any]:
    import torchio as tio

    ours = STRENGTHS[_plan(size).regularisation.augmentation]
    steps: list[Any] = [
        tio.RandomAffine(
            scales=ours.scaling,
            degrees=float(np.rad2deg(ours.rotation_rad)),
            isotropic=False,
            default_pad_value="mean",
            # Ours rotates and zooms in one resampling: the probability of either.
            p=1 - (1 - ours.spatial) ** 2,
        )
    ]
    if crop is not None:
        steps.append(tio.CropOrPad(crop))
    steps += [
        tio.RandomFlip(axes=(2,), flip_probability=0.5),
        tio.RandomNoise(std=(0.0, 0.05), p=0.15),
        tio.RandomBlur(std=(0.5, 1.0), p=0.1),
        tio.RandomAnisotropy(axes=(0, 1, 2), downsampling=(1.0, 2.0), p=0.1),
        tio.RandomGamma(log_gamma=(math.log(0.7), math.log(1.5)), p=0.2),
    ]
    transform = tio.Compose(steps)
    image, label = _noise(size)

    def run() -> Any:
        # A subject is what a TorchIO data set hands over, so making it counts.
        subject = tio.Subject(
            image=tio.ScalarImage(tensor=image.clone()), label=tio.LabelMap(tensor=label.clone())
        )
        changed = transform(subject)
        return changed["image"].data, changed["label"].data

    return run


PIPELINES: dict[str, Make] = {
    "batchgeneratorsv2 (volunet)": _ours,
    "TorchIO, from the larger cut": _torchio_margin,
    "TorchIO, on the patch alone": _torchio_patch,
}


def _with_margin(size: Size3) -> Size3:
    depth, height, width = (math.ceil(d * MARGIN) for d in size)
    return depth, height, width


def _noise(size: Size3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, *size)).astype(np.float32)
    label = rng.integers(0, 3, (1, *size)).astype(np.int16)
    return torch.from_numpy(image), torch.from_numpy(label)


def _plan(size: Size3) -> Plan:
    return Plan(
        dataset="augmentation",
        channels=("noise",),
        spacing_mm=None,
        normalisation=(Normalisation(kind="none"),),
        task=Segmentation(classes=("background",), label_values=(0,), colours=((0, 0, 0),)),
        patch_size=size,
        batch_size=1,
        mirror_axes=(2,),
        network=None,
    )


if __name__ == "__main__":
    main()
