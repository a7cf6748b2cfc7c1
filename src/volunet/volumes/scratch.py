"""A folder for what is not a result yet, which even a killed process does not leave for good.

No handler runs after SIGKILL. So every such folder holds a lock that the system lets go of with
the process, and whoever makes the next folder in the same place removes those without an owner.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volunet.errors import OutputError
from volunet.volumes.disk import is_full, unwritable

_log = logging.getLogger(__name__)
_PREFIX = ".volunet-scratch-"
_LOCK = "lock"
_ATTEMPTS = 10


@contextmanager
def scratch_folder(
    parent: Path, written: Path | None = None, needed_bytes: int | None = None
) -> Iterator[Path]:
    """Give an empty folder for the length of a block.

    First it removes the folders in `parent` that killed processes left. A file system without
    locks (some network ones) works too, but what a killed process leaves there stays.

    Args:
        parent: Where to make it; made if it is missing.
        written: What is written by way of it, for messages; the folder itself where not given.
        needed_bytes: About how much will be written, for the message of a full disk.

    Yields:
        ``parent/.volunet-scratch-<pid>-<random>``, removed with its contents at the end of the
        block, whatever ends it.

    Raises:
        OutputError: The folder cannot be made, or the disk is full.

    Example:
        >>> import tempfile
        >>> with scratch_folder(Path(tempfile.mkdtemp())) as folder:
        ...     _ = (folder / "voxels").write_bytes(bytes(10))
        >>> folder.exists()
        False
    """
    written = written or parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        clear_scratch(parent)
        folder, lock = _make(parent)
    except OutputError:
        raise
    except OSError as error:
        raise unwritable(written, error, needed_bytes) from error
    try:
        yield folder
    except OSError as error:
        if is_full(error):
            raise unwritable(written, error, needed_bytes) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear_scratch(parent: Path, *, below: bool = False) -> None:
    """Remove the scratch folders whose processes were killed.

    Args:
        parent: Where they are.
        below: In the folders below it too.
    """
    pattern = f"{_PREFIX}*"
    for folder in list(parent.rglob(pattern) if below else parent.glob(pattern)):
        try:
            lock = _take(folder, only_if_locks_work=True)
        except OSError:  # no folder of ours to open, or gone in the meantime
            continue
        if lock is None:
            continue
        _log.info("%s: removed, the process that made it was killed", folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(parent: Path) -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        folder = parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
        try:
            lock = _take(folder)
        except FileNotFoundError:  # cleared by another process before it had a lock
            continue
        if lock is not None:
            return folder, lock
    raise OutputError(
        parent,
        f"other processes removed {_ATTEMPTS} new scratch folders in a row",
        "A scratch folder is left alone while its lock is held.",
        "Choose another folder.",
    )


def _take(folder: Path, only_if_locks_work: bool = False) -> int | None:
    """Lock a folder without waiting; None where somebody else has it."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:
        if only_if_locks_work:
            os.close(lock)
            return None
        return lock  # nobody else can lock it either, so that nobody will remove it
    if os.fstat(lock).st_nlink == 0:  # its remover was a moment earlier
        os.close(lock)
        return None
    return lock
