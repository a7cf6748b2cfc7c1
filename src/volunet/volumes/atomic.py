"""Results appear whole or not at all.

Everything is written under a hidden name beside its final one and renamed at the end. A process
that is killed leaves at most a hidden file, never half a result that looks like one.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volunet.errors import OutputError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_path(path: Path, needed_bytes: int | None = None) -> Iterator[Path]:
    """Give a place to write to, and make it `path` when all is written.

    The place is a hidden file in the same folder with the same ending. It is on the disk (fsync)
    before it takes the final name, and it is removed where an exception comes out of the block.
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
    place = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    except OSError as error:
        raise unwritable(path, error, needed_bytes) from error
    try:
        yield place
        with place.open("r+b") as file:
            os.fsync(file.fileno())
        place.replace(path)
    except OSError as error:
        if is_full(error):
            raise unwritable(path, error, needed_bytes) from error
        raise
    finally:
        place.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, needed_bytes: int | None = None) -> Iterator[Path]:
    """Give a folder to fill, and make it `path` when all of it is on the disk.

    What `atomic_path` is for a file, for a result that is a folder of files (OME-Zarr).

    Args:
        path: The final name; nothing may be there.
        needed_bytes: About how much will be written, for the message of a full disk.

    Yields:
        An empty hidden folder beside it, removed where an exception comes out of the block.

    Raises:
        OutputError: The folder cannot be made or written to, or the disk is full.
    """
    place = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
    try:
        place.mkdir(parents=True)
    except OSError as error:
        raise unwritable(path, error, needed_bytes) from error
    try:
        yield place
        for entry in place.rglob("*"):
            if entry.is_file():
                with entry.open("r+b") as file:
                    os.fsync(file.fileno())
        place.rename(path)
    except OSError as error:
        if is_full(error):
            raise unwritable(path, error, needed_bytes) from error
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)


def check_output_folder(path: Path) -> Path:
    """Make a folder for results, or take an empty one.

    Returns:
        The folder.

    Raises:
        OutputError: It holds something already, is a file, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
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


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no room left: disk, quota or largest file."""
    return error.errno in _NO_ROOM


def unwritable(path: Path, error: OSError, needed_bytes: int | None) -> OutputError:
    """The error of a place that cannot be written to, with the bytes needed where it is full."""
    reason = (error.strerror or str(error)).lower()
    if not is_full(error):
        expected = "Results go where files can be made."
    elif needed_bytes is None:
        expected = "The whole file must fit there."
    else:
        expected = f"Up to {needed_bytes:,} bytes must fit there."
    return OutputError(
        path, f"cannot be written: {reason}", expected, "Free some space, or choose another folder."
    )
