"""The stack on which a thread handles signals, kept as it is by what would exchange it.

OpenVINO's CPU plugin gives the thread that loads it a signal stack of its own, 8 kB more than the
kernel needs for one signal's frame, whatever stack there was. Python's handlers run on it. Two
signals at a time, such as the ends of two of a training's workers, overflow it with AVX-512, whose
registers alone take 2.7 kB of each frame: the process ends in a segmentation fault.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _SignalStack(ctypes.Structure):
    """``stack_t`` of glibc and musl."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Give the thread back the signal stack that it had, or none; a Linux matter.

    Source:
        sigaltstack(2); `SigAltStackSetup` of OpenVINO's CPU plugin.
    """
    if sys.platform != "linux":
        yield
        return
    sigaltstack = ctypes.CDLL(None).sigaltstack
    before = _SignalStack()
    sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        sigaltstack(ctypes.byref(before), None)
