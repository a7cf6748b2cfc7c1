"""What `verification` runs in a process of its own: a JSON request in, a JSON answer out.

It catches nothing that it does not expect: whatever the source raises ends the process, and
`sys.excepthook` writes down how far it came. What the source prints goes to stderr, so that the
answer is all of stdout.
"""

from __future__ import annotations

import json
import linecache
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from math import inf
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from volunet.graph.reading.onnx_file import read_onnx
from volunet.reversing.proof.comparing import (
    Arrays,
    compare,
    difference_of,
    relative_of,
    without_ties,
)
from volunet.reversing.proof.verification import Answer, Request

_MODULE: Final = "volunet_verified_source"

_MOST_PRINTED: Final = 2**24
"""Bytes of a file that this process may write."""

_MOST_SEARCHED: Final = 2**31 - 2**24
"""Bytes of weights up to which a file can be rewritten in memory: a protobuf ends at 2 GiB."""

_MOST_ROUNDING: Final = 1e-4
"""Relative difference that can be the rounding of two float32 passes of a deep network.

Then the source is run in float64: what is left of the difference is the rounding of ONNX Runtime
alone. A network that computes something else differs in float64 as well."""

_SEARCH: Final = "the first layer that differs is not known"

_NO_LAYERS: Final = "there is no layer with weights to compare"

_DTYPES: Final[dict[str, Any]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class Verifier:
    """One verification, and how far it came.

    Args:
        request: What to verify.

    Attributes:
        answer: What is found so far.
        doing: What is being done, for the message should it end there.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.answer = Answer()
        self.doing = ""
        self._worst = (0.0, 0.0, "")

    def run(self) -> Answer:
        """Compare at every shape, and look for the first layer at the first that differs."""
        request = self.request
        with self._doing("ONNX Runtime does not take the file"):
            session = _session(_without_dropout(request.model), request.threads)
        with self._doing("the source cannot be imported"):
            source = _import(request.source)
        with self._doing("its weights cannot be loaded"):
            network: torch.nn.Module = source.load(request.weights)
        network.train(request.train_mode)
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # as in the file that is compared: what is random cannot be
        for index, shapes in enumerate(request.shapes):
            size = " and ".join("×".join(map(str, shape)) for shape in shapes.values())
            with self._doing(f"no random input of {size}"):
                inputs = _random_inputs(session, shapes, request, seed=index)
            with self._doing(f"ONNX Runtime fails at {size}"):
                names = [output.name for output in session.get_outputs()]
                wanted = dict(zip(names, session.run(names, inputs), strict=True))
            with self._doing(f"the source fails at {size}"):
                answers = _answers(network, inputs)
            comparison, could_be_ties = compare(shapes, answers, wanted, request.tolerance)
            if request.tolerance < comparison.relative < _MOST_ROUNDING:
                exact, _ = compare(shapes, _exact_answers(network, inputs), wanted, inf)
                if exact.relative <= request.tolerance:
                    comparison = replace(exact, precision="float64")
            self.answer.comparisons.append(comparison)
            if self.answer.differs is not None:
                continue
            if comparison.relative <= request.tolerance:
                if comparison.scale == 0.0 or all(np.ptp(want) == 0 for want in wanted.values()):
                    self._look_within(network, inputs)
                continue
            with self._doing(_SEARCH):
                agree, layer, differs = self._search(network, inputs)
            if agree and could_be_ties:
                self.answer.comparisons[-1] = without_ties(shapes, answers, wanted)
            else:
                self.answer.layer, self.answer.differs = layer, differs
        return self.answer

    def _look_within(self, network: torch.nn.Module, inputs: Arrays) -> None:
        """Compare the layers where an answer is one number, as 0 behind a ReLU."""
        with self._doing(_SEARCH):
            agree, layer, differs = self._search(network, inputs)
        comparison = self.answer.comparisons[-1]
        if agree:
            difference, scale, path = self._worst
            note = f"every answer is one number, so this is of the layer that differs most, {path}"
            self.answer.comparisons[-1] = replace(
                comparison, difference=difference, scale=scale, note=note
            )
        else:
            self.answer.layer = layer
            self.answer.differs = f"every answer is one number, which proves nothing, and {differs}"

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        # Not reset by an exception: the hook of the process reads it.
        self.doing = what
        yield
        self.doing = ""

    def _search(
        self, network: torch.nn.Module, inputs: Arrays
    ) -> tuple[bool, str | None, str | None]:
        """Find the first layer that differs.

        Returns:
            Whether all were compared and agree, the first that does not, and a sentence.
        """
        model, layers = read_onnx(self.request.model), self.request.layers
        weights = [value.const_value for value in model.graph.initializers.values()]
        if sum(weight.nbytes for weight in weights if weight is not None) > _MOST_SEARCHED:
            return False, None, "the first layer that differs is not looked for beyond 2 GB"
        if not layers:
            return False, None, _NO_LAYERS
        outputs = _module_outputs(network, inputs, set(layers))
        wanted = _tensors(model, inputs, {layers[path] for path in outputs}, self.request.threads)
        compared = [path for path in outputs if layers[path] in wanted]
        self._worst = (0.0, 0.0, "")
        for path in compared:  # in the order in which they ran
            difference, scale, note = difference_of(outputs[path], wanted[layers[path]])
            if relative_of(difference, scale) >= relative_of(*self._worst[:2]):
                self._worst = (difference, scale, path)
            if relative_of(difference, scale) > self.request.tolerance:
                told = note or f"by {difference:.3g}, where its largest number is {scale:.3g}"
                name = f"{path} (tensor '{layers[path]}')"
                return False, path, f"the first layer that differs is {name}: {told}"
        if not compared:
            return False, None, _NO_LAYERS
        told = f"all {len(compared)} layers with weights agree"
        return True, None, f"{told}; what differs is between or behind them"

    def write_down(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Note what ended the process."""
        text = f"{kind.__name__}: {_short(str(error))}"
        place = _line_in(self.request.source, error, trace)
        told = f"{self.doing or 'the verifier failed'}: {place}{text}"
        if self.answer.comparisons and self.doing == _SEARCH:
            self.answer.differs = told
        else:
            self.answer.failure = told


class _Loader(SourceFileLoader):
    """A loader that reads the source itself, never a compiled copy beside it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(path: str) -> ModuleType:
    spec = spec_from_file_location(_MODULE, path, loader=_Loader(_MODULE, path))
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def _session(model: str | bytes, threads: int, *, optimised: bool = True) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # faults arrive as exceptions
    options.intra_op_num_threads = threads
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _without_dropout(path: str) -> str | bytes:
    """A file without dropouts that are in training mode, which answer at random."""
    model = read_onnx(path)
    dropouts = [n for n in model.graph if n.op_type == "Dropout" and len(n.inputs) > 2]
    if not dropouts:
        return path
    for node in dropouts:
        node.resize_inputs(1)
    ir.external_data.load_to_model(model)
    return ir.to_proto(model).SerializeToString()


def _random_inputs(
    session: ort.InferenceSession,
    shapes: Mapping[str, tuple[int, ...]],
    request: Request,
    seed: int,
) -> Arrays:
    """Normal numbers; whole ones from 0 to 3, which are indices and labels too."""
    rng = np.random.default_rng(seed)
    inputs: Arrays = {}
    for value in session.get_inputs():
        dtype = np.dtype(_DTYPES[value.type])
        shape = shapes[value.name]
        if dtype.kind == "f":
            numbers = request.mean + request.std * rng.standard_normal(shape)
            inputs[value.name] = numbers.astype(dtype)
        else:
            most = 2 if dtype.kind == "b" else 4
            inputs[value.name] = rng.integers(0, most, shape).astype(dtype)
    return inputs


def _answers(network: torch.nn.Module, inputs: Arrays) -> list[NDArray[Any]]:
    with torch.no_grad():
        answer = network(*(torch.from_numpy(array.copy()) for array in inputs.values()))
    return [_array(one) for one in (answer if isinstance(answer, tuple | list) else [answer])]


def _exact_answers(network: torch.nn.Module, inputs: Arrays) -> list[NDArray[Any]]:
    """The answers computed in float64, rounded at the end to float32."""
    wide = {
        name: a.astype(np.float64) if a.dtype == np.float32 else a for name, a in inputs.items()
    }
    answers = _answers(network.double(), wide)
    network.float()
    return [a.astype(np.float32) if a.dtype == np.float64 else a for a in answers]


def _array(tensor: Any) -> NDArray[Any]:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"an answer is a {type(tensor).__name__}, not a tensor")
    array: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return array


def _module_outputs(network: torch.nn.Module, inputs: Arrays, paths: set[str]) -> Arrays:
    """What modules make, in the order in which they ran; of one that runs twice, the first."""
    found: Arrays = {}

    def keep(path: str) -> Any:
        def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
            if path not in found and isinstance(output, torch.Tensor):
                found[path] = _array(output)

        return hook

    modules = dict(network.named_modules())
    hooks = [modules[p].register_forward_hook(keep(p)) for p in sorted(paths & modules.keys())]
    _answers(network, inputs)
    for hook in hooks:
        hook.remove()
    return found


def _tensors(model: ir.Model, inputs: Arrays, names: set[str], threads: int) -> Arrays:
    """What ONNX Runtime computes for tensors within a file, nothing being fused."""
    made = {value.name: value for node in model.graph for value in node.outputs}
    wanted = sorted(names & made.keys())
    if not wanted:  # ONNX Runtime takes no names for all outputs
        return {}
    outputs = {value.name for value in model.graph.outputs}
    model.graph.outputs.extend(made[name] for name in sorted(names & made.keys() - outputs))
    ir.external_data.load_to_model(model)
    session = _session(ir.to_proto(model).SerializeToString(), threads, optimised=False)
    return dict(zip(wanted, session.run(wanted, inputs), strict=True))


def _line_in(source: str, error: BaseException, trace: TracebackType | None) -> str:
    """The last line of the source that an exception came through, where it did."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == source else None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == source:
            line = trace.tb_lineno
        trace = trace.tb_next
    if line is None:
        return ""
    return f"{Path(source).name}, line {line} ({linecache.getline(source, line).strip()!r}): "


def _short(text: str, per_line: int = 200, most: int = 800) -> str:
    """A message on one line; the lists of names in those of `load_state_dict` are cut."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    cut = [line if len(line) <= per_line else f"{line[:per_line]} …" for line in lines if line]
    joined = "; ".join(cut)
    return joined if len(joined) <= most else f"{joined[:most]} …"


def limit(request: Request) -> None:
    """Limit what this process takes; the parent limits the time, as long as there is a parent."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: _MOST_PRINTED,
        resource.RLIMIT_CPU: int(request.limit_seconds * (request.threads + 1)) + 60,
    }
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = request.limit_bytes
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (value, value))


def main() -> None:
    """Read the request, verify, write the answer."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = Request(**json.load(sys.stdin.buffer))
    verifier = Verifier(request)

    def end(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None = None
    ) -> None:
        sys.__excepthook__(kind, error, trace)
        verifier.write_down(kind, error, trace)
        write()

    def write() -> None:
        text = json.dumps(asdict(verifier.answer), ensure_ascii=False)
        out.write(text.encode(errors="replace"))
        out.close()

    sys.excepthook = end
    limit(request)
    torch.set_num_threads(request.threads)
    verifier.run()
    write()


if __name__ == "__main__":
    main()
