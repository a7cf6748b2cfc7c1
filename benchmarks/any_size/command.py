"""On how many random sizes do 3D U-Nets run, before and after their export to ONNX?

50 sizes of 17 to 79 voxels on each axis, `numpy.random.RandomState(0).randint(17, 80, (50, 3))`,
which holds none whose three axes are multiples of 16. Each network has fresh weights of seed 0 and
few channels. In PyTorch, in ONNX Runtime and in OpenVINO it is counted how many sizes run, how
many answers have the input's size, and how many are within 1e-4 of PyTorch's.

In favour of the peers each is exported twice, by `torch.onnx.export` with `dynamo=True` and by the
older exporter, both with dynamic spatial axes, and the better file counts. Three control sizes,
multiples of 16, show that a file works where its network can.

    python -m benchmarks any_size --output benchmarks/results/any_size.md

takes about 5 minutes on 2 cores and needs no data.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.measuring.apart import ROOT
from benchmarks.measuring.quiet import quiet
from benchmarks.measuring.report import markdown_table, publish
from volunet.errors import EngineError
from volunet.exporting.convert import convert
from volunet.inference.engines import open_engine
from volunet.nets import UNet3d, build_network, notes_plan
from volunet.nets.deployed import DeployedNetwork
from volunet.plan import NetworkPlan, Normalisation, Plan
from volunet.tasks.segmentation.plan import Segmentation

Size3 = tuple[int, int, int]
Run = Callable[[NDArray[np.float32]], NDArray[Any]]

FEATURES = (8, 16, 32, 64, 128)
CONTROL: tuple[Size3, ...] = ((64, 48, 32), (16, 80, 48), (32, 32, 96))
TRACED: Size3 = (32, 48, 64)
TOLERANCE = 1e-4
ENGINES = ("onnxruntime", "openvino")
FAILURES = (EngineError, RuntimeError, ValueError, IndexError)
"""What a network or an engine raises at a size that it does not take."""
PACKAGES = ("volunet", "torch", "monai", "onnxruntime", "openvino", "onnxscript", "numpy")


@dataclass
class Count:
    """Of the 50 sizes: how many ran, kept the input's size, agreed with PyTorch; and why not."""

    ran: int = 0
    same_size: int = 0
    agreed: int = 0
    control: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def note(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def commonest(self, number: int) -> list[tuple[str, int]]:
        return sorted(self.reasons.items(), key=lambda item: -item[1])[:number]

    def text(self) -> str:
        return f"{self.ran} / {self.same_size} / {self.agreed}"


@dataclass
class Outcome:
    """One network: a count a runner, and the exporters that refused it; no counts after a crash."""

    network: str
    counts: dict[str, Count]
    exporter: str
    refused: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, default=50, help="random sizes")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    parser.add_argument("--network", help="measure this one only, and print JSON")
    arguments = parser.parse_args()
    sizes = random_sizes(arguments.sizes)
    if arguments.network:
        print(json.dumps(asdict(measure(arguments.network, sizes))))
        return
    # A process a network: an engine that crashes ends one row, and memory starts anew.
    outcomes = [_in_process(name, arguments.sizes) for name in NETWORKS]
    publish("Any size", _body(outcomes, sizes), PACKAGES, arguments.output)


def random_sizes(number: int) -> list[Size3]:
    """The sizes, (D, H, W), of 17 to 79 voxels an axis."""
    drawn = np.random.RandomState(0).randint(17, 80, (number, 3))
    return [(int(d), int(h), int(w)) for d, h, w in drawn]


def measure(name: str, sizes: Sequence[Size3]) -> Outcome:
    """Export a network and run it at every size."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    reference = count_sizes(_torch_run(network), sizes, None)
    files, refused = _exports(network)
    counted = {
        exporter: count_sizes(open_engine(data, ENGINES[0]).run, sizes, network)
        for exporter, data in files.items()
    }
    counts = {"torch": reference}
    if not counted:
        return Outcome(name, counts | {engine: Count() for engine in ENGINES}, "none", refused)
    best = max(counted, key=lambda exporter: (counted[exporter].agreed, counted[exporter].control))
    counts[ENGINES[0]] = counted[best]
    counts[ENGINES[1]] = count_sizes(open_engine(files[best], ENGINES[1]).run, sizes, network)
    return Outcome(name, counts, best, refused)


def count_sizes(run: Run, sizes: Sequence[Size3], reference: nn.Module | None) -> Count:
    """Run something at every size, and compare with a network where one is given."""
    rng = np.random.RandomState(1)
    count = Count()
    for size in (*sizes, *CONTROL):
        x = rng.normal(size=(1, 1, *size)).astype(np.float32)
        try:
            answer = run(x)
        except FAILURES as error:
            if size not in CONTROL:
                count.note(_reason(error))
            continue
        if size in CONTROL:
            count.control += 1
            continue
        count.ran += 1
        if answer.shape[2:] != size:
            count.note("an answer of another size than the input")
            continue
        count.same_size += 1
        if reference is None:
            continue
        try:
            want = _torch_run(reference)(x)
        except FAILURES:
            count.note("PyTorch has no answer to compare with")
            continue
        if np.abs(answer - want).max() <= TOLERANCE:
            count.agreed += 1
        else:
            count.note("differs from PyTorch")
    return count


def _torch_run(network: nn.Module) -> Run:
    def run(x: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            answer: NDArray[Any] = network(torch.from_numpy(x)).numpy()
        return answer

    return run


def _exports(network: nn.Module) -> tuple[dict[str, bytes], list[str]]:
    """ONNX files of a network by exporter, and the exporters that refused it."""
    if isinstance(network, DeployedNetwork):
        return {"volunet": convert(network.network, _plan(network.network))}, []
    files, refused = {}, []
    for exporter, export in (("dynamo", _export_dynamo), ("older", _export_older)):
        try:
            with quiet():
                files[exporter] = export(network)
        except Exception as error:  # noqa: BLE001  (whatever an exporter raises is the result)
            refused.append(f"{exporter}: {_reason(error)}")
    return files, refused


def _export_dynamo(network: nn.Module) -> bytes:
    program = torch.onnx.export(
        network,
        (torch.zeros(1, 1, *TRACED),),
        dynamo=True,
        dynamic_shapes=(dict.fromkeys((2, 3, 4), torch.export.Dim.DYNAMIC),),
        input_names=["input"],
        output_names=["output"],
        verbose=False,
    )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def _export_older(network: nn.Module) -> bytes:
    axes = {2: "depth", 3: "height", 4: "width"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, *TRACED),),
            path,
            dynamo=False,
            opset_version=18,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": axes, "output": axes},
        )
        return path.read_bytes()


def _reason(error: Exception) -> str:
    """Class of a failure: its message without the numbers and names of one size."""
    text = error.found if isinstance(error, EngineError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[0].removeprefix("[ONNXRuntimeError] :").partition(" Name:")[0] if lines else ""
    line = re.sub(r"'[^']*'|\"[^\"]*\"", "…", re.sub(r"\{[^}]*\}|\[[^\]]*\]", "…", line))
    line = re.sub(r"/\S+|\d+", "#", line).replace("|", "/")
    line = re.sub(r"^[\s:#]*FAIL\s*:\s*", "", line)
    return f"{type(error).__name__}: {line[:110]}"


def _in_process(name: str, number: int) -> Outcome:
    print(f"{name} …", file=sys.stderr)
    command = [sys.executable, "-m", "benchmarks.any_size.command"]
    command += ["--network", name, "--sizes", str(number)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode:
        crash = f"the process ended with status {done.returncode}"
        return Outcome(name, {}, "–", [crash])
    found = json.loads(done.stdout.splitlines()[-1])
    counts = {key: Count(**value) for key, value in found["counts"].items()}
    return Outcome(name, counts, found["exporter"], found["refused"])


def _body(outcomes: Sequence[Outcome], sizes: Sequence[Size3]) -> str:
    header = [
        "network",
        "PyTorch: ran / same size",
        "ONNX Runtime: ran / same size / agreed",
        "OpenVINO: ran / same size / agreed",
        "exporter",
        "control sizes (PyTorch, ONNX Runtime, OpenVINO)",
    ]
    rows, notes = [], []
    for outcome in outcomes:
        notes += [f"- {outcome.network}, export, {reason}" for reason in outcome.refused]
        if not outcome.counts:
            rows.append([outcome.network, *["crashed"] * (len(header) - 1)])
            continue
        eager = outcome.counts["torch"]
        counts = [outcome.counts[engine] for engine in ENGINES]
        control = ", ".join(str(count.control) for count in (eager, *counts))
        rows.append(
            [
                outcome.network,
                f"{eager.ran} / {eager.same_size}",
                *(count.text() for count in counts),
                outcome.exporter,
                f"{control} of {len(CONTROL)}",
            ]
        )
        notes += [
            f"- {outcome.network}, {runner}: {number} × {reason}"
            for runner, count in outcome.counts.items()
            for reason, number in count.commonest(3)
        ]
    return (
        f"Of {len(sizes)} random sizes of 17 to 79 voxels on each axis "
        f"(`numpy.random.RandomState(0).randint(17, 80, ({len(sizes)}, 3))`): how many run, how "
        "many answers have the input's size, and how many are within "
        f"{TOLERANCE:g} of PyTorch's. Control sizes are multiples of 16.\n\n"
        f"{markdown_table(header, rows)}\n\n"
        f"Peers were traced at {'×'.join(map(str, TRACED))}. A caller who pads each scan to "
        "multiples of 16 and crops the answer can use any of these networks; counted is the "
        "network as it is."
        "\n\nWhat failed, by reason (the commonest "
        "three of each):\n\n" + "\n".join(notes or ["- nothing"])
    )


def _plan(network: UNet3d) -> Plan:
    """A plan that feeds the network its input as it is."""
    return Plan(
        dataset="any_size",
        channels=("noise",),
        orientation="any",
        spacing_mm=None,
        normalisation=(Normalisation(kind="none"),),
        task=Segmentation(
            classes=("background", "foreground"),
            label_values=(0, 1),
            colours=((0, 0, 0), (222, 74, 68)),
        ),
        patch_size=TRACED,
        batch_size=1,
        network=None,
    )


def _volunet(plan: NetworkPlan) -> nn.Module:
    network = build_network(plan)
    return DeployedNetwork(network, _plan(network))


def _monai(name: str, **arguments: Any) -> nn.Module:
    from monai.networks import nets

    network: nn.Module = getattr(nets, name)(spatial_dims=3, in_channels=1, **arguments)
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "volunet, preset auto": lambda: _volunet(
        NetworkPlan(in_channels=1, out_channels=2, features=FEATURES, activation="leaky_relu")
    ),
    "volunet, preset notes": lambda: _volunet(notes_plan(1, 2, FEATURES)),
    "MONAI UNet": lambda: _monai("UNet", out_channels=2, channels=FEATURES, strides=(2,) * 4),
    "MONAI BasicUNet": lambda: _monai(
        "BasicUNet", out_channels=2, features=(*FEATURES, FEATURES[0])
    ),
    "MONAI DynUNet": lambda: _monai(
        "DynUNet",
        out_channels=2,
        kernel_size=(3,) * 5,
        strides=(1, 2, 2, 2, 2),
        upsample_kernel_size=(2,) * 4,
        filters=FEATURES,
    ),
    "MONAI SegResNet": lambda: _monai("SegResNet", out_channels=2, init_filters=FEATURES[0]),
    "MONAI AttentionUnet": lambda: _monai(
        "AttentionUnet", out_channels=2, channels=FEATURES, strides=(2,) * 4
    ),
}


if __name__ == "__main__":
    main()
