"""How much memory this process can still take: what the machine has free, and what it is allowed.

In a container the machine's free memory is not the container's: its control group has a limit, at
which the system ends a process of the group.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import torch

from volunet.inference.streaming.process import available_bytes

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")

_UNSAID_SHARE: Final = 0.5
"""Share of the whole memory that is taken as free where the system says no more."""


def free_bytes(device: torch.device) -> int | None:
    """Bytes that this process can still take on a device.

    On the CPU the least of what Linux calls available and what each control group above the process
    has left; on another system half of the memory. On CUDA what the driver and PyTorch have free.

    Returns:
        Bytes; None where nothing says.
    """
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held
    if device.type != "cpu":
        return None
    known = [free for free in (available_bytes(), _cgroup_free_bytes()) if free is not None]
    return min(known) if known else _share_of_all()


def _cgroup_free_bytes() -> int | None:
    """The least that a control group of this process has left; None where none has a limit.

    A process is in one group of version 2, and of version 1 in one that is for memory. Limits of
    the groups above count as well. In a container these may be out of sight, and its own group is
    then the root.
    """
    if not _OWN_CGROUPS.is_file():
        return None
    left = []
    for line in _OWN_CGROUPS.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = _CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = _CGROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = root / path.strip("/")
        groups = [own, *own.parents[: len(own.parts) - len(root.parts)]]
        left += [free for group in groups if (free := _group_free(group, *names)) is not None]
    return min(left) if left else None


def _group_free(group: Path, limit: str, usage: str, cache: str) -> int | None:
    if not (group / limit).is_file() or not (group / usage).is_file():
        return None
    most = (group / limit).read_text(encoding="ascii").strip()
    if most == "max":
        return None
    used = int((group / usage).read_text(encoding="ascii"))
    statistics = group / "memory.stat"
    if statistics.is_file():
        for line in statistics.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == cache:
                # Pages of files that are not in use; the system drops them before it ends anyone.
                used -= int(value)
    return max(0, int(most) - used)


def _share_of_all() -> int | None:
    try:
        pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no such call or no such name on this system
        return None
    return int(_UNSAID_SHARE * pages * page) if pages > 0 and page > 0 else None
