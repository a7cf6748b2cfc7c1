"""A thread keeps its signal stack, whatever an engine loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STACKS = """
import ctypes, faulthandler, sys
import numpy as np
import onnx_ir as ir
import openvino as ov
from volunet.inference.engines.openvino_engine import make_engine, make_static
from volunet.inference.engines.signal_stack import _SignalStack

def stack():
    found = _SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.address, found.size

file, kind, enable = sys.argv[1:]
if enable == "with":
    faulthandler.enable()
before = stack()
x = np.zeros((1, 1, 8, 8, 8), np.float32)
if kind == "engine":
    make_engine(file, 1).run(x)
elif kind == "static":
    model = ir.load(file)
    model.graph.inputs[0].shape = ir.Shape(x.shape)
    make_static(model, 1)
else:
    core = ov.Core()
    compiled = core.compile_model(file, "CPU")
print(stack() == before)
"""


def stays(file: Path, kind: str, enabled: str) -> str:
    words = [sys.executable, "-c", STACKS, str(file), kind, enabled]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks are exchanged on Linux alone")
@pytest.mark.parametrize("enabled", ["with", "without"])
@pytest.mark.parametrize("kind", ["engine", "static"])
def test_openvino_leaves_the_signal_stack(tiny_onnx: Path, kind: str, enabled: str) -> None:
    assert stays(tiny_onnx, kind, enabled) == "True"


@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks are exchanged on Linux alone")
def test_openvino_by_itself_exchanges_it(tiny_onnx: Path) -> None:
    """Once it does not, `kept_signal_stack` can go."""
    assert stays(tiny_onnx, "bare", "with") == "False"
