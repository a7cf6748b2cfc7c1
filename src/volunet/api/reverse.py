"""`reverse`: an ONNX file, or a picture of one, as readable PyTorch, proved to compute the same."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final

import onnx_ir as ir
from safetensors.numpy import save

from volunet.errors import ConfigError, OutputError, ReverseError
from volunet.graph import Network, find_plan, infer_sizes, read_onnx
from volunet.graph.netron import read_netron
from volunet.reversing.proof.verification import Verification, can_verify, verify
from volunet.reversing.proof.verified_sizes import choose_sizes
from volunet.reversing.reading.constants import Constants
from volunet.reversing.reading.idioms import joined
from volunet.reversing.reading.nodes import Reading, read_layers
from volunet.reversing.reading.trainable import with_batch_norms
from volunet.reversing.writing.source import Written, write_source
from volunet.reversing.writing.weights import count_parameters, state_of
from volunet.volumes import atomic_path

SUFFIXES: Final = (".onnx", ".svg")


@dataclass(frozen=True)
class Reversed:
    """What `reverse` made.

    Attributes:
        source: The file of source.
        weights: The file of weights; None where a picture had none, or gaps are left.
        verification: The proof; None where it was not run.
        unverified: Why it was not run; empty where it was.
        lines: Lines of the source.
        classes: Its classes.
        layers: Layers of the network.
        layers_in_blocks: Those in a block that is there more than once.
        parameters: Learned numbers.
        gaps: Nodes that no layer computes (``--partial``).
        seen: Of a picture, what it shows.
        inferred: Of a picture, what follows from what it shows, and why.
        unknown: Of a picture, what cannot be known.
        seconds: Time that it took.
    """

    source: Path
    weights: Path | None
    verification: Verification | None
    unverified: str
    lines: int
    classes: int
    layers: int
    layers_in_blocks: int
    parameters: int
    gaps: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was found to differ: true also where there is nothing to compare."""
        return self.verification is None or self.verification.passed

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON's types."""
        proof = self.verification
        return {
            "source": str(self.source),
            "weights": None if self.weights is None else str(self.weights),
            "verified": proof is not None and proof.passed,
            "unverified": self.unverified,
            "max_difference": None if proof is None or proof.failure else proof.largest,
            "comparisons": [
                {
                    "shapes": {name: list(shape) for name, shape in c.shapes.items()},
                    "difference": c.difference,
                    "scale": c.scale,
                    "precision": c.precision,
                }
                for c in (() if proof is None else proof.comparisons)
            ],
            "differs": None if proof is None else proof.differs,
            "failure": None if proof is None else proof.failure,
            "lines": self.lines,
            "classes": self.classes,
            "layers": self.layers,
            "layers_in_blocks": self.layers_in_blocks,
            "parameters": self.parameters,
            "gaps": list(self.gaps),
            "seen": list(self.seen),
            "inferred": list(self.inferred),
            "unknown": list(self.unknown),
            "seconds": round(self.seconds, 3),
        }


def reverse(
    model: str | Path,
    output: str | Path,
    *,
    trainable: bool = False,
    partial: bool = False,
    verified: bool = True,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Reversed:
    """Write the PyTorch source of a network, with its weights beside it, and prove it.

    Args:
        model: An ONNX file, or a picture of one that Netron exported (``.svg``).
        output: The ``.py`` file to write; weights go to the same name with ``.safetensors``.
        trainable: Put identity batch norms behind the convolutions.
        partial: Leave marked gaps that raise where operators are not known.
        verified: Run the source beside ONNX Runtime; needs PyTorch.
        overwrite: Replace files that are there.
        progress: Called with what is being done.

    Returns:
        What was made. Where the proof fails, the files are there all the same, to be looked at.

    Raises:
        ConfigError: The file is not whole, or is no ONNX file and no picture of one.
        ReverseError: It has operators that are not known, or a picture does not add up.
        OutputError: A file exists, or cannot be written.
    """
    start = time.perf_counter()
    say = progress or (lambda _: None)
    model, output = Path(model), Path(output)
    weights = output.with_suffix(".safetensors")
    is_picture = _check_names(model, output, weights, overwrite=overwrite)
    say("reading")
    seen: Mapping[str, Sequence[str]] = {}
    if is_picture:
        picture = read_netron(model)
        graph = picture.model
        seen = {"seen": picture.seen, "inferred": picture.inferred, "unknown": picture.unknown}
    else:
        graph = read_onnx(model)
    network = _sized(graph, str(model))
    constants = Constants(graph, network)
    reading = joined(read_layers(network, graph, constants, partial=partial), constants)
    if trainable:
        reading = with_batch_norms(reading)
    unverified = _why_not(reading, is_picture=is_picture, verified=verified)
    shapes = [] if unverified else choose_sizes(graph, str(model))
    say("writing")
    keeps_weights = not is_picture
    written = write_source(
        reading, weights.name if keeps_weights else "", _notes(reading, is_picture=is_picture)
    )
    with ExitStack() as files:  # both files appear, or none
        if keeps_weights:
            data = save(state_of(written.paths, constants))
            files.enter_context(atomic_path(weights)).write_bytes(data)
        place = files.enter_context(atomic_path(output))
        place.write_text(written.source, encoding="utf-8")
    proof = None
    if shapes:
        say("comparing with ONNX Runtime")
        mean, std = _intensities(graph, model)
        proof = verify(
            output, weights, model, shapes,
            layers=_compared(written, network), train_mode=reading.train_mode, mean=mean, std=std,
        )  # fmt: skip
    return Reversed(
        output,
        weights if keeps_weights else None,
        proof,
        unverified,
        written.source.count("\n"),
        written.classes,
        len(reading.layers),
        written.in_blocks,
        count_parameters(written.paths, constants),
        reading.gaps,
        seconds=time.perf_counter() - start,
        **{name: tuple(texts) for name, texts in seen.items()},
    )


def _check_names(model: Path, output: Path, weights: Path, *, overwrite: bool) -> bool:
    """Check the names of the files; whether the model is a picture."""
    suffix = model.suffix.lower()
    if suffix not in SUFFIXES or not model.is_file():
        found = "no such file" if not model.exists() else f"a file that ends in '{model.suffix}'"
        raise ConfigError(
            model,
            "a folder" if model.is_dir() else found,
            "A network comes as an ONNX file, or as a picture (.svg) that Netron exported of one.",
            "Of a run folder: volunet export first. Of a bitmap no network can be read.",
        )
    taken = output.stem in (*sys.stdlib_module_names, "torch", "safetensors", "numpy")
    is_name = output.stem.isidentifier() and not iskeyword(output.stem) and not taken
    if output.suffix != ".py" or not is_name:
        raise ConfigError(
            output,
            "the name of a module that the source imports" if taken else "no name of a module",
            "The source is a .py file that can be imported beside Python's modules and torch.",
            "For instance -o net.py",
        )
    for file in (output, weights) if suffix == ".onnx" else (output,):
        if file.exists() and not overwrite:
            raise OutputError(
                file, "exists already", "Source and weights go to new files.",
                "Name another, or add --overwrite.",
            )  # fmt: skip
    return suffix == ".svg"


def _sized(graph: ir.Model, where: str) -> Network:
    """The network with formulas for sizes.

    Raises:
        ReverseError: Nodes do not fit at any size.
    """
    network = infer_sizes(graph, where)
    if network.failures:
        raise ReverseError(
            where,
            "; ".join(map(str, network.failures[:8])),
            "Every operator fits its input's sizes.",
            f"volunet inspect {where} says more; export the model again.",
        )
    return network


def _why_not(reading: Reading, *, is_picture: bool, verified: bool) -> str:
    if is_picture:
        return "a picture has no weights to compare with"
    if reading.gaps:
        return "the source has gaps that raise"
    if not verified:
        return "not asked for"
    if not can_verify():
        return "PyTorch is not installed: pip install 'volunet[train]', then run it again"
    return ""


def _compared(written: Written, network: Network) -> dict[str, str]:
    """The modules whose answers are compared: those that are tensors of the file."""
    return {path: layer.output for path, layer in written.paths if layer.output in network.tensors}


def _intensities(graph: ir.Model, model: Path) -> tuple[float, float]:
    """Mean and deviation of what a network of volunet's expects; of others nothing is known."""
    plan = find_plan(graph, model)
    rules = () if plan is None else plan.normalisation
    known = next((rule for rule in rules if rule.kind == "clip_zscore"), None)
    return (0.0, 1.0) if known is None else (known.mean, known.std)


def _notes(reading: Reading, *, is_picture: bool) -> list[str]:
    if is_picture:
        return ["The network of a picture. Weights are not in a picture: these are fresh ones."]
    if reading.gaps:
        return ["A network with gaps, where its file has operators that are not known."]
    return ["The network of an ONNX file."]
