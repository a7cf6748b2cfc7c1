"""Patches a second of each choice that makes training quick, in one run on the hippocampus set.

    python -m benchmarks training_speed --output benchmarks/results/training_speed.md

takes about 7 minutes on 2 cores, a quarter of it compiling. `--data` is the folder that holds
Task04_Hippocampus.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

import volunet
from benchmarks.measuring.hippocampus_cases import find_data, training_and_test, write_table
from benchmarks.measuring.report import markdown_table, publish
from volunet.datasets.cache import prepare_cases
from volunet.datasets.cases import Case, DataSet
from volunet.datasets.fingerprint import take_fingerprint
from volunet.datasets.load import read_case
from volunet.datasets.patches import TrainingPatches
from volunet.datasets.rules import plan_from_fingerprint
from volunet.nets import network_of
from volunet.plan import Plan
from volunet.tasks.segmentation.losses import SegmentationLoss
from volunet.training.fitting.averaging import average
from volunet.training.record.curve import read_metrics
from volunet.training.record.run_folder import read_run
from volunet.volumes import conform, conform_labels
from volunet.volumes.normalise import normalise

STEPS = 8
"""Timed steps of each choice; the median counts."""

PATCHES = 60
"""Patches that are timed of each way to get them."""

BUSY = """
import sys, time
begin = time.monotonic()
time.sleep(float(sys.argv[1]))
while time.monotonic() - begin < float(sys.argv[2]):
    pass
"""
"""Sleeps for the first number of seconds, then is busy until the second."""

CHOICES = {
    "float32, channels first": (torch.float32, torch.contiguous_format, False),
    "float32, channels last": (torch.float32, torch.channels_last_3d, False),
    "bfloat16, channels first": (torch.bfloat16, torch.contiguous_format, False),
    "bfloat16, channels last": (torch.bfloat16, torch.channels_last_3d, False),
    "float32, channels last, torch.compile": (torch.float32, torch.channels_last_3d, True),
    "bfloat16, channels last, torch.compile": (torch.bfloat16, torch.channels_last_3d, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minutes", type=float, default=1.0, help="of the whole training")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    dataset = find_data(arguments.data)
    cases, _ = training_and_test(dataset)
    plan = plan_from_fingerprint(dataset, take_fingerprint(dataset))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        body = "\n\n".join(
            [
                step_table(plan),
                patch_table(dataset, cases, plan, work / "cache"),
                whole(cases, work, arguments.minutes),
                slowed(cases, work, arguments.minutes),
            ]
        )
    publish("Speed of training", body, ("torch", "batchgeneratorsv2"), arguments.output)


def step_table(plan: Plan) -> str:
    """Steps of the planned network on patches that are there already."""
    rows = []
    base = None
    for name, (precision, layout, compiled) in CHOICES.items():
        print(name, flush=True)
        first_s, step_s = time_steps(plan, precision, layout, compiled)
        base = base or step_s
        rows.append(
            [
                name,
                f"{plan.batch_size / step_s:.2f}",
                f"{base / step_s:.2f} ×",
                f"{first_s:.1f}",
            ]
        )
    features = ", ".join(map(str, plan.network.features)) if plan.network else ""
    size = "×".join(map(str, plan.patch_size))
    return (
        f"Steps of a network with {features} channels on batches of {plan.batch_size} patches of "
        f"{size} voxels: forward, Dice + cross-entropy, backward, AdamW and the weights' average; "
        f"median of {STEPS}.\n\n"
        + markdown_table(["choice", "patches/s", "of the first", "first step (s)"], rows)
    )


def time_steps(
    plan: Plan, precision: torch.dtype, layout: torch.memory_format, compiled: bool
) -> tuple[float, float]:
    """Seconds of the first step and the median of those that follow."""
    torch.manual_seed(0)
    network = network_of(plan).to(memory_format=layout).train()
    called: nn.Module = torch.compile(network) if compiled else network  # type: ignore[assignment]
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    averaged = torch.optim.swa_utils.AveragedModel(network, use_buffers=True, avg_fn=average)
    loss = SegmentationLoss()
    image = torch.randn(plan.batch_size, 1, *plan.patch_size).contiguous(memory_format=layout)
    label = torch.randint(0, plan.task.out_channels, (plan.batch_size, 1, *plan.patch_size))
    context = nullcontext() if precision is torch.float32 else torch.autocast("cpu", torch.bfloat16)
    taken = []
    for _ in range(STEPS + 2):
        begin = time.perf_counter()
        with context:
            value: Tensor = loss(called(image), label)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        averaged.update_parameters(network)
        taken.append(time.perf_counter() - begin)
    return taken[0], statistics.median(taken[2:])


def patch_table(dataset: DataSet, cases: tuple[Case, ...], plan: Plan, cache: Path) -> str:
    """Patches that one process prepares, by where they come from."""
    some = cases[:20]
    begin = time.perf_counter()
    prepared = prepare_cases(some, dataset, plan, cache)
    preparing_s = time.perf_counter() - begin
    plain = plan.model_copy(
        update={"regularisation": plan.regularisation.model_copy(update={"augmentation": "none"})}
    )
    ways = {
        "from the scan's file each time, without augmentation": from_files(some, dataset, plan),
        "from the cache, without augmentation": patches(TrainingPatches(prepared, plain, 0)),
        **{
            f"from the cache, {strength} augmentation": patches(
                TrainingPatches(prepared, strengthened(plan, strength), 0)
            )
            for strength in ("light", "moderate", "strong")
        },
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a loader's worker
    rows = []
    for name, way in ways.items():
        next(way)
        begin = time.perf_counter()
        for _ in itertools.islice(way, PATCHES):
            pass
        rows.append([name, f"{PATCHES / (time.perf_counter() - begin):.1f}"])
    torch.set_num_threads(threads)
    return (
        f"Patches that one process with one thread prepares ({PATCHES} of each; preparing "
        f"the cache took {1000 * preparing_s / len(some):.0f} ms a case, once).\n\n"
        + markdown_table(["patches", "patches/s"], rows)
    )


def strengthened(plan: Plan, strength: str) -> Plan:
    return plan.model_copy(
        update={"regularisation": plan.regularisation.model_copy(update={"augmentation": strength})}
    )


def patches(data: TrainingPatches) -> Iterator[object]:
    return (data[index] for index in itertools.count())


def from_files(cases: tuple[Case, ...], dataset: DataSet, plan: Plan) -> Iterator[object]:
    """What each patch would cost without a cache: read, resample, normalise."""
    for case in itertools.cycle(cases):
        image, label = read_case(case, dataset)
        x = normalise(conform(image, plan.orientation, plan.spacing_mm).array, plan.normalisation)
        y = None if label is None else conform_labels(label, plan.orientation, plan.spacing_mm)
        yield x, y


def whole(cases: tuple[Case, ...], work: Path, minutes: float) -> str:
    """A training from beginning to end, with its own choices."""
    write_table(cases, work / "training.csv")
    trained = volunet.train(work / "training.csv", work / "run", minutes=minutes, fold="1/10")
    run = read_run(trained.run)
    features = ", ".join(map(str, run.plan.network.features)) if run.plan.network else ""
    fit_s = trained.elapsed_s - run.prepared_s
    return (
        f"A whole training of {60 * minutes:g} s on {len(cases)} cases took {features} channels, "
        f"batches of {run.plan.batch_size} and {run.config.precision}: "
        f"{trained.steps * run.plan.batch_size / fit_s:.2f} patches/s, validations included; "
        f"reading and preparing took {run.prepared_s:.1f} s, and steps waited for patches "
        f"{trained.waiting_share:.1%} of the time. It ended after {trained.elapsed_s:.1f} s of "
        f"{60 * minutes:.0f}."
    )


def slowed(cases: tuple[Case, ...], work: Path, minutes: float) -> str:
    """The same on a machine that gets other work in the middle: a busy process on each core."""
    busy = [
        subprocess.Popen(
            [sys.executable, "-c", BUSY, str(30 * minutes), str(60 * minutes)],
        )
        for _ in range(os.cpu_count() or 1)
    ]
    trained = volunet.train(
        work / "training.csv", work / "slowed", minutes=minutes, fold="1/10", seed=1
    )
    for process in busy:
        process.wait()
    rows = read_metrics(work / "slowed" / "metrics.csv")["elapsed_s"]
    half = max(step for step, elapsed_s in rows if elapsed_s <= 30 * minutes)
    share = trained.elapsed_s / (60 * minutes)
    return (
        f"With as many busy processes as cores from its middle on, the same training made {half} "
        f"steps in the first half and {trained.steps - half} in the second, and ended after "
        f"{trained.elapsed_s:.1f} s of {60 * minutes:.0f}: {share - 1:+.1%}."
    )


if __name__ == "__main__":
    main()
