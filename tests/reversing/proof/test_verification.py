"""Written source is proven right, or what is wrong with it is said; and it cannot do harm."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from volunet.reversing.proof import verification
from volunet.reversing.proof.verification import Comparison, Verification, can_verify, verify

pytest.importorskip("torch", reason="needs the extra 'train'")
safetensors = pytest.importorskip("safetensors.numpy", reason="needs the extra 'train'")

SHAPES = [{"x": (1, 1, 5, 6)}, {"x": (2, 1, 7, 4)}, {"x": (1, 1, 3, 9)}]
LAYERS = {"first": "a", "second": "b"}

HEAD = """
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
"""

BODY = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))
"""

LOAD = """
def load(path=Path(__file__).with_suffix(".safetensors")):
    net = Net()
    net.load_state_dict(load_file(path), strict=True)
    return net.eval()
"""

Files = tuple[Path, Path, Path]


def conv_weights(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {
        "first.weight": (4, 1, 3, 3),
        "first.bias": (4,),
        "second.weight": (2, 4, 1, 1),
        "second.bias": (2,),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def conv_nodes(output: str = "b") -> list[onnx.NodeProto]:
    first = ["x", "first.weight", "first.bias"]
    return [
        helper.make_node("Conv", first, ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "second.weight", "second.bias"], [output]),
    ]


def make_onnx(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, Any],
    inputs: dict[str, int] | None = None,
    outputs: Sequence[str] = ("b",),
    axes: Sequence[Any] = ("n", 1, "h", "w"),
    whole: Sequence[str] = (),
    **keys: Any,
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [
            helper.make_tensor_value_info(name, kind, list(axes))
            for name, kind in (inputs or {"x": TensorProto.FLOAT}).items()
        ],
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name in whole else TensorProto.FLOAT, None
            )
            for name in outputs
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path, **keys)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Files]:
    """Write the source of a network, its weights, and an ONNX file of two convolutions."""

    def make(
        body: str = BODY, weights: dict[str, Any] | None = None, model: Path | None = None
    ) -> Files:
        source = tmp_path / "net.py"
        source.write_text(HEAD + textwrap.dedent(body) + LOAD)
        file = tmp_path / "net.safetensors"
        safetensors.save_file(conv_weights() if weights is None else weights, file)
        if model is None:
            model = make_onnx(tmp_path / "net.onnx", conv_nodes(), conv_weights())
        return source, file, model

    return make


def test_equal_networks_pass_with_numbers(write: Callable[..., Files]) -> None:
    """Also where the source prints, and without a trace in its folder."""
    talking = BODY.replace("return", "print('{}', flush=True); import os; os.write(1, b'[')\n"
                           "        return")  # fmt: skip
    files = write("print('hello')" + talking)
    before = sorted(path.name for path in files[0].parent.iterdir())
    found = verify(*files, SHAPES, layers=LAYERS)
    assert found.failure is None
    assert (found.passed, found.layer, found.differs) == (True, None, None)
    assert [one.shapes for one in found.comparisons] == SHAPES
    assert all(one.difference < 1e-5 < 1 < one.scale < 100 for one in found.comparisons)
    assert found.largest == max(one.difference / one.scale for one in found.comparisons)
    assert found.tolerance == 1e-5
    assert sorted(path.name for path in files[0].parent.iterdir()) == before


@pytest.mark.parametrize("layer", ["first", "second"])
def test_a_wrong_weight_fails_at_its_layer(write: Callable[..., Files], layer: str) -> None:
    weights = conv_weights()
    weights[f"{layer}.weight"][0, 0, 0, 0] += 0.001
    found = verify(*write(weights=weights), SHAPES, layers=LAYERS)
    assert not found.passed
    assert found.failure is None
    assert found.layer == layer
    assert 1e-5 < found.largest < 1e-2
    assert found.differs is not None
    assert f"first layer that differs is {layer} (tensor '{LAYERS[layer]}'): by 0.00" in (
        found.differs
    )
    assert len(found.comparisons) == 3


def test_a_difference_behind_the_layers_is_told_as_such(write: Callable[..., Files]) -> None:
    body = BODY.replace("return self.second(torch.relu(self.first(x)))",
                        "return self.second(torch.relu(self.first(x))) * 1.001")  # fmt: skip
    found = verify(*write(body), SHAPES, layers=LAYERS)
    assert not found.passed
    assert found.layer is None
    assert (
        found.differs == "all 2 layers with weights agree; what differs is between or behind them"
    )


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ("[..., 1:]", "output 'b': shape 1×2×5×5 in the source, 1×2×5×6 in the file"),
        (".double()", "output 'b': float64 in the source, float32 in the file"),
        (" / 0", "output 'b': NaN or infinite in only one of the two"),
    ],
    ids=["shape", "type", "nan"],
)
def test_what_differs_besides_numbers_is_named(
    write: Callable[..., Files], change: str, note: str
) -> None:
    body = BODY.replace("(self.first(x)))", f"(self.first(x))){change}")
    found = verify(*write(body), SHAPES[:1], layers=LAYERS)
    assert not found.passed
    assert found.largest == math.inf
    assert found.comparisons[0].note.startswith(note)


def test_nan_in_both_is_the_same(write: Callable[..., Files], tmp_path: Path) -> None:
    nodes = [*conv_nodes(), helper.make_node("Log", ["b"], ["y"])]
    model = make_onnx(tmp_path / "log.onnx", nodes, conv_weights(), outputs=["y"])
    body = BODY.replace("(self.first(x)))", "(self.first(x))).log()")
    found = verify(*write(body, model=model), SHAPES, layers={}, tolerance=1e-4)
    assert found.failure is None
    assert found.passed, found.comparisons  # a log near 1 has fewer digits: 1e-4


def test_source_that_raises_is_told_with_its_line(write: Callable[..., Files]) -> None:
    body = BODY.replace("(self.first(x)))", "(self.first(x)[:, :3]))")
    found = verify(*write(body), SHAPES, layers=LAYERS)
    assert not found.passed
    assert found.comparisons == ()
    assert math.isnan(found.largest)
    assert found.failure is not None
    assert found.failure.startswith(
        "the source fails at 1×1×5×6: net.py, line 15 ('return self.second(torch.relu("
        "self.first(x)[:, :3]))'): RuntimeError: Given groups=1"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def broken(:", r"cannot be imported: net.py, line 7 .*SyntaxError"),
        pytest.param(
            "import nothing_of_this_name",
            r"cannot be imported: net.py, line 7 .*nothing_of_this",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "import sys; sys.exit(0)",
            r"ended with status 0 and without an answer",
            marks=pytest.mark.long,
        ),
        ("import os; os.abort()", r"was ended by SIGABRT"),
        (
            "import os; os.write(1, b'x'); print('last words', flush=True); os._exit(3)",
            "status 3 .*last words",
        ),
        pytest.param(
            "def load(path): return 1",
            r"failed: .*AttributeError|cannot be loaded",
            marks=pytest.mark.long,
        ),
    ],
    ids=["syntax", "import", "exit", "abort", "status", "no network"],
)
def test_source_that_is_none_is_told(write: Callable[..., Files], body: str, words: str) -> None:
    source, weights, model = write()
    source.write_text(HEAD + body)
    found = verify(source, weights, model, SHAPES, layers=LAYERS)
    assert not found.passed
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found.failure)


def test_weights_that_do_not_fit_are_named(write: Callable[..., Files]) -> None:
    weights = conv_weights()
    weights["third.bias"] = weights.pop("second.bias")
    weights |= {f"extra.{i}": np.zeros(1, np.float32) for i in range(200)}
    found = verify(*write(weights=weights), SHAPES, layers=LAYERS)
    assert found.failure is not None
    assert found.failure.startswith("its weights cannot be loaded: net.py, line ")
    assert 'Missing key(s) in state_dict: "second.bias"' in found.failure
    assert 'Unexpected key(s) in state_dict: "extra.0", "extra.1"' in found.failure
    assert len(found.failure) < 1000


def test_a_file_that_the_engine_refuses_is_told(write: Callable[..., Files]) -> None:
    files = write()
    make_onnx(files[2], [helper.make_node("Nothing", ["x"], ["b"])], {})
    found = verify(*files, SHAPES, layers=LAYERS)
    assert found.failure is not None
    assert found.failure.startswith("ONNX Runtime does not take the file: ")
    assert "Nothing" in found.failure


def test_source_without_end_is_ended(write: Callable[..., Files]) -> None:
    files = write(BODY.replace("return", "while True: pass\n        return"))
    start = time.monotonic()
    found = verify(*files, SHAPES, layers=LAYERS, limit_seconds=3)
    assert time.monotonic() - start < 10
    assert not found.passed
    assert found.failure is not None
    assert "did not end within 3 s" in found.failure


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
@pytest.mark.parametrize(
    "line",
    [
        "kept = [bytearray(2**26) for _ in range(10**6)]",
        pytest.param("torch.empty(2**33)", marks=pytest.mark.long),
        pytest.param("x = 'a' * 2**34", marks=pytest.mark.long),
    ],
    ids=["python", "torch", "text"],
)
def test_source_that_takes_too_much_memory_is_ended(write: Callable[..., Files], line: str) -> None:
    files = write(BODY.replace("return", f"{line}\n        return"))
    found = verify(*files, SHAPES, layers=LAYERS, limit_bytes=2 * 2**30)
    assert not found.passed
    assert found.failure is not None
    assert "needs more memory than its limit of 2.0 GiB of address space" in found.failure
    assert "higher limit" in found.failure


def test_endless_output_is_cut(write: Callable[..., Files]) -> None:
    files = write(BODY.replace("return", "while True: print('x' * 2**16)\n        return"))
    found = verify(*files, SHAPES, layers=LAYERS, limit_seconds=60)
    assert found.failure is not None
    assert "File too large" in found.failure


def test_names_of_files_are_only_names(write: Callable[..., Files], tmp_path: Path) -> None:
    folder = tmp_path / "a 'b' \"c\"\n$(touch x); -rf"
    folder.mkdir()
    files = [path.rename(folder / f"-é{path.name}") for path in write()]
    found = verify(files[0], files[1], files[2], SHAPES, layers=LAYERS)
    assert found.failure is None
    assert found.passed
    undecodable = Path(os.fsdecode(os.fsencode(files[0]) + b"\xff.py"))
    files[0].rename(undecodable)
    found = verify(undecodable, files[1], files[2], SHAPES, layers=LAYERS)
    assert found.failure is None
    assert found.passed
    undecodable.write_text("1 / 0")
    failure = verify(undecodable, files[1], files[2], SHAPES, layers=LAYERS).failure
    assert failure is not None
    assert "line 1 ('1 / 0'): ZeroDivisionError" in failure
    assert failure.isprintable()


def test_the_environment_does_not_come_along(
    write: Callable[..., Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the folder that the caller is in."""
    files = write()
    monkeypatch.setenv("A_TOKEN", "secret")
    monkeypatch.chdir(files[0].parent)
    body = "import os; raise ValueError(sorted(os.environ), os.listdir())"
    files[0].write_text(body)
    failure = verify(*files, SHAPES, layers={}).failure
    assert failure is not None
    assert "A_TOKEN" not in failure
    names = json.loads(failure[failure.index("(['") + 1 : failure.rindex(", []")].replace("'", '"'))
    assert {"OMP_NUM_THREADS", "PATH", "PYTHONPATH"} <= set(names)
    assert set(names) <= {"LC_CTYPE", "OMP_NUM_THREADS", "PATH", "PYTHONPATH", *IMPORTED}


IMPORTED = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR")
"""Variables that PyTorch's own import may set."""


def test_two_inputs_of_two_types_and_two_outputs(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["labels"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["sum"]),
        helper.make_node("Mul", ["sum", "thousand"], ["product"]),
    ]
    kinds = {"x": TensorProto.FLOAT, "labels": TensorProto.INT64}
    model = make_onnx(
        tmp_path / "net.onnx",
        nodes,
        {"thousand": np.float32([1000])},
        inputs=kinds,
        outputs=["sum", "product"],
    )
    body = """
    class Net(nn.Module):
        def forward(self, x, labels):
            total = x + labels.float()
            return total, total * 1000 + 0.5

    def load(path):
        return Net().eval()
    """
    source = tmp_path / "net.py"
    source.write_text(HEAD + textwrap.dedent(body))
    shapes = [{"x": (1, 1, 5, 6), "labels": (1, 1, 5, 6)}]
    found = verify(source, model, model, shapes, layers={})
    assert found.failure is None
    (one,) = found.comparisons
    assert not found.passed
    # Of the two outputs, the one whose difference is relatively largest.
    assert one.difference == pytest.approx(0.5, rel=1e-2)
    assert 1000 < one.scale < 7000
    assert found.differs == "there is no layer with weights to compare"
    source.write_text(source.read_text().replace("+ 0.5", ""))
    assert verify(source, model, model, shapes, layers={}).passed


@pytest.mark.parametrize("place", ["network", "after"])
def test_class_indices_may_differ_at_a_tie_only(
    write: Callable[..., Files], tmp_path: Path, place: str
) -> None:
    """One voxel of 10,000 falls the other way: with layers that agree, or with a wrong weight."""
    nodes = [*conv_nodes(), helper.make_node("ArgMax", ["b"], ["y"], axis=1)]
    model = make_onnx(tmp_path / "m.onnx", nodes, conv_weights(), outputs=["y"], whole=["y"])
    flip = "\n        labels = torch.argmax(b, 1, keepdim=True)\n        labels[0, 0, 0, 0] ^= 1"
    body = BODY.replace("return ", "b = ") + f"{flip}\n        return labels\n"
    weights = conv_weights()
    if place == "network":
        weights["second.bias"][:] += 0.01  # the same for both classes: no index shows it
    files = write(body, weights=weights, model=model)
    found = verify(*files, [{"x": (1, 1, 100, 100)}], layers=LAYERS)
    assert found.failure is None
    assert found.passed == (place == "after")
    assert [one.ties for one in found.comparisons] == [int(place == "after")]
    assert found.layer == ("second" if place == "network" else None)


def test_batch_norm_in_train_mode(write: Callable[..., Files], tmp_path: Path) -> None:
    body = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x):
            return self.norm(x)
    """
    numbers = {"weight": [1.5], "bias": [0.5], "running_mean": [3.0], "running_var": [2.0]}
    weights = {f"norm.{name}": np.float32(value) for name, value in numbers.items()}
    names = ["x", *weights]
    model = make_onnx(
        tmp_path / "bn.onnx",
        [helper.make_node("BatchNormalization", names, ["b", "m", "v"], training_mode=1)],
        weights,
    )
    files = write(body, weights | {"norm.num_batches_tracked": np.zeros((), np.int64)}, model)
    layers = {"norm": "b"}
    assert verify(*files, SHAPES, layers=layers, train_mode=True).passed
    found = verify(*files, SHAPES, layers=layers)
    assert (found.passed, found.layer) == (False, "norm")


def test_weights_beside_the_file_are_found(write: Callable[..., Files], tmp_path: Path) -> None:
    """Also where the first layer that differs is looked for; nothing is written there."""
    model = make_onnx(
        tmp_path / "outside.onnx",
        conv_nodes(),
        conv_weights(),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    weights = conv_weights()
    weights["second.bias"] += 1
    files = write(weights=weights, model=model)
    before = sorted(path.name for path in tmp_path.iterdir())
    found = verify(*files, SHAPES, layers=LAYERS)
    assert found.failure is None
    assert found.layer == "second"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_interrupt_ends_the_process(
    write: Callable[..., Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def communicate(self, *_: Any, **__: Any) -> Any:
            started.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        verify(*write(), SHAPES, layers=LAYERS)
    assert started[0].returncode == -9


def test_an_answer_that_is_none_is_no_answer(
    write: Callable[..., Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the process writes, the verdict is computed here, from as many sizes as asked."""
    answers = iter([b'{"passed": true, "comparisons": 1}', b'{"comparisons": []}'])

    def wait(process: subprocess.Popen[bytes], *_: Any) -> bool:
        process.kill()
        process.communicate()
        Path(f"/proc/self/fd/{fds[-1]}").write_bytes(next(answers))
        return True

    fds: list[int] = []
    original = subprocess.Popen

    def popen(*arguments: Any, **keys: Any) -> subprocess.Popen[bytes]:
        fds.append(keys["stdout"].fileno())
        return original(*arguments, **keys)

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(verification, "_wait", wait)
    files = write()
    assert "ended by SIGKILL" in str(verify(*files, SHAPES, layers=LAYERS).failure)
    found = verify(*files, SHAPES, layers=LAYERS)
    assert found.failure == "it answered for 0 of 3 sizes"
    assert not found.passed


@pytest.mark.parametrize(
    ("difference", "scale", "passed"),
    [(1e-4, 10.0, True), (1e-4, 9.0, False), (0.0, 0.0, True), (1.0, 0.0, False)],
)
def test_the_difference_is_relative_to_the_scale(
    difference: float, scale: float, passed: bool
) -> None:
    one = Comparison({}, difference, scale)
    assert Verification((one,), 1e-5).passed is passed
    assert not Verification((one,), 1e-5, failure="no").passed
    assert not Verification((one, Comparison({}, math.nan, 1.0)), 1e-5).passed
    assert not Verification((), 1e-5).passed


def test_pytorch_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_verify()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not can_verify()
