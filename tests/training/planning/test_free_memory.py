"""What is free: the least of the machine's and of each control group's."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from volunet.training.planning import free_memory
from volunet.training.planning.free_memory import free_bytes

CPU = torch.device("cpu")
GB = 10**9


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with 8 GB free; writes its control groups' files, and says which is ours."""
    own = tmp_path / "own"
    monkeypatch.setattr(free_memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(free_memory, "_OWN_CGROUPS", own)
    monkeypatch.setattr(free_memory, "available_bytes", lambda: 8 * GB)

    def write(own_lines, groups):
        own.write_text(own_lines)
        for group, files in groups.items():
            folder = tmp_path / "cgroup" / group
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (folder / name).write_text(text)

    return write


def version_2(limit, current, inactive=0):
    return {
        "memory.max": f"{limit}\n",
        "memory.current": f"{current}\n",
        "memory.stat": f"anon 5\ninactive_file {inactive}\nactive_file 9\n",
    }


def test_without_control_groups(machine):
    assert free_bytes(CPU) == 8 * GB


@pytest.mark.parametrize(
    ("groups", "free"),
    [
        pytest.param({"a/b": version_2(3 * GB, GB)}, 2 * GB, id="own"),
        pytest.param({"a/b": version_2("max", GB), "a": version_2(4 * GB, GB)}, 3 * GB, id="above"),
        pytest.param({"": version_2(2 * GB, GB)}, GB, id="container"),
        pytest.param({"a/b": version_2(3 * GB, 2 * GB, GB)}, 2 * GB, id="cache"),
        pytest.param({"a/b": version_2(3 * GB, 4 * GB)}, 0, id="full"),
        pytest.param({"a/b": version_2(90 * GB, GB)}, 8 * GB, id="more than the machine"),
        pytest.param({"a/b": version_2("max", GB)}, 8 * GB, id="no limit"),
        pytest.param({"c": version_2(GB, 0)}, 8 * GB, id="not ours"),
    ],
)
def test_version_2(machine, groups, free):
    machine("0::/a/b\n", groups)
    assert free_bytes(CPU) == free


def test_version_1(machine):
    files = {
        "memory.limit_in_bytes": f"{3 * GB}",
        "memory.usage_in_bytes": f"{2 * GB}",
        "memory.stat": f"inactive_file 7\ntotal_inactive_file {GB // 2}\n",
    }
    machine("5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/\n", {"memory/a": files, "cpu/x": files})
    assert free_bytes(CPU) == 3 * GB // 2


def test_where_only_the_whole_is_known(monkeypatch, machine):
    monkeypatch.setattr(free_memory, "available_bytes", lambda: None)
    sizes = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert free_bytes(CPU) == 1000 * 4096 // 2
    sizes["SC_PHYS_PAGES"] = -1
    assert free_bytes(CPU) is None


def test_where_nothing_says(monkeypatch, machine):
    monkeypatch.setattr(free_memory, "available_bytes", lambda: None)
    monkeypatch.delattr(os, "sysconf")
    assert free_bytes(CPU) is None
    assert free_bytes(torch.device("meta")) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_on_this_machine():
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    assert 10**7 < free_bytes(CPU) < pages * page


def test_cuda(monkeypatch):
    # As no GPU is here: the driver's free memory, and what PyTorch has reserved and not given out.
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (3 * GB, 8 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 2 * GB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: GB)
    assert free_bytes(torch.device("cuda")) == 4 * GB
