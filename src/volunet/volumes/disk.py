"""What is said where a place cannot be written to, or has no room."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from volunet.errors import OutputError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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


def check_room(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what will not fit on the disk.

    Raises:
        OutputError: Fewer bytes are free where `folder` lies than are needed.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise OutputError(
            folder,
            f"the disk has {free:,} bytes free",
            f"{needed_bytes:,} bytes must fit there.",
            "Free some space, or choose another folder.",
        )
