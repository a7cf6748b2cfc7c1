from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from volunet.errors import OutputError
from volunet.volumes import atomic_path, check_output_folder
from volunet.volumes.atomic import atomic_folder


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scan.nii.gz"
    with atomic_path(path) as place:
        assert (place.name, place.parent.parent) == ("scan.nii.gz", path.parent)
        assert place.parent.name.startswith(".")
        place.write_bytes(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"
    assert names_in(path.parent) == ["scan.nii.gz"]


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a") as place:
        place.write_bytes(b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as place:
            place.write_text("new")
            raise KeyError("fault of the caller")

    with pytest.raises(KeyError, match="fault of the caller"):
        fail()
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["scores.csv"]


def test_what_a_killed_process_leaves_the_next_clears(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from volunet.volumes.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as place:\n"
        "    place.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert not path.exists()
    assert [name[:17] for name in names_in(tmp_path)] == [".volunet-scratch-"]
    with atomic_path(tmp_path / "another.nii") as place:
        place.write_bytes(b"whole")
    assert names_in(tmp_path) == ["another.nii"]
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    (tmp_path / "another.nii").unlink()
    assert check_output_folder(tmp_path) == tmp_path


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_the_bytes(tmp_path: Path, number: int) -> None:
    path = tmp_path / "scan.nii"

    def fill_up() -> None:
        with atomic_path(path, needed_bytes=1_234_567) as place:
            place.write_bytes(b"half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(OutputError, match=r"(?s)scan.nii: cannot be written: .*1,234,567 bytes"):
        fill_up()
    assert names_in(tmp_path) == []


def test_other_faults_of_the_block_pass_through(tmp_path: Path) -> None:
    def read_what_is_missing() -> None:
        with atomic_path(tmp_path / "a.csv"):
            (tmp_path / "missing").read_bytes()

    with pytest.raises(FileNotFoundError, match="missing"):
        read_what_is_missing()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"), atomic_path(tmp_path):
        pass


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(OutputError, match=r"cannot be written: .*(exists|not a directory)"),
        atomic_path(tmp_path / "file" / "a.csv"),
    ):
        pass


def test_a_folder_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.zarr"
    with atomic_folder(path) as place:
        assert (place.parent.parent, list(place.iterdir())) == (path.parent, [])
        (place / "0").mkdir()
        (place / "0" / "chunk").write_bytes(b"abc")
        assert not path.exists()
    assert (path / "0" / "chunk").read_bytes() == b"abc"
    assert names_in(path.parent) == ["a.zarr"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "no space"), OutputError),
        (OSError(errno.EIO, "disk fault"), OSError),
        (KeyboardInterrupt("no more"), KeyboardInterrupt),
    ],
    ids=["full", "fault", "interrupt"],
)
def test_an_exception_leaves_no_folder(
    tmp_path: Path, error: BaseException, told: type[BaseException]
) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "a.zarr", 1234) as place:
            (place / "chunk").write_bytes(b"half")
            raise error

    with pytest.raises(told, match=r"no space|disk fault|no more") as caught:
        fail()
    assert type(caught.value) is told
    assert ("Up to 1,234 bytes" in str(caught.value)) == (told is OutputError)
    assert names_in(tmp_path) == []


def test_a_file_in_the_way_of_a_folder_to_fill(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(OutputError, match=r"cannot be written: .*(exists|not a directory)"),
        atomic_folder(tmp_path / "file" / "a.zarr"),
    ):
        pass


def test_output_folder_is_made_or_taken_when_empty(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert check_output_folder(path) == path
    assert path.is_dir()
    assert check_output_folder(path) == path


def test_output_folder_that_holds_something(tmp_path: Path) -> None:
    for name in ("run.json", "epoch.ckpt", "zz"):
        (tmp_path / name).write_text("x")
    with pytest.raises(OutputError, match="not empty: 3 entries, the first is epoch"):
        check_output_folder(tmp_path)


def test_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(OutputError, match="it is a file"):
        check_output_folder(tmp_path / "a")
    with pytest.raises(OutputError, match="cannot be written: not a directory"):
        check_output_folder(tmp_path / "a" / "b")
