from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from volunet.errors import OutputError
from volunet.volumes import scratch
from volunet.volumes.disk import check_room
from volunet.volumes.scratch import clear_scratch, scratch_folder

HOLD = (
    "import sys\nfrom pathlib import Path\n"
    "from volunet.volumes.scratch import scratch_folder\n"
    "with scratch_folder(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'voxels').write_bytes(bytes(1000))\n"
    "    print(folder.name, flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a scratch folder in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_it_is_an_empty_folder_of_this_process_and_goes(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new") as folder:
        assert folder.parent == tmp_path / "new"
        assert folder.name.startswith(f".volunet-scratch-{os.getpid()}-")
        (folder / "a").mkdir()
        (folder / "a" / "voxels").write_bytes(b"x")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("error", [KeyError("a"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_it_goes_whatever_ends_the_block(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path) as folder:
            (folder / "voxels").write_bytes(b"x")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_by_the_next(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    left = tmp_path / name_of(other)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (left / "voxels").stat().st_size == 1000
    with scratch_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_the_folder_of_a_living_process_is_kept(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    living = tmp_path / name_of(other)
    with scratch_folder(tmp_path) as folder, scratch_folder(tmp_path) as second:
        assert {living, folder, second} == set(tmp_path.iterdir())
        assert (living / "voxels").stat().st_size == 1000
    assert list(tmp_path.iterdir()) == [living]
    other.communicate("")
    assert (other.returncode, list(tmp_path.iterdir())) == (0, [])


def test_nothing_else_is_cleared(tmp_path: Path) -> None:
    names = [".partial-0123abcd-a.nii", "scan.nii", ".volunet-scratch-file"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with scratch_folder(tmp_path):
        pass
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(names)


def test_a_folder_killed_before_it_had_a_lock_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".volunet-scratch-1-00000000").mkdir()
    with scratch_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_without_locks_nothing_of_others_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with scratch_folder(tmp_path) as first, scratch_folder(tmp_path) as second:
        assert {first, second} == set(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_that_another_removes_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_take, lost = scratch._take, []

    def take(folder: Path, only_if_locks_work: bool = False) -> int | None:
        if len(lost) < 3:
            lost.append(folder)
            shutil.rmtree(folder)
        return true_take(folder, only_if_locks_work)

    monkeypatch.setattr(scratch, "_take", take)
    with scratch_folder(tmp_path) as folder:
        assert folder not in lost
        assert list(tmp_path.iterdir()) == [folder]
    lost.clear()
    monkeypatch.setattr(scratch, "_ATTEMPTS", 3)
    with (
        pytest.raises(OutputError, match="removed 3 new scratch folders in a row"),
        scratch_folder(tmp_path),
    ):
        pass


def test_a_lock_in_a_removed_folder_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_flock = fcntl.flock

    def flock(file: int, operation: int) -> None:
        true_flock(file, operation)
        (tmp_path / "lock").unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    assert scratch._take(tmp_path) is None


def test_a_full_disk_is_told_in_four_parts(
    tmp_path: Path, files_of_at_most: Callable[[int], AbstractContextManager[None]]
) -> None:
    def fill_up() -> None:
        with scratch_folder(tmp_path) as folder, files_of_at_most(100):
            (folder / "voxels").write_bytes(bytes(200))

    with pytest.raises(
        OutputError, match=r"(?s)cannot be written: file too large.*Free some space"
    ):
        fill_up()
    assert list(tmp_path.iterdir()) == []


def test_other_faults_of_the_block_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"), scratch_folder(tmp_path) as folder:
        (folder / "missing").read_bytes()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(OutputError, match=r"cannot be written: (file exists|not a directory)"),
        scratch_folder(tmp_path / "file"),
    ):
        pass


def test_room_is_checked_before(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_room(tmp_path, free // 2)
    with pytest.raises(OutputError, match=r"has [\d,]+ bytes free\.\n1,000,000,000,000,000 bytes"):
        check_room(tmp_path, 10**15)


def test_folders_below_are_cleared_where_asked(tmp_path: Path) -> None:
    dead = tmp_path / "run" / "cache" / ".volunet-scratch-1-00000000"
    dead.mkdir(parents=True)
    (dead / "case.npz").write_bytes(b"half")
    clear_scratch(tmp_path / "run")
    assert dead.exists()
    clear_scratch(tmp_path / "run", below=True)
    assert list((tmp_path / "run").rglob("*")) == [tmp_path / "run" / "cache"]
    clear_scratch(tmp_path / "missing", below=True)
