"""From ONNX files back to PyTorch: ``volunet reverse`` beside onnx2torch and pnnx.

1. On every file of `corpus`: does volunet verify its source, by how much does the answer
   differ, how many lines and classes has it, and how large a share of the layers stands in a
   block that is repeated. Beside it: does onnx2torch convert the file, does the module answer as
   ONNX Runtime does, and how many children has it, side by side; does pnnx, and how many lines has
   its Python file.
2. Seconds and peak memory of ``volunet reverse`` on a file of more than 100 MB, the notes' network
   at 36 to 576 channels. The memory is the sum of the resident sets of the process and its
   children, looked at every 20 ms.

    python -m benchmarks reverse --corpus FOLDER --env FOLDER --output benchmarks/results/reverse.md

takes about 90 minutes on 2 cores and 1 GB of disk. The corpus is made where the folder has none
(``--nnunet`` as in `corpus`); onnx2torch and pnnx are installed into ``--env``, see
`peers`. What these made of a file is kept in ``--keep FOLDER`` and not measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring.apart import ROOT
from benchmarks.measuring.report import markdown_table, publish
from benchmarks.reverse.peers import (
    Peer,
    PeerResult,
    count_lines,
    install_peers,
    peer_versions,
    run_peer,
)

PACKAGES = ("volunet", "torch", "onnx", "onnxruntime", "onnxscript", "monai", "numpy")
TOLERANCE = 1e-4
"""Largest difference that counts as the same answer, relative to the largest answer."""
STATUS = {0: "verified", 1: "not verified", 2: "refused"}
LARGE = (36, 72, 144, 288, 576)


@dataclass
class Ours:
    """What ``volunet reverse`` said of a file; numbers are None where it said none.

    Attributes:
        status: ``verified``, ``not verified``, ``refused``, or how it ended otherwise.
        reason: First line of its message where it is not verified.
        seconds: Of the process, imports and verification included.
        lines: Lines of the Python file that are not blank.
        report: Its own, ``--json``.
    """

    status: str
    reason: str
    seconds: float
    lines: int | None = None
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        """Whether both the exit status and the report say so."""
        return self.status == "verified"

    @property
    def share(self) -> float | None:
        """Share of the layers that stand in a repeated block."""
        layers = self.report.get("layers")
        return self.report.get("layers_in_blocks", 0) / layers if layers else None


@dataclass
class Row:
    """A file of the corpus, and what each program made of it; None where there is no file.

    Attributes:
        file: A `corpus.CorpusFile`.
        ours: What volunet said.
        volunet: Its source, run as the peers' modules are: it is not only its own judge.
        onnx2torch: The peer's module.
        pnnx: The peer's source.
    """

    file: dict[str, Any]
    ours: Ours | None = None
    volunet: PeerResult | None = None
    onnx2torch: PeerResult | None = None
    pnnx: PeerResult | None = None

    @property
    def variant(self) -> str:
        return f"{self.file['exporter']}{', stripped' * self.file['stripped']}"


def main() -> None:
    """Run the parts that are asked for and publish them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="made where it is missing")
    parser.add_argument("--env", type=Path, required=True, help="onnx2torch and pnnx, installed")
    parser.add_argument("--nnunet", type=Path, help="where dynamic-network-architectures lies")
    parser.add_argument("--parts", default="corpus,large")
    parser.add_argument("--only", help="names of networks, with commas")
    parser.add_argument("--keep", type=Path, help="keep what the peers made here, and use it again")
    parser.add_argument("--jobs", type=int, default=1, help="files at once: seconds are then more")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds a program has a file")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    texts = []
    parts = arguments.parts.split(",")
    if "corpus" in parts:
        texts.append(_corpus_part(arguments))
    if "large" in parts:
        texts.append(_large_part(arguments.limit))
    publish("From ONNX back to PyTorch", "\n\n".join(texts), PACKAGES, arguments.output)


# volunet


def reverse(path: Path, output: Path, limit_seconds: float) -> Ours:
    """Run ``volunet reverse`` on a file, in a process of its own."""
    done, seconds, _ = _run(_reverse_command(path, output), limit_seconds)
    if done is None:
        return Ours("time", f"not done in {limit_seconds:g} s", seconds)
    status, said = done
    ours = Ours(STATUS.get(status, f"status {status}"), "", seconds)
    report = output.with_suffix(".json")
    if report.is_file():
        ours.report = _read_report(json.loads(report.read_text(encoding="utf-8")))
    elif status == 1:
        ours.status = "crashed"  # Python's own status of an exception
    if output.is_file():
        ours.lines = count_lines(output.read_text(encoding="utf-8"))
    if ours.verified and not ours.report.get("verified"):
        ours.status = "status 0, but its report says otherwise"
    if not ours.verified:
        told = ours.report.get("failure") or ours.report.get("differs")
        ours.reason = told or _reason(said, crashed=ours.status not in STATUS.values())
    return ours


def _reason(said: str, *, crashed: bool) -> str:
    """First line of a message, or last one of a traceback; a usage error's frame is left out."""
    lines = [line.strip("│╭╰─╮╯ ") for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("Usage:", "Try ", "Error"))]
    return (lines or ["nothing said"])[-1 if crashed else 0][:200]


def _reverse_command(path: Path, output: Path) -> list[str]:
    report = output.with_suffix(".json")
    command = [sys.executable, "-m", "volunet.cli", "reverse", str(path)]
    return [*command, "-o", str(output), "--json", str(report)]


def _read_report(report: dict[str, Any]) -> dict[str, Any]:
    """What the tables need of the report; the only place that knows its fields."""
    names = ("verified", "max_difference", "classes", "layers", "layers_in_blocks", "failure",
             "differs")  # fmt: skip
    return {name: report.get(name) for name in names}


def _run(command: Sequence[str], limit_seconds: float) -> tuple[tuple[int, str] | None, float, int]:
    """Exit status and standard error (None: out of time), seconds, peak of the resident sets."""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=said, env=environment, start_new_session=True
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident_bytes(process.pid))
            if time.perf_counter() - begun > limit_seconds:
                os.killpg(process.pid, 9)
                process.wait()
                return None, time.perf_counter() - begun, peak
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
        said.seek(0)
        return (process.returncode, said.read()), seconds, peak


def _resident_bytes(process: int) -> int:
    """Resident sets of a process and of what it started, added up."""
    total = 0
    waiting = [process]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        try:
            pages = int((folder / "statm").read_text().split()[1])
            tasks = list((folder / "task").iterdir())
            waiting += [
                int(child) for task in tasks for child in (task / "children").read_text().split()
            ]
        except (OSError, IndexError):
            continue  # it has just ended
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


# Part 1


def _corpus_part(arguments: argparse.Namespace) -> str:
    rows = measure_corpus(arguments)
    return (
        f"{_families(rows)}\n\n{_networks(rows)}\n\n{_files(rows)}\n\n{_reasons(rows)}\n\n"
        f"Peers: {peer_versions(arguments.env)}."
    )


def measure_corpus(arguments: argparse.Namespace) -> list[Row]:
    """Every variant of the corpus, those that are missing included."""
    from benchmarks.reverse.corpus import read_corpus

    only = arguments.only.split(",") if arguments.only else None
    if not (arguments.corpus / "corpus.json").is_file():
        command = [sys.executable, "-m", "benchmarks.reverse.corpus", str(arguments.corpus)]
        command += ["--nnunet", str(arguments.nnunet)] if arguments.nnunet else []
        subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT)
    install_peers(arguments.env)
    files = [f for f in read_corpus(arguments.corpus) if only is None or f.network in only]
    rows = [Row(asdict(file)) for file in files]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for _ in pool.map(
            lambda row: _measure(row, arguments), [r for r in rows if r.file["path"]]
        ):
            pass
    return rows


def _measure(row: Row, arguments: argparse.Namespace) -> None:
    file = row.file
    path = Path(file["path"])
    print(f"{path.stem} …", file=sys.stderr)

    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]

    def run(name: Peer, folder: Path) -> PeerResult:
        return run_peer(
            name, folder, path, file["shapes"], file["other"] if file["sizes"] == "any" else None,
            training=file["mode"] == "training", limit_seconds=arguments.limit,
        )  # fmt: skip

    def peer(name: Peer) -> PeerResult:
        known = arguments.keep / f"{path.stem}.{digest}.{name}.json" if arguments.keep else None
        if known and known.is_file():
            return PeerResult(**json.loads(known.read_text(encoding="utf-8")))
        found = run(name, arguments.env)
        if known:
            known.parent.mkdir(parents=True, exist_ok=True)
            known.write_text(json.dumps(asdict(found)), encoding="utf-8")
        return found

    with tempfile.TemporaryDirectory() as folder:
        row.ours = reverse(path, Path(folder) / "network.py", arguments.limit)
        row.volunet = run("volunet", Path(folder)) if row.ours.lines else PeerResult()
    row.onnx2torch, row.pnnx = peer("onnx2torch"), peer("pnnx")


def _families(rows: Sequence[Row]) -> str:
    """The README's table: a family a line."""
    header = ["family", "networks", "files", "verified", "largest difference",
              "median lines (pnnx)", "median lines by pnnx's", "same answer",
              "onnx2torch's", "pnnx's"]  # fmt: skip
    names = list(dict.fromkeys(row.file["family"] for row in rows))
    lines = [_family_line(name, [r for r in rows if r.file["family"] == name]) for name in names]
    return (
        f"## By family\n\n{markdown_table(header, [*lines, _family_line('all', rows)])}\n\n"
        "Verified: by volunet itself. The same answer: at the size of the export within "
        f"{TOLERANCE:g} of ONNX Runtime's, relative to the largest; in brackets, at another size "
        "as well, of the files that take one. Lines that are not blank, of whole Python files; "
        "their quotient is of the files that both write, and in brackets to pnnx's class alone, "
        "without imports and the functions that export it again."
    )


def _family_line(name: str, rows: Sequence[Row]) -> list[str]:
    files = [row for row in rows if row.ours]
    verified = [row for row in files if row.ours and row.ours.verified]
    both = [(r.ours.lines, r.pnnx.lines, r.pnnx.model_lines) for r in files
            if r.ours and r.pnnx and r.ours.lines and r.pnnx.lines
            and r.pnnx.model_lines]  # fmt: skip
    return [
        name,
        str(len({row.file["network"] for row in rows})),
        str(len(files)),
        str(len(verified)),
        _number(_largest(_difference_of(row) for row in verified), "{:.0e}"),
        f"{_median([r.ours.lines for r in files if r.ours and r.ours.lines])} "
        f"({_median([r.pnnx.lines for r in files if r.pnnx and r.pnnx.lines])})",
        f"{_median([a / b for a, b, _ in both], '{:.2f}')} "
        f"({_median([a / c for a, _, c in both], '{:.2f}')})",
        _same([row.volunet for row in files], files),
        _same([row.onnx2torch for row in files], files),
        _same([row.pnnx for row in files], files),
    ]


def _same(results: Sequence[PeerResult | None], rows: Sequence[Row]) -> str:
    here = sum(_is_same(r.difference) for r in results if r)
    elsewhere = sum(_is_same(r.elsewhere) for r in results if r)
    return f"{here} ({elsewhere} of {sum(row.file['sizes'] == 'any' for row in rows)})"


def _networks(rows: Sequence[Row]) -> str:
    """A network a line, the worst of its variants."""
    header = ["network", "verified", "largest difference", "lines", "classes", "layers",
              "in repeated blocks", "s", "onnx2torch: same answer, children",
              "pnnx: same answer, lines"]  # fmt: skip
    lines = []
    for name in dict.fromkeys(row.file["network"] for row in rows):
        of = [row for row in rows if row.file["network"] == name and row.ours]
        ours = [row.ours for row in of if row.ours]
        children = [r.onnx2torch.children for r in of if r.onnx2torch]
        lines.append([
            name,
            f"{sum(one.verified for one in ours)} of {len(ours)}",
            _number(_largest(map(_difference_of, of)), "{:.0e}"),
            _number(_largest(one.lines for one in ours)),
            _number(_largest(one.report.get("classes") for one in ours)),
            _number(_largest(one.report.get("layers") for one in ours)),
            _number(_smallest(one.share for one in ours), "{:.0%}"),
            _number(_largest(one.seconds for one in ours), "{:.1f}"),
            f"{sum(_is_same(r.onnx2torch.difference) for r in of if r.onnx2torch)} of {len(of)}, "
            + _number(_largest(children)),
            f"{sum(_is_same(r.pnnx.difference) for r in of if r.pnnx)} of {len(of)}, "
            + _number(_largest(r.pnnx.lines for r in of if r.pnnx)),
        ])  # fmt: skip
    table = markdown_table(header, lines)
    note = "The worst of its files: both exporters, with names and without."
    return f"## By network\n\n{note}\n\n{table}"


def _files(rows: Sequence[Row]) -> str:
    header = ["network", "exporter", "opset", "mode", "sizes", "volunet", "difference",
              "its source", "lines", "classes", "in repeated blocks", "s", "onnx2torch",
              "children", "pnnx", "lines (class)"]  # fmt: skip
    lines = []
    for row in rows:
        file, ours, mine, one, two = row.file, row.ours, row.volunet, row.onnx2torch, row.pnnx
        start = [file["network"], row.variant, str(file["opset"]), file["mode"], file["sizes"]]
        if not (ours and mine and one and two):
            lines.append([*start, "no file", *[""] * (len(header) - len(start) - 1)])
            continue
        lines.append([
            *start, ours.status, _number(_difference_of(row), "{:.0e}"),
            _peer_word(mine) if ours.lines else "none", _number(ours.lines),
            _number(ours.report.get("classes")), _number(ours.share, "{:.0%}"),
            f"{ours.seconds:.1f}", _peer_word(one), _number(one.children), _peer_word(two),
            f"{_number(two.lines)} ({_number(two.model_lines)})",
        ])  # fmt: skip
    return (
        f"## By file\n\n{markdown_table(header, lines)}\n\n"
        "Sizes: what the file itself answers at another size than the export's: as its network "
        "(any), otherwise or not at all (own), or it leaves no axis open (fixed). Its source: run "
        "and compared as the peers' modules are."
    )


def _peer_word(result: PeerResult) -> str:
    if result.difference is None:
        return "does not convert" if not result.loads else "does not run"
    if not _is_same(result.difference):
        return f"differs, {result.difference:.0e}"
    if result.elsewhere is not None and not _is_same(result.elsewhere):
        return f"same; differs at another size, {result.elsewhere:.0e}"
    return f"same{'; not at another size' if result.reason else ''}"


def _doubt(result: PeerResult) -> str:
    """What is wrong with a source that volunet verified; "" where nothing is."""
    if result.reason:
        return result.reason
    found = [d for d in (result.difference, result.elsewhere) if d is not None]
    return "" if found and all(map(_is_same, found)) else f"differs: {found}"


def _reasons(rows: Sequence[Row]) -> str:
    """Everything that went wrong, with the files that it happened to."""
    happened: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        name = f"{row.file['network']} ({row.variant})"
        said = {"not exported": row.file["missing"]}
        if row.ours:
            told = f"{row.ours.status}: {row.ours.reason}"
            said["volunet"] = "" if row.ours.verified else told
        if row.volunet and row.ours and row.ours.verified:
            said["volunet's source, run as the peers'"] = _doubt(row.volunet)
        said["onnx2torch"] = row.onnx2torch.reason if row.onnx2torch else ""
        said["pnnx"] = row.pnnx.reason if row.pnnx else ""
        for who, reason in said.items():
            if reason:
                happened.setdefault(who, {}).setdefault(reason, []).append(name)
    texts = []
    for who, reasons in happened.items():
        ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
        items = [f"- {len(n)} × {_code(reason)}: {', '.join(n)}" for reason, n in ordered]
        texts.append(f"### {who}\n\n" + "\n".join(items))
    return "## What went wrong\n\n" + ("\n\n".join(texts) or "Nothing.")


# Part 2


def _large_part(limit_seconds: float) -> str:
    header = ["exporter", "MB", "status", "s", "peak MB", "lines", "difference"]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for exporter in ("legacy", "dynamo"):
            path = Path(name) / f"{exporter}.onnx"
            output = path.with_suffix(".py")
            subprocess.run([sys.executable, "-c", _EXPORT, exporter, str(path)], check=True,
                           cwd=ROOT)  # fmt: skip
            done, seconds, peak = _run(_reverse_command(path, output), limit_seconds)
            report = output.with_suffix(".json")
            told = _read_report(json.loads(report.read_text())) if report.is_file() else {}
            status = "time" if done is None else STATUS.get(done[0], f"status {done[0]}")
            difference = _number(told.get("max_difference"), "{:.0e}")
            size = f"{path.stat().st_size / 1e6:.0f}"
            lines = count_lines(output.read_text(encoding="utf-8")) if output.is_file() else None
            rows.append([exporter, size, status, f"{seconds:.1f}", f"{peak / 1e6:.0f}",
                         _number(lines), difference])  # fmt: skip
    return (
        "## A large file\n\nThe notes' network with "
        f"{', '.join(map(str, LARGE))} channels, its three axes open.\n\n"
        f"{markdown_table(header, rows)}\n\n"
        "Peak: the sum of the resident sets of the process and its children; pages that they share "
        "are counted in each."
    )


_EXPORT = f"""
import sys
from pathlib import Path
import torch
from benchmarks.reverse.corpus import export_network
from volunet.nets import build_network, notes_plan
torch.manual_seed(0)
network = build_network(notes_plan(1, 2, {LARGE}))
export_network(
    network, (torch.zeros(1, 1, 32, 48, 64),), Path(sys.argv[2]), exporter=sys.argv[1],
    opset=18 if sys.argv[1] == "dynamo" else 17, axes=(2, 3, 4),
)
"""
"""In a process of its own: this one stays small, and PyTorch's memory is returned."""


# Numbers


def _difference_of(row: Row) -> float | None:
    return row.ours.report.get("max_difference") if row.ours else None


def _is_same(difference: float | None) -> bool:
    return difference is not None and difference <= TOLERANCE


def _largest(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.nan if any(map(math.isnan, known)) else max(known, default=None)


def _smallest(values: Iterable[float | None]) -> float | None:
    return min((v for v in values if v is not None), default=None)


def _median(values: Sequence[float], text: str = "{:g}") -> str:
    return text.format(statistics.median(values)) if values else "–"


def _number(value: float | None, text: str = "{:g}") -> str:
    return "–" if value is None else text.format(value)


def _code(text: str) -> str:
    return "`" + text.replace("`", "'").replace("|", "/") + "`"


if __name__ == "__main__":
    main()
