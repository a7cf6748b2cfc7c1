"""`predict --memory` and `--windows`: the plan before the work, and nothing left when it fails."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import onnx
import pytest

from volunet.inference import streamed
from volunet.inference.streaming.execution import Execution
from volunet.volumes import read_volume

SIZE = (20, 14, 12)  # i, j, k
AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])


def voxels(seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(50, 150, SIZE).astype(np.float32)


def write(file: Path, array: Any = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels() if array is None else array, AFFINE), file)
    return file


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write(tmp_path / "case_07.nii.gz")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def predict(volunet: Callable[..., Any], tiny_onnx: Path, out: Path) -> Callable[..., Any]:
    """`volunet predict` with the tiny model, streamed."""

    def run(*words: str | Path, model: Path = tiny_onnx, mode: str = "streamed") -> Any:
        return volunet("predict", model, *words, "-o", out, "--threads", "1", "--mode", mode)

    return run


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


PLAN = (
    r"^case_07: 12×14×20 streamed along W, \d slices at a time(; computed twice: .*)?; "
    r"predicted peak \d\.\d\d GB"
)


def test_the_plan_stands_before_the_answer(
    predict: Callable[..., Any],
    scan: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    run = Execution.run

    def looking(*arguments: Any) -> None:
        captured = capsys.readouterr()
        said.append(captured.out)
        run(*arguments)

    monkeypatch.setattr(Execution, "run", looking)
    ended = predict(scan, "--memory", "64GB")
    assert ended.status == 0, ended.err
    assert re.match(PLAN + r" of 64\.00 GB\n$", said[0])
    assert ended.out == f"{out}: 1 written.\n"
    assert names(out) == ["case_07.nii.gz"]
    assert read_volume(out / "case_07.nii.gz").shape == SIZE[::-1]


def test_whole_and_streamed_write_the_same_file(
    predict: Callable[..., Any], scan: Path, out: Path
) -> None:
    files = []
    for mode in ("whole", "streamed"):
        ended = predict(scan, mode=mode)
        assert ended.status == 0, ended.err
        assert ("in one whole pass" in ended.out) == (mode == "whole")
        files.append(gzip.decompress((out / "case_07.nii.gz").read_bytes()))
        (out / "case_07.nii.gz").unlink()
    assert files[0] == files[1]
    assert len(set(files[0][352:])) > 2


def test_nothing_is_said_of_a_plan_that_nobody_asked_for(
    predict: Callable[..., Any], scan: Path, out: Path
) -> None:
    ended = predict(scan, mode="auto")
    assert (ended.status, ended.out) == (0, f"{out}: 1 written.\n")
    (out / "case_07.nii.gz").unlink()
    ended = predict(scan, "--memory", "64GB", mode="auto")
    # How much depends on what the tests' own process holds.
    told = r"case_07: 12×14×20 in one whole pass; predicted peak \d+\.\d\d GB of 64\.00 GB\n"
    assert re.match(told, ended.out)


@pytest.mark.parametrize("text", ["4", "lots", "-1GB", "0GB", "4 G", "GB", ""])
def test_a_memory_that_is_none(
    text: str, predict: Callable[..., Any], scan: Path, out: Path
) -> None:
    status, _, err = predict(scan, f"--memory={text}")
    assert status == 2
    assert err == (
        f"--memory: {text!r}.\nA number above 0 with a unit: MB, GB (powers of 1000) or MiB, GiB "
        "(of 1024).\nFor instance 4GB.\n"
    )
    assert not out.exists()


def test_a_budget_that_nothing_fits(predict: Callable[..., Any], scan: Path, out: Path) -> None:
    status, _, err = predict(scan, "--memory", "1MB", mode="auto")
    assert status == 2
    found = re.search(r"tiny\)?: a budget of 1 MB\.\nThe smallest .*\nGive --memory (\d+)MB", err)
    assert found is not None, err
    assert names(out) == []
    # In a process of its own the same number holds; here the tests have grown this one.
    ended = predict(scan, "--memory", f"{int(found[1]) + 50}MB", mode="auto")
    assert ended.status == 0, ended.err


def test_an_unknown_mode(predict: Callable[..., Any], scan: Path) -> None:
    status, _, err = predict(scan, mode="fast")
    assert (status, "Invalid value for '--mode': " in err) == (2, True)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def spoil(value: float) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        array = voxels()
        array[11:13, 5, 5] = value
        write(file, array)

    return change


@pytest.mark.parametrize(
    ("ending", "damage", "message"),
    [
        ("nii.gz", flip, r"(the gzip stream|checksum|damaged|CRC)"),
        ("nii.gz", cut, r"the gzip stream ends early"),
        ("nii", cut, r"the file ends early"),
        ("nii.gz", spoil(np.nan), r"2 voxels are NaN and 0 infinite, of 3,360\.\nEvery voxel is"),
        ("nii", spoil(np.inf), r"0 voxels are NaN and 2 infinite, of 3,360\.\nEvery voxel is"),
    ],
    ids=["flipped", "cut", "cut plain", "NaN", "infinite"],
)
def test_a_damaged_scan(
    ending: str,
    damage: Callable[[Path], None],
    message: str,
    predict: Callable[..., Any],
    tmp_path: Path,
    out: Path,
) -> None:
    file = write(tmp_path / "in" / f"bad.{ending}")
    damage(file)
    status, _, err = predict(file)
    assert status == 2, err
    assert re.search(rf"/bad\.{re.escape(ending)}: .*{message}", err), err
    assert "Traceback" not in err
    assert names(out) == []
    # Beside a good one it stops nothing.
    write(tmp_path / "in" / "good.nii.gz")
    status, _, err = predict(tmp_path / "in")
    assert (status, names(out)) == (2, ["good.nii.gz"]), err
    kept = (out / "good.nii.gz").stat().st_mtime_ns
    write(file)
    ended = predict(tmp_path / "in", "--resume")
    assert ended.status == 0, ended.err
    assert ended.out.endswith("2 written.\n")
    assert names(out) == ["bad.nii.gz", "good.nii.gz"]
    assert (out / "good.nii.gz").stat().st_mtime_ns == kept


@pytest.mark.parametrize("ending", ["nii.gz", "nii"])
def test_a_disk_that_fills(
    ending: str,
    predict: Callable[..., Any],
    tmp_path: Path,
    out: Path,
    files_of_at_most: Callable[[int], Any],
) -> None:
    # Laid out anew the scan has 13 kB, the label map before it is packed 7 kB.
    file = write(tmp_path / f"case_07.{ending}")
    for num_bytes in (10_000, 5_000):
        with files_of_at_most(num_bytes):
            status, _, err = predict(file)
        assert status == 2, err
        assert re.search(r": cannot be written: file too large\.\n.*must fit there\.\nFree", err)
        assert names(out) == []
    ended = predict(file)
    assert (ended.status, names(out)) == (0, ["case_07.nii.gz"]), ended.err


class Interrupting:
    """An engine that is interrupted in the middle."""

    def __init__(self, part: Any, out: Path) -> None:
        self.part = part
        self.out = out
        self.runs = 0
        self.seen: list[str] = []

    def run(self, inputs: Any, outputs: Any) -> None:
        self.runs += 1
        if self.runs == 3:
            (scratch,) = self.out.iterdir()
            self.seen += [scratch.name, *names(scratch)]
            raise KeyboardInterrupt
        self.part.run(inputs, outputs)


def test_an_interruption_leaves_nothing(
    predict: Callable[..., Any], scan: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Interrupting] = []
    open_part = streamed.open_part

    def opening(*arguments: Any, **options: Any) -> Interrupting:
        opened.append(Interrupting(open_part(*arguments, **options), out))
        return opened[-1]

    with monkeypatch.context() as patched:
        patched.setattr(streamed, "open_part", opening)
        status, _, err = predict(scan)
    assert status == 130
    assert err.endswith("Interrupted.\n")
    (seen,) = [part.seen for part in opened if part.seen]
    assert seen[0].startswith(".volunet-scratch-")
    assert len([name for name in seen if name.endswith(".raw")]) == 2  # the scan, the answer
    assert names(out) == []
    ended = predict(scan)
    assert (ended.status, names(out)) == (0, ["case_07.nii.gz"]), ended.err


SLOW = """
import sys, time
from volunet.cli.main import main
from volunet.inference import streamed
from volunet.inference.streaming.execution import Execution

def forever(self, slabs, sink, progress=None):
    print("running", flush=True)
    time.sleep(120)

Execution.run = forever
main(sys.argv[1:])
"""


def test_what_a_killed_process_leaves_the_next_clears(
    predict: Callable[..., Any], scan: Path, out: Path, tiny_onnx: Path
) -> None:
    words = ["predict", tiny_onnx, scan, "-o", out, "--threads", "1", "--mode", "streamed"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, words)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = ""
        try:
            while line != "running\n":
                line = process.stdout.readline()
                assert line, "it ended by itself"
            time.sleep(0.05)
            # While it lives, its folder is another's, and not to be touched.
            status, _, err = predict(scan)
            assert status == 2
            assert "the folder is not empty: 1 entry, the first is .volunet-scratch-" in err
        finally:
            os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (left,) = out.iterdir()
    assert left.name.startswith(f".volunet-scratch-{process.pid}-")
    assert sum(file.stat().st_size for file in left.rglob("*")) >= 4 * np.prod(SIZE)
    ended = predict(scan)
    assert ended.status == 0, ended.err
    assert names(out) == ["case_07.nii.gz"]


def test_resuming_after_a_kill(predict: Callable[..., Any], tmp_path: Path, out: Path) -> None:
    for number in range(2):
        write(tmp_path / "in" / f"case_{number}.nii.gz", voxels(number))
    assert predict(tmp_path / "in" / "case_0.nii.gz").status == 0
    first = (out / "case_0.nii.gz").read_bytes()
    left = out / ".volunet-scratch-1-0123abcd"
    left.mkdir()
    (left / "lock").touch()
    (left / "half.raw").write_bytes(bytes(1000))
    ended = predict(tmp_path / "in", "--resume")
    assert (ended.status, ended.out.count("streamed along")) == (0, 1), ended.err
    assert names(out) == ["case_0.nii.gz", "case_1.nii.gz"]
    assert (out / "case_0.nii.gz").read_bytes() == first


def test_windows(predict: Callable[..., Any], scan: Path, out: Path) -> None:
    ended = predict(scan, "--windows", "--window-size", "8x16x8", mode="auto")
    assert (ended.status, ended.out) == (0, f"{out}: 1 written.\n"), ended.err
    labels = read_volume(out / "case_07.nii.gz").array
    assert (labels.shape, labels.dtype) == ((1, *SIZE[::-1]), np.uint16)
    assert len(np.unique(labels)) > 1


@pytest.mark.parametrize("size", [(), ("--window-size", "8x16x8")], ids=["the patches'", "given"])
def test_comparing_windows_with_the_exact_pass(
    size: tuple[str, ...], predict: Callable[..., Any], scan: Path, out: Path
) -> None:
    ended = predict(scan, "--windows", "--compare", *size, mode="auto")
    assert ended.status == 0, ended.err
    found = re.match(
        r"case_07: Dice of windows and exact pass: hip (0\.\d{4}|1\.0000|absent), "
        r"femur (0\.\d{4}|1\.0000|absent)\n",
        ended.out,
    )
    assert found is not None, ended.out
    windows = read_volume(out / "case_07.nii.gz").array
    (out / "case_07.nii.gz").unlink()
    assert predict(scan).status == 0
    exact = read_volume(out / "case_07.nii.gz").array
    for value, printed in zip((5, 300), found.groups(), strict=True):
        a, b = windows == value, exact == value
        dice = 2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else None
        assert printed == ("absent" if dice is None else f"{dice:.4f}")


def test_one_window_of_all_is_the_exact_pass(predict: Callable[..., Any], scan: Path) -> None:
    # In a single window of the scan's size nothing is blended.
    ended = predict(scan, "--windows", "--compare", "--window-size", "12x14x20", mode="auto")
    assert "hip 1.0000, femur 1.0000\n" in ended.out, ended.err


def test_probabilities_are_not_compared(predict: Callable[..., Any], scan: Path, out: Path) -> None:
    status, _, err = predict(scan, "--windows", "--compare", "--probabilities", mode="auto")
    assert status == 2
    assert err.startswith("--compare: with --probabilities.\nTwo label maps are compared.\n")
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "mode"), [(("--memory", "4GB"), "auto"), ((), "streamed")], ids=["memory", "mode"]
)
def test_a_budget_is_of_the_exact_pass(
    words: tuple[str, ...], mode: str, predict: Callable[..., Any], scan: Path, out: Path
) -> None:
    status, _, err = predict(scan, "--windows", *words, mode=mode)
    assert status == 2
    assert err.startswith("--windows: with --memory or --mode.\nWindows hold all scores of the ")
    assert not out.exists()
    ended = predict(scan, "--windows", "--compare", "--memory", "64GB", mode="streamed")
    assert ended.status == 0, ended.err
    assert re.search(r"peak \d\.\d\d GB of 64\.00 GB\ncase_07: Dice of windows", ended.out)


@pytest.mark.parametrize(
    ("words", "flag"),
    [(("--compare",), "--compare"), (("--window-size", "8"), "--window-size")],
)
def test_what_is_about_windows_needs_them(
    words: tuple[str, ...], flag: str, predict: Callable[..., Any], scan: Path, out: Path
) -> None:
    status, _, err = predict(scan, *words)
    assert status == 2
    assert err == (
        f"{flag}: without --windows.\nBoth are about the prediction in windows.\n"
        "Add --windows, or leave it out.\n"
    )
    assert not out.exists()


def test_a_foreign_model_has_no_size_of_its_own(
    predict: Callable[..., Any], scan: Path, tiny_onnx: Path, tmp_path: Path, out: Path
) -> None:
    model = onnx.load(tiny_onnx)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    words = (
        "--windows", "--spacing", "native", "--orientation", "RAS", "--normalisation", "none",
        "--classes", "background,hip,femur",
    )  # fmt: skip
    foreign = tmp_path / "foreign.onnx"
    status, _, err = predict(scan, *words, model=foreign, mode="auto")
    assert status == 2
    assert err.startswith("--windows: no --window-size, and the model says none.\n")
    assert not out.exists() or names(out) == []
    ended = predict(scan, *words, "--window-size", "8", model=foreign, mode="auto")
    assert (ended.status, names(out)) == (0, ["case_07.nii.gz"]), ended.err


def test_windows_of_a_model_that_answers_labels(
    predict: Callable[..., Any], scan: Path, labels_onnx: Path, out: Path
) -> None:
    status, _, err = predict(scan, "--windows", model=labels_onnx, mode="auto")
    assert (status, "labels cannot be blended" in err) == (2, True)
    assert not out.exists()
