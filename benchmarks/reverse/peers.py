"""onnx2torch and pnnx on the files of `corpus`, each file in a process of its own.

onnx2torch makes a module (no source) of an ONNX file; pnnx writes a Python file with a class
``Model``. Both are installed with ``pip install --no-deps --target FOLDER``, since onnx2torch would
bring torchvision, and with it another torch. It needs torchvision for NonMaxSuppression and
RoiAlign only, which no file of the corpus holds, so an empty module stands in for it. pnnx is told
the shapes that a file was exported with, and asked for its Python file.

    python -m benchmarks.reverse.peers install FOLDER
    python -m benchmarks.reverse.peers onnx2torch FOLDER FILE.onnx '[[1, 1, 32, 48, 64]]'

prints one JSON object; `run_peer` is that with a time limit. For ``volunet`` the folder is the one
that holds its ``network.py`` and ``network.safetensors``, so that all three answer the same inputs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Peer = Literal["onnx2torch", "pnnx", "volunet"]
PEERS: tuple[Peer, ...] = ("onnx2torch", "pnnx")
Shapes = Sequence[Sequence[int]]


@dataclass
class PeerResult:
    """What a peer made of a file.

    Attributes:
        loads: Whether it converts the file.
        runs: Whether the result runs at the shapes of the export.
        difference: Largest difference from ONNX Runtime there, relative to the largest answer.
        elsewhere: The same at other shapes, None where it was not asked for or does not run.
        children: Submodules of the module, onnx2torch only.
        lines: Lines of the Python file that are not blank, pnnx only.
        model_lines: Those of its class ``Model``: without imports, and functions that export again.
        reason: First line of what went wrong.
    """

    loads: bool = False
    runs: bool = False
    difference: float | None = None
    elsewhere: float | None = None
    children: int | None = None
    lines: int | None = None
    model_lines: int | None = None
    reason: str = ""


def install_peers(folder: Path) -> None:
    """Install both into a folder, unless they are there."""
    # pnnx is a program, and onnx2torch is Python alone.
    if all((folder / peer).is_dir() for peer in PEERS):
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*command, str(folder), *PEERS], check=True)


def peer_versions(folder: Path) -> str:
    """Names and versions of what is installed in a folder."""
    found = (re.match(r"(\w+)-(.+)\.dist-info", path.name) for path in folder.iterdir())
    return ", ".join(sorted(" ".join(match.groups()) for match in found if match))


def run_peer(
    peer: Peer, folder: Path, file: Path, shapes: Shapes, other: Shapes | None,
    *, training: bool = False, limit_seconds: float = 120.0,
) -> PeerResult:  # fmt: skip
    """Convert a file and compare the result with ONNX Runtime, in a process of its own.

    Args:
        peer: Which.
        folder: Where `install_peers` put it; of volunet, where its source lies.
        file: The ONNX file.
        shapes: Shape of each input that it was exported with.
        other: Shapes that it was not exported with; None where it is not to be asked.
        training: Leave the module in train mode, as the file is.
        limit_seconds: The process is ended after these.
    """
    command = [sys.executable, __file__, peer, str(folder), str(file.resolve())]
    command += [json.dumps(shapes), json.dumps(other), json.dumps(training)]
    with tempfile.TemporaryDirectory() as scratch:
        # A peer that crashes or hangs has left what it knew until then.
        known = Path(scratch) / "known.json"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [*command, str(known)], cwd=scratch, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            status = process.wait(limit_seconds)
            ended = f"the process ended with status {status}" if status else ""
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ended = f"not done in {limit_seconds:g} s"
        known_text = known.read_text(encoding="utf-8") if known.is_file() else "{}"
    result = PeerResult(**json.loads(known_text))
    result.reason = result.reason or ended
    return result


def _child(peer: str, folder: str, file: str, rest: Sequence[str]) -> None:
    shapes, other, training = (json.loads(text) for text in rest[:3])
    known = Path(rest[3]) if len(rest) > 3 else None
    result = PeerResult()

    def keep() -> None:
        if known is not None:
            known.write_text(json.dumps(asdict(result)), encoding="utf-8")

    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        module = _LOADERS[peer](Path(folder), Path(file), shapes, result)
        result.loads = True
        keep()
        module.train(training)
        result.difference = _difference(module, file, shapes)
        result.runs = True
        keep()
        if other is not None:
            result.elsewhere = _difference(module, file, other)
    except Exception as error:  # noqa: BLE001  (whatever a peer raises is the result)
        result.reason = _first_line(error)
    keep()
    print(json.dumps(asdict(result)))


def _load_onnx2torch(folder: Path, file: Path, _shapes: Shapes, result: PeerResult) -> Any:
    sys.path.append(str(folder))
    torchvision, ops = (types.ModuleType(name) for name in ("torchvision", "torchvision.ops"))
    vars(ops)["roi_align"] = None
    vars(torchvision)["ops"] = ops
    sys.modules |= {"torchvision": torchvision, "torchvision.ops": ops}
    convert: Callable[[str], Any] = importlib.import_module("onnx2torch").convert
    module = convert(str(file))
    result.children = sum(1 for _ in module.children())
    return module


def _load_pnnx(folder: Path, file: Path, shapes: Shapes, result: PeerResult) -> Any:
    # It writes beside its input.
    beside = Path.cwd() / "network.onnx"
    beside.symlink_to(file)
    program = folder / "pnnx" / "pnnx"
    program.chmod(0o755)
    inputs = ",".join(str(list(shape)).replace(" ", "") for shape in shapes)
    done = subprocess.run(
        [str(program), beside.name, f"inputshape={inputs}"],
        check=False, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    source = beside.with_name("network_pnnx.py")
    if done.returncode or not source.is_file():
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        last = next((line for line in reversed(said) if re.search(r"rror|fail|not ", line)), "")
        raise RuntimeError(f"pnnx ended with status {done.returncode}: {last.strip()}")
    text = source.read_text(encoding="utf-8")
    result.lines = count_lines(text)
    result.model_lines = count_lines(re.split(r"\n(?=def )", text)[0].partition("class Model")[2])
    return _import(source).Model()


def _load_volunet(folder: Path, _file: Path, _shapes: Shapes, _result: PeerResult) -> Any:
    return _import(folder / "network.py").load(str(folder / "network.safetensors"))


_LOADERS: dict[str, Callable[[Path, Path, Shapes, PeerResult], Any]] = {
    "onnx2torch": _load_onnx2torch,
    "pnnx": _load_pnnx,
    "volunet": _load_volunet,
}


def _import(source: Path) -> Any:
    spec = importlib.util.spec_from_file_location(source.stem, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def count_lines(source: str) -> int:
    """Lines of a text that are not blank."""
    return sum(bool(line.strip()) for line in source.splitlines())


def _difference(module: Any, file: str, shapes: Shapes) -> float:
    import numpy as np
    import onnxruntime
    import torch

    generator = torch.Generator().manual_seed(7)
    inputs = [torch.randn(tuple(shape), generator=generator) for shape in shapes]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    wanted = session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))
    with torch.no_grad():
        answer = module(*inputs)
    got = [answer] if isinstance(answer, torch.Tensor) else list(answer)
    if len(got) != len(wanted):
        raise ValueError(f"{len(got)} answers of {len(wanted)}")
    worst = 0.0
    for a, b in zip(wanted, got, strict=True):
        if a.shape != tuple(b.shape):
            raise ValueError(f"an answer of shape {tuple(b.shape)} instead of {a.shape}")
        scale = max(float(np.abs(a).max()), 1e-12)
        worst = max(worst, float(np.abs(a - b.numpy()).max()) / scale)
    return worst


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:150] if lines else ''}"


if __name__ == "__main__":
    if sys.argv[1] == "install":
        install_peers(Path(sys.argv[2]))
    else:
        _child(*sys.argv[1:4], sys.argv[4:])
