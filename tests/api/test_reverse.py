"""An ONNX file as source: readable, proved, the same for the same network, and never hostile."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from volunet.api import reverse as api
from volunet.api.reverse import Reversed, reverse
from volunet.errors import ConfigError, OutputError, ReverseError
from volunet.reversing.proof.verification import TOLERANCE

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

VOLUME = ("n", 1, "d", "h", "w")
FEATURES = (4, 8, 16)


class Draft:
    """A model that is being put together, with weights of a fixed seed."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self._rng = np.random.default_rng(0)

    def add(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; the name of its first output."""
        number = len(self.nodes)
        names = [f"t{number}", *(f"t{number}_{index}" for index in range(1, outputs))]
        self.nodes.append(
            helper.make_node(op_type, list(inputs), names, f"node{number}", **attributes)
        )
        return names[0]

    def weight(self, value: Any) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def normal(self, *shape: int) -> str:
        spread = float(np.prod(shape[1:])) ** -0.5
        return self.weight(self._rng.normal(0, spread, shape).astype(np.float32))

    def conv(self, x: str, before: int, after: int, size: int = 3, axes: int = 3) -> str:
        weight, bias = self.normal(after, before, *[size] * axes), self.normal(after)
        return self.add("Conv", x, weight, bias, pads=[size // 2] * 2 * axes)

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def double_conv(self, x: str, before: int, after: int) -> str:
        return self.relu(self.conv(self.relu(self.conv(x, before, after)), after, after))

    def model(
        self,
        inputs: dict[str, Sequence[Any]],
        outputs: Sequence[str],
        opset: int = 18,
        dtypes: dict[str, int] | None = None,
    ) -> ModelProto:
        """The model; its outputs are float32 where `dtypes` does not say otherwise."""
        dtypes = dtypes or {}

        def info(name: str, shape: Sequence[Any] | None) -> onnx.ValueInfoProto:
            dtype = dtypes.get(name, TensorProto.FLOAT)
            return helper.make_tensor_value_info(name, dtype, shape)

        graph = helper.make_graph(
            self.nodes,
            "graph",
            [info(name, shape) for name, shape in inputs.items()],
            [info(name, None) for name in outputs],
            self.weights,
        )
        domains = {node.domain for node in self.nodes if node.domain}
        opsets = [
            helper.make_opsetid("", opset),
            *(helper.make_opsetid(name, 1) for name in domains),
        ]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def unet_draft(features: Sequence[int] = FEATURES, classes: int = 3) -> tuple[Draft, str]:
    """The notes' network, small: double convolutions, poolings, deconvolutions, a 1×1×1 head."""
    draft = Draft()
    x = draft.double_conv("x", 1, features[0])
    skips = []
    for before, after in pairwise(features):
        skips.append(x)
        x = draft.add("MaxPool", x, kernel_shape=[2] * 3, strides=[2] * 3)
        x = draft.double_conv(x, before, after)
    for before, after in pairwise(features[::-1]):
        up = (draft.normal(before, after, 2, 2, 2), draft.normal(after))
        x = draft.add("ConvTranspose", x, *up, strides=[2] * 3)
        x = draft.add("Concat", skips.pop(), x, axis=1)
        x = draft.double_conv(x, 2 * after, after)
    return draft, draft.conv(x, features[0], classes, size=1)


def unet() -> ModelProto:
    draft, y = unet_draft()
    return draft.model({"x": VOLUME}, [y])


def saved(model: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / name)
    return folder / name


def source_of(model: ModelProto, folder: Path, **keys: Any) -> str:
    """The source of a model, which is not run."""
    report = reverse(saved(model, folder), folder / "net.py", verified=False, **keys)
    return report.source.read_text(encoding="utf-8")


def imported(source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reversed_net", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(source: Path, *arrays: Any) -> list[Any]:
    """What the source, with its weights, answers."""
    network = imported(source).load(str(source.with_suffix(".safetensors")))
    with torch.no_grad():
        answer = network(*map(torch.from_numpy, arrays))
    return [one.numpy() for one in (answer if isinstance(answer, tuple) else [answer])]


def run_onnx(model: Path, *arrays: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def num_weights(model: ModelProto) -> int:
    return sum(int(np.prod(t.dims)) for t in model.graph.initializer)


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def is_proved(report: Reversed) -> bool:
    assert report.verification is not None, report.unverified
    assert report.verification.failure is None
    assert report.verification.largest <= TOLERANCE
    assert len(report.verification.comparisons) >= 3
    return report.passed


# The whole path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reversed]:
    """The small U-Net's file, and what `reverse` made of it; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    model = saved(unet(), folder)
    return model, reverse(model, folder / "net.py")


def test_it_is_proved_at_three_sizes(made: tuple[Path, Reversed]) -> None:
    model, report = made
    assert is_proved(report)
    assert report.verification is not None
    sizes = {tuple(c.shapes["x"]) for c in report.verification.comparisons}
    assert len(sizes) == 3
    assert len({size[2:] for size in sizes}) == 3
    assert report.parameters == num_weights(onnx.load(model))
    assert report.weights == report.source.with_suffix(".safetensors")
    assert (report.gaps, report.unverified) == ((), "")


def test_it_answers_as_the_file_at_any_size_and_batch(made: tuple[Path, Reversed]) -> None:
    """At sizes of the test's own, in this process: nothing of the verification is trusted."""
    model, report = made
    for seed, size in enumerate([(1, 4, 8, 12), (3, 20, 4, 4), (2, 16, 24, 8)]):
        x = noise(size[0], 1, *size[1:], seed=seed)
        (want,), (got,) = run_onnx(model, x), run(report.source, x)
        assert got.shape == want.shape == (size[0], 3, *size[1:])
        # Relative to the largest answer: float32 sums in another order.
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def test_build_gives_fresh_weights(made: tuple[Path, Reversed]) -> None:
    _, report = made
    module = imported(report.source)
    torch.manual_seed(0)
    one, other = module.build().state_dict(), module.build().state_dict()
    loaded = module.load(str(report.weights)).state_dict()
    assert list(one) == list(other) == list(loaded)
    name = next(name for name in one if name.endswith("weight"))
    assert not torch.equal(one[name], other[name])
    assert not torch.equal(one[name], loaded[name])
    assert sum(p.numel() for p in module.build().parameters()) == report.parameters


def test_the_source_is_what_a_person_would_write(made: tuple[Path, Reversed]) -> None:
    _, report = made
    source = report.source.read_text(encoding="utf-8")
    tree = ast.parse(source)
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert classes == ["DoubleConv", "Down", "Up", "UNet"]  # a head of one layer is no class
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions == ["build", "load"]
    assert "features=(4, 8, 16)" in source
    assert report.lines == source.count("\n") <= 80
    # No layer spelled out twice: one 3×3×3 convolution, one pooling, one deconvolution, one head.
    made_layers = re.findall(r"nn\.(Conv3d|MaxPool3d|ConvTranspose3d)\(", source)
    assert sorted(made_layers) == ["Conv3d", "Conv3d", "ConvTranspose3d", "MaxPool3d"]
    assert len(re.findall(r"^ +for \w+ in self\.\w+:", source, re.M)) == 2
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            assert re.search(r"\(N, .*D, .*→", ast.get_docstring(node) or ""), node.name


def test_only_torch_and_safetensors_are_imported(made: tuple[Path, Reversed]) -> None:
    tree = ast.parse(made[1].source.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    assert names <= {"torch", "safetensors", "itertools", "collections"}
    assert {"torch", "safetensors"} <= names


def test_the_report_as_json(made: tuple[Path, Reversed]) -> None:
    _, report = made
    content = json.loads(json.dumps(report.to_json()))
    assert content["verified"] is True
    assert content["max_difference"] <= TOLERANCE
    assert [len(c["shapes"]["x"]) for c in content["comparisons"]] == [5, 5, 5]
    assert (content["classes"], content["parameters"]) == (4, report.parameters)
    assert content["layers"] == 27
    assert content["layers_in_blocks"] == 26
    assert (content["differs"], content["failure"], content["gaps"]) == (None, None, [])


# The same source for the same network


def renamed(model: ModelProto, name: Callable[[str], str]) -> ModelProto:
    """The same network with other names everywhere: tensors, nodes, axes, graph, notes."""
    model = ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    for node in graph.node:
        node.name, node.doc_string = name(node.name), name(f"doc of {node.name}")
        for names in (node.input, node.output):
            names[:] = [name(text) if text else "" for text in names]
    for tensor in graph.initializer:
        tensor.name, tensor.doc_string = name(tensor.name), name("doc")
    for value in (*graph.input, *graph.output):
        value.name, value.doc_string = name(value.name), name("doc")
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.dim_param = name(dim.dim_param)
    graph.name, graph.doc_string = name("graph"), name("doc")
    model.doc_string, model.producer_name = name("doc"), name("producer")
    for key in ("author", "description"):
        model.metadata_props.add(key=name(key), value=name(f"{key} of it"))
    return model


def shuffled(model: ModelProto, seed: int) -> ModelProto:
    """Nodes and weights in any order, not even one in which they could run."""
    model = ModelProto.FromString(model.SerializeToString())
    rng = random.Random(seed)  # noqa: S311
    for items in (model.graph.node, model.graph.initializer):
        order = list(items)
        rng.shuffle(order)
        del items[:]
        items.extend(order)
    return model


@pytest.mark.parametrize("seed", range(4))
def test_neither_order_nor_names_change_a_byte(
    seed: int, made: tuple[Path, Reversed], tmp_path: Path
) -> None:
    model, report = made

    def name(text: str) -> str:
        return "n" + hashlib.sha256(f"{seed}{text}".encode()).hexdigest()[:8]

    other = shuffled(renamed(onnx.load(model), name), seed)
    assert source_of(other, tmp_path) == report.source.read_text(encoding="utf-8")
    weights = [Path(p).read_bytes() for p in (str(report.weights), tmp_path / "net.safetensors")]
    assert weights[0] == weights[1]


def test_names_that_lie_change_nothing(made: tuple[Path, Reversed], tmp_path: Path) -> None:
    """Names of another network's layers, all of one encoder, or none at all where ONNX may."""
    model, report = made
    seen: dict[str, str] = {}

    def lie(text: str) -> str:
        return seen.setdefault(text, f"/encoder_1/conv.{7 * len(seen) % 211}/Relu_output")

    assert source_of(renamed(onnx.load(model), lie), tmp_path) == report.source.read_text()
    nameless = onnx.load(model)
    for node in nameless.graph.node:
        node.name = ""
    assert source_of(nameless, tmp_path / "nameless") == report.source.read_text()


HOSTILE = {
    "double quotes": '"""',
    "single quotes": "''' + \"",
    "newline": "a\nimport os\nos.system('true')\n",
    "carriage return": "a\rb\r\nimport os",
    "import": "__import__('os')",
    "escape": '\\"\\n\\N{DEAD}\\x41',
    "f-string": "{__import__('os')}{0}{module}{=1}{s0}",
    "look-alikes": "ѕеlf․соnv",  # Cyrillic letters and a one dot leader
    "right to left": "\u202ex = 1\u2066",
    "line separators": "a\u2028b\u2029c\x85d\x0ce",
    "keyword": "class",
    "names of the source": "self",
    "dunder": "__init__",
    "comment": "# noqa: type: ignore",
    "coding": "# -*- coding: utf-7 -*-",
    "format": "%s%(x)s{}",
    "control": "\x1b[2J\x07\x08",
    "path": "../../../../etc/passwd",
    "long": "é" * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_hostile_name_reaches_the_source(
    text: str, made: tuple[Path, Reversed], tmp_path: Path
) -> None:
    """Byte for byte the source of the clean file: so its tokens are all the program's own."""
    model, report = made
    seen: dict[str, str] = {}

    def name(clean: str) -> str:
        return seen.setdefault(clean, text if not seen else f"{text}{len(seen)}")

    hostile = renamed(onnx.load(model), name)
    assert source_of(hostile, tmp_path) == report.source.read_text(encoding="utf-8")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "model.onnx", "net.py", "net.safetensors",
    ]  # fmt: skip
    assert (tmp_path / "net.safetensors").read_bytes() == Path(str(report.weights)).read_bytes()


def test_a_file_full_of_hostile_names_is_proved(
    made: tuple[Path, Reversed], tmp_path: Path
) -> None:
    """All of them in one file that ONNX Runtime runs, too."""
    model, report = made
    texts, seen = list(HOSTILE.values()), {}

    def name(clean: str) -> str:
        return seen.setdefault(clean, f"{texts[len(seen) % len(texts)]}{len(seen)}")

    hostile = saved(renamed(onnx.load(model), name), tmp_path)
    other = reverse(hostile, tmp_path / "net.py")
    assert is_proved(other)
    assert other.source.read_text(encoding="utf-8") == report.source.read_text(encoding="utf-8")


# Operators that are not known


def with_unknown(op_type: str = "Mystery", domain: str = "com.example") -> ModelProto:
    """A U-Net with two operators that nobody knows, the second of two inputs and outputs."""
    draft, y = unet_draft(features=(4, 8))
    y = draft.add(op_type, y, domain=domain)
    z = draft.add("Riddle", y, "x", outputs=2, domain="com.example")
    return draft.model({"x": VOLUME}, [draft.relu(z)])


def test_unknown_operators_are_listed_in_one_error(tmp_path: Path) -> None:
    model = saved(with_unknown(), tmp_path)
    with pytest.raises(ReverseError) as caught:
        reverse(model, tmp_path / "net.py")
    assert str(caught.value) == (
        f"{model}: no PyTorch for 2 nodes: com.example.Mystery 'node16'; com.example.Riddle "
        "'node17'; behind them 1 of unknown sizes.\n"
        "Operators and their settings are those of docs/operators.md.\n"
        "Add --partial for the rest of the network, with gaps that raise."
    )
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_gap_says_which_and_raises(tmp_path: Path) -> None:
    model = saved(with_unknown(), tmp_path)
    report = reverse(model, tmp_path / "net.py", partial=True)
    assert report.gaps == (
        "gap 1: com.example.Mystery 'node16'",
        "gap 2: com.example.Riddle 'node17'",
        "gap 3: Relu 'node18'",  # of a size that nobody knows
    )
    assert (report.verification, report.unverified) == (None, "the source has gaps that raise")
    source = report.source.read_text(encoding="utf-8")
    assert "gap 1" in source
    assert "gap 2" in source
    assert "with gaps" in source.splitlines()[0]
    with pytest.raises(NotImplementedError, match=r"^gap 1"):
        run(report.source, noise(1, 1, 8, 8, 8))
    network = imported(report.source).load(str(report.weights))
    assert sum(p.numel() for p in network.parameters()) == num_weights(onnx.load(model))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_hostile_operator_reaches_the_source(text: str, tmp_path: Path) -> None:
    clean = source_of(with_unknown(), tmp_path / "clean", partial=True)
    hostile = with_unknown(op_type=text, domain=f"com.{text}")
    assert source_of(hostile, tmp_path / "hostile", partial=True) == clean


# Files


def with_external_data(folder: Path, location: str) -> Path:
    """The U-Net with its weights in a file beside it, of which it says that it lies elsewhere."""
    folder.mkdir(parents=True)
    onnx.save_model(
        unet(), folder / "model.onnx", save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def test_external_data_beside_the_file(made: tuple[Path, Reversed], tmp_path: Path) -> None:
    model = with_external_data(tmp_path / "in", "weights.bin")
    report = reverse(model, tmp_path / "net.py")
    assert is_proved(report)
    assert report.source.read_text() == made[1].source.read_text()


@pytest.mark.parametrize("location", ["../weights.bin", "{absolute}", "link.bin"])
def test_external_data_outside_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    outside = tmp_path / "weights.bin"
    model = with_external_data(tmp_path / "in", location.format(absolute=outside))
    (tmp_path / "in" / "weights.bin").rename(outside)
    (tmp_path / "in" / "link.bin").symlink_to(outside)
    with pytest.raises(ConfigError, match=re.escape(str(model))):
        reverse(model, tmp_path / "net.py", verified=False)
    assert not list(tmp_path.glob("net.*"))


def test_files_that_are_there_are_left_alone(made: tuple[Path, Reversed], tmp_path: Path) -> None:
    source, weights = tmp_path / "net.py", tmp_path / "net.safetensors"
    for mine, other in ((source, weights), (weights, source)):
        mine.write_text("mine")
        with pytest.raises(OutputError, match=rf"{re.escape(str(mine))}: exists already"):
            reverse(made[0], source)
        assert mine.read_text() == "mine"
        assert not other.exists()
        mine.unlink()
    source.write_text("old")
    weights.write_text("old")
    reverse(made[0], source, overwrite=True, verified=False)
    assert source.read_text() == made[1].source.read_text()
    assert weights.read_bytes() == Path(str(made[1].weights)).read_bytes()


def test_an_error_leaves_old_files_as_they_were(tmp_path: Path) -> None:
    model = saved(with_unknown(), tmp_path)
    for name in ("net.py", "net.safetensors"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(ReverseError, match="Mystery"):
        reverse(model, tmp_path / "net.py", overwrite=True)
    assert {f.name: f.read_text() for f in tmp_path.glob("net.*")} == {
        "net.py": "mine", "net.safetensors": "mine",
    }  # fmt: skip


def test_a_full_disk_leaves_nothing_half_written(
    made: tuple[Path, Reversed], tmp_path: Path, files_of_at_most: Callable[[int], Any]
) -> None:
    size = Path(str(made[1].weights)).stat().st_size
    message = r"net\.safetensors: cannot be written: file too large"
    with files_of_at_most(size // 2), pytest.raises(OutputError, match=message):
        reverse(made[0], tmp_path / "net.py", verified=False)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_cannot_be_written_leaves_no_weights_alone(
    made: tuple[Path, Reversed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = Path.write_text

    def full(self: Path, *words: Any, **keys: Any) -> int:
        if "net.py" in self.name:
            raise OSError(28, "No space left on device", str(self))
        return write_text(self, *words, **keys)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match=r"net\.py: cannot be written: no space left"):
        reverse(made[0], tmp_path / "net.py", verified=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "output", "message"),
    [
        ("model.png", "net.py", "a file that ends in '.png'"),
        ("model.onnx", "net.txt", "no name of a module"),
        ("model.onnx", "my-net.py", "no name of a module"),
        ("model.onnx", "class.py", "no name of a module"),
        ("model.onnx", "torch.py", "the name of a module that the source imports"),
        ("model.onnx", "collections.py", "the name of a module that the source imports"),
        ("other.onnx", "net.py", "no such file"),
        ("folder.onnx", "net.py", "a folder"),
        ("empty.onnx", "net.py", "not a whole ONNX file"),
        ("cut.onnx", "net.py", "not a whole ONNX file"),
    ],
)
def test_names_and_files_that_do_not_fit(
    model: str, output: str, message: str, made: tuple[Path, Reversed], tmp_path: Path
) -> None:
    data = made[0].read_bytes()
    for name, content in (("model.onnx", data), ("cut.onnx", data[:-9]), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "model.png").write_bytes(b"\x89PNG")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ConfigError, match=message):
        reverse(tmp_path / model, tmp_path / "out" / output)
    assert not (tmp_path / "out").exists()


# A proof that fails, and one that is not run


def test_a_mismatch_names_the_layer_and_leaves_the_files(
    made: tuple[Path, Reversed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_of = api.state_of
    broken = ""

    def spoilt(*words: Any) -> dict[str, Any]:
        nonlocal broken
        state = state_of(*words)
        convolutions = [n for n, a in state.items() if a.ndim == 5 and a.shape[2:] == (3, 3, 3)]
        broken = convolutions[3]
        state[broken] = state[broken][..., ::-1].copy()
        return state

    monkeypatch.setattr(api, "state_of", spoilt)
    report = reverse(made[0], tmp_path / "net.py")
    proof = report.verification
    assert proof is not None
    assert not report.passed
    assert not proof.passed
    assert proof.layer == broken.removesuffix(".weight")
    assert proof.differs is not None
    assert proof.differs.startswith(f"the first layer that differs is {proof.layer} (tensor 't")
    assert proof.largest > 100 * TOLERANCE
    assert report.to_json()["verified"] is False
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.py", "net.safetensors"]


def test_without_pytorch_it_is_written_and_not_proved(
    made: tuple[Path, Reversed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "can_verify", lambda: False)
    report = reverse(made[0], tmp_path / "net.py")
    assert report.verification is None
    assert report.unverified.startswith("PyTorch is not installed: pip install 'volunet[train]'")
    assert report.to_json()["verified"] is False
    assert report.source.read_text() == made[1].source.read_text()


# Batch norms


def test_trainable_puts_batch_norms_that_change_nothing(
    made: tuple[Path, Reversed], tmp_path: Path
) -> None:
    model, plain = made
    report = reverse(model, tmp_path / "net.py", trainable=True)
    assert is_proved(report)
    network = imported(report.source).load(str(report.weights))
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    channels = [4, 4, 8, 8, 16, 16, 8, 8, 4, 4]  # behind all 3×3×3 convolutions; none at the head
    assert [norm.num_features for norm in norms] == channels
    assert sum(p.numel() for p in network.parameters()) == plain.parameters + 2 * sum(channels)
    assert report.parameters == plain.parameters + 2 * sum(channels)
    assert not network.training
    assert report.source.read_text().count("nn.BatchNorm3d(") == 1

    network.train()
    x = torch.from_numpy(noise(2, 1, 8, 8, 8))
    before = norms[0].running_mean.clone()
    network(x).square().mean().backward()
    assert not torch.equal(before, norms[0].running_mean)
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)


def with_norm(opset: int, outputs: int, **attributes: int) -> ModelProto:
    """Convolution, batch norm with statistics of its own, ReLU, convolution."""
    draft = Draft()
    x = draft.conv("x", 1, 4)
    rng = np.random.default_rng(1)
    numbers = [draft.weight(rng.uniform(0.5, 2, 4).astype(np.float32)) for _ in range(4)]
    x = draft.add("BatchNormalization", x, *numbers, outputs=outputs, **attributes)
    return draft.model({"x": VOLUME}, [draft.conv(draft.relu(x), 4, 2)], opset)


@pytest.mark.parametrize(
    ("model", "trains"),
    [
        (with_norm(18, 1), False),
        (with_norm(18, 3, training_mode=1), True),
        # Before opset 14 there is no attribute: a node with all five outputs is in training.
        (with_norm(13, 5), True),
    ],
    ids=["evaluation", "training", "training of opset 13"],
)
def test_the_mode_is_the_files(model: ModelProto, trains: bool, tmp_path: Path) -> None:
    file = saved(model, tmp_path)
    report = reverse(file, tmp_path / "net.py", verified=trains)
    assert is_proved(report) if trains else report.unverified == "not asked for"
    x = noise(2, 1, 4, 5, 6)
    (want, *_), (got,) = run_onnx(file, x), run(report.source, x)
    np.testing.assert_allclose(got, want, atol=1e-5)
    network = imported(report.source).load(str(report.weights))
    assert network.training is trains
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert [norm.num_features for norm in norms] == [4]
    assert report.parameters == num_weights(model) - 8  # mean and variance are not learned
    assert sum(p.numel() for p in network.parameters()) == report.parameters


# Inputs and outputs


def test_two_inputs_and_two_outputs(tmp_path: Path) -> None:
    draft = Draft()
    a = draft.relu(draft.conv("ct", 1, 4))
    b = draft.relu(draft.conv("pet", 2, 4))
    both = draft.add("Add", a, b)
    first, second = draft.conv(both, 4, 3, 1), draft.add("Sigmoid", draft.conv(both, 4, 1, 1))
    shapes = {"ct": VOLUME, "pet": ("n", 2, "d", "h", "w")}
    model = saved(draft.model(shapes, [second, first]), tmp_path)
    report = reverse(model, tmp_path / "net.py")
    assert is_proved(report)
    arrays = [noise(1, 1, 4, 5, 6), noise(1, 2, 4, 5, 6, seed=1)]
    want, got = run_onnx(model, *arrays), run(report.source, *arrays)
    assert [one.shape for one in got] == [one.shape for one in want] == [
        (1, 1, 4, 5, 6), (1, 3, 4, 5, 6),
    ]  # fmt: skip
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert "def forward(self, x: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:" in (
        report.source.read_text()
    )


def test_labels_are_whole_numbers(tmp_path: Path) -> None:
    draft, y = unet_draft(features=(4, 8))
    y = draft.add("ArgMax", y, axis=1, keepdims=1)
    model = saved(draft.model({"x": VOLUME}, [y], dtypes={y: TensorProto.INT64}), tmp_path)
    report = reverse(model, tmp_path / "net.py")
    assert is_proved(report)
    x = noise(1, 1, 8, 10, 12)
    (want,), (got,) = run_onnx(model, x), run(report.source, x)
    assert (got.dtype, got.shape) == (np.int64, (1, 1, 8, 10, 12))
    assert set(np.unique(want)) == {0, 1, 2}
    np.testing.assert_array_equal(got, want)


def test_a_network_of_one_fixed_size(tmp_path: Path) -> None:
    """A classifier whose matrix fits one size only: proved at that one, and at other batches."""
    draft = Draft()
    x = draft.relu(draft.conv("x", 1, 4, axes=2))
    x = draft.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = draft.add("Flatten", x)
    x = draft.add("Gemm", x, draft.normal(5, 4 * 6 * 7), draft.normal(5), transB=1)
    model = saved(draft.model({"x": ("n", 1, 12, 14)}, [x]), tmp_path)
    report = reverse(model, tmp_path / "net.py")
    assert is_proved(report)
    assert report.verification is not None
    assert [c.shapes["x"] for c in report.verification.comparisons] == [
        (1, 1, 12, 14), (2, 1, 12, 14), (3, 1, 12, 14),
    ]  # fmt: skip
    assert "nn.Linear(168, out_channels)" in report.source.read_text()


def with_branch(condition: Any) -> ModelProto:
    """A network that takes a sigmoid or a ReLU."""
    draft = Draft()
    x = draft.conv("x", 1, 4)
    value = helper.make_tensor_value_info
    branches = {
        name: helper.make_graph(
            [helper.make_node(op_type, [x], [f"{name}_y"], f"{name}_{op_type}")],
            name, [], [value(f"{name}_y", TensorProto.FLOAT, None)],
        )
        for name, op_type in (("then_branch", "Sigmoid"), ("else_branch", "Relu"))
    }  # fmt: skip
    given = draft.weight(np.asarray(condition)) if isinstance(condition, bool) else condition
    y = draft.conv(draft.add("If", given, **branches), 4, 2)
    inputs = {"x": VOLUME} | ({} if isinstance(condition, bool) else {condition: ()})
    dtypes = {} if isinstance(condition, bool) else {condition: TensorProto.BOOL}
    return draft.model(inputs, [y], dtypes=dtypes)


def test_a_branch_on_an_input_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(ReverseError, match=r"no PyTorch for 1 node: If 'node1'; behind them 1 of"):
        source_of(with_branch("is_on"), tmp_path)


# Pictures


def test_a_picture_gives_a_source_with_fresh_weights(tmp_path: Path) -> None:
    picture = Path(__file__).parents[1] / "golden" / "pictures" / "notes_9_attributes.svg"
    (tmp_path / "net.safetensors").write_text("mine")  # no weights are written, so none are lost
    report = reverse(picture, tmp_path / "net.py")
    assert (report.weights, report.verification) == (None, None)
    assert report.unverified == "a picture has no weights to compare with"
    assert (tmp_path / "net.safetensors").read_text() == "mine"
    module = imported(report.source)
    assert not hasattr(module, "load")
    network = module.build()
    assert sum(p.numel() for p in network.parameters()) == report.parameters
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 8, 12, 16)).shape == (1, 1, 8, 12, 16)
    assert report.seen
    assert report.unknown
