"""Results appear whole or not at all.

Everything is written in a hidden folder beside its final place and moved there at the end. A
process that is killed leaves at most that folder, never half a result that looks like one, and the
next that writes beside it removes it (`volunet.volumes.scratch`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volunet.errors import OutputError
from volunet.volumes.disk import unwritable
from volunet.volumes.scratch import clear_scratch, scratch_folder


@contextmanager
def atomic_path(path: Path, needed_bytes: int | None = None) -> Iterator[Path]:
    """Give a place to write to, and make it `path` when all is written.

    The place has the same name, in a hidden folder beside it. What is there is on the disk (fsync)
    before it goes to its final place, and is removed where an exception comes out of the block.
    Missing folders above it are made; an existing file is replaced.

    Args:
        path: The final name.
        needed_bytes: About how much will be written, for the message of a full disk.

    Yields:
        The place to write to.

    Raises:
        OutputError: The folder cannot be made or written to, `path` is a folder, or the disk is
            full.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scores.csv"
        >>> with atomic_path(path) as place:
        ...     _ = place.write_text("case,dice")
        >>> path.read_text()
        'case,dice'
    """
    if path.is_dir():
        raise OutputError(
            path, "it is a folder", "A file goes there.", "Give the name of a file in it."
        )
    with scratch_folder(path.parent, path, needed_bytes) as folder:
        place = folder / path.name
        place.touch()
        yield place
        _onto_the_disk(place)
        place.replace(path)


@contextmanager
def atomic_folder(path: Path, needed_bytes: int | None = None) -> Iterator[Path]:
    """Give a folder to fill, and make it `path` when all of it is on the disk.

    What `atomic_path` is for a file, for a result that is a folder of files (OME-Zarr).

    Args:
        path: The final name; nothing may be there.
        needed_bytes: About how much will be written, for the message of a full disk.

    Yields:
        An empty folder in a hidden one beside it, removed where an exception comes out of the
        block.

    Raises:
        OutputError: The folder cannot be made or written to, or the disk is full.
    """
    with scratch_folder(path.parent, path, needed_bytes) as folder:
        place = folder / path.name
        place.mkdir()
        yield place
        for entry in place.rglob("*"):
            if entry.is_file():
                _onto_the_disk(entry)
        place.rename(path)


def _onto_the_disk(file: Path) -> None:
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())


def check_output_folder(path: Path) -> Path:
    """Make a folder for results, or take an empty one; what killed processes left there goes.

    Returns:
        The folder.

    Raises:
        OutputError: It holds something already, is a file, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        clear_scratch(path)
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        if path.is_file():
            raise OutputError(
                path,
                "it is a file",
                "Results go into a folder that is new or empty.",
                "Give another name.",
            ) from error
        raise unwritable(path, error, None) from error
    if names:
        entries = "1 entry" if len(names) == 1 else f"{len(names)} entries"
        raise OutputError(
            path,
            f"the folder is not empty: {entries}, the first is {names[0]}",
            "Results go into a folder that is new or empty, so that nothing is overwritten.",
            "Give another folder, or empty this one.",
        )
    return path
