"""The whole source of a network: imports, blocks, network, ``build`` and ``load``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from volunet.graph.tensors import Shape
from volunet.reversing.reading.layers import Layer, LayerForm
from volunet.reversing.reading.nodes import Reading
from volunet.reversing.reading.ordering import in_order
from volunet.reversing.structure.blocks import find_blocks, sites
from volunet.reversing.structure.grammar import BlockForm, Form, RepeatForm, Step, block_of, step_of
from volunet.reversing.structure.scalars import Scalars
from volunet.reversing.writing.block_class import block_lines, method_lines
from volunet.reversing.writing.forward import statements
from volunet.reversing.writing.modules import Classes, Layouts
from volunet.reversing.writing.naming import class_name, numbered
from volunet.reversing.writing.network_class import NetworkClass
from volunet.reversing.writing.text import call_lines


@dataclass(frozen=True)
class Written:
    """A network's source.

    Attributes:
        source: The text of the file.
        paths: The path of each layer in the network, such as ``downs.0.conv``.
        classes: How many classes it has.
        in_blocks: How many layers lie in a block that occurs more than once.
    """

    source: str
    paths: tuple[tuple[str, Layer], ...]
    classes: int
    in_blocks: int


def write_source(reading: Reading, weights_name: str, notes: Sequence[str] = ()) -> Written:
    """Write the source of a network.

    Args:
        reading: Its layers.
        weights_name: The file of weights beside the source; empty where there are none.
        notes: Sentences for the head of the file.
    """
    steps = [step_of(layer) for layer in in_order(reading.layers, reading.outputs)]
    steps = _with_head(find_blocks(steps, reading.outputs), reading.outputs)
    classes = Classes(Scalars(steps))
    used = {"UNet", "Network", "Tensor"}
    for form in _class_forms(steps):
        step = classes.scalars.instances[form][0]
        is_head = isinstance(form, BlockForm) and form.is_head
        name = "Output" if is_head else class_name(step)
        classes.names[form] = numbered(name, used)
    layouts = Layouts(classes)
    blocks = [block_lines(form, classes, layouts, reading.shapes) for form in classes.names]
    network = NetworkClass(steps, reading.outputs, classes)
    lines = _network_lines(network, reading, classes, layouts)
    body = [line for block in blocks for line in ("", "", *block)] + ["", "", *lines]
    helpers = _helpers(body)
    tail = _tail(network, classes, reading, weights_name)
    text = "\n".join([*helpers, *body, *tail])
    head = _head(text, notes)
    source = "\n".join([*head, text, ""])
    counts = [layer for step in steps for layer in _in_blocks(step, classes)]
    return Written(source, tuple(network.paths(layouts)), source.count("\nclass "), len(counts))


def _with_head(steps: list[Step], outputs: Sequence[str]) -> list[Step]:
    """The network with its last layers as a block, where they follow blocks."""
    start = len(steps)
    while start and isinstance(steps[start - 1].form, LayerForm):
        step = steps[start - 1]
        form = step.form
        alone = start == len(steps) or steps[start].inputs == (step.output,)
        inner = start == len(steps) or step.output not in outputs
        readers = sum(step.output in other.inputs for other in steps)
        module = isinstance(form, LayerForm) and form.is_module
        if not (module and alone and inner and readers <= 1):
            break
        start -= 1
    tail = steps[start:]
    weighted = any(step.layer is not None and step.layer.weights for step in tail)
    if start == 0 or len(tail) < 2 or not weighted:
        return steps
    return [*steps[:start], block_of(tail, is_head=True)]


def _class_forms(steps: Sequence[Step]) -> list[Form]:
    """The forms that become classes, each after those that it uses."""
    count = sites(steps)
    order: list[Form] = []
    seen: set[Form] = set()

    def visit(form: Form, *, repeated: bool) -> None:
        if isinstance(form, LayerForm):
            return
        if isinstance(form, RepeatForm):
            visit(form.body, repeated=True)
            wanted = count[form] > 1
        else:
            for step in form.steps:
                visit(step.form, repeated=False)
            layers = all(isinstance(s.form, LayerForm) and s.form.is_module for s in form.steps)
            inline = repeated and form.is_chain and layers and len(form.steps) <= 3
            wanted = not (inline and count[form] == 1)
        if wanted and form not in seen:
            order.append(form)
        seen.add(form)

    for step in steps:
        visit(step.form, repeated=False)
    return order


def _in_blocks(step: Step, classes: Classes) -> list[Layer]:
    instances = classes.scalars.instances
    if len(instances[step.form]) > 1 and step.layer is None:
        return step.layers
    return [layer for part in step.parts for layer in _in_blocks(part, classes)]


def _network_lines(
    network: NetworkClass, reading: Reading, classes: Classes, layouts: Layouts
) -> list[str]:
    arguments = ["self", *(f"{name}: int" for name in network.ends)]
    if network.features:
        arguments.append("features: tuple[int, ...]")
    lines = [f"class {network.name}(nn.Module):", *_network_doc(reading), ""]
    lines += call_lines("def __init__(", arguments, ") -> None:", 4)
    lines.append("        super().__init__()")
    lines += network.constructor_lines(layouts)
    names = _input_names(len(reading.inputs))
    given = ", ".join(f"{name}: Tensor" for name in names)
    answer = "Tensor"
    if len(reading.outputs) > 1:
        answer = f"tuple[{', '.join(['Tensor'] * len(reading.outputs))}]"
    lines += ["", f"    def forward(self, {given}) -> {answer}:"]
    inputs = dict(zip(reading.inputs, names, strict=True))
    body = statements(network.operations(), inputs, reading.outputs)
    return [*lines, *method_lines(body)]


def _network_doc(reading: Reading) -> list[str]:
    texts = [_shape_text(reading.shapes.get(name)) for name in reading.inputs]
    answers = [_shape_text(reading.shapes.get(name)) for name in reading.outputs]
    names = _input_names(len(texts))
    given = ", ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True))
    text = f"{given} → {', '.join(answers)}."
    if len(text) > 78:
        text = f"{given} → the answer."
    return [f'    """{text}"""']


def _shape_text(shape: Shape | None) -> str:
    if shape is None:
        return "(…)"
    letters = {1: "L", 2: "HW", 3: "DHW"}.get(len(shape) - 2, "")
    names = ["N"] + [str(size) for size in shape[1:2]]
    for axis, size in enumerate(shape[2:]):
        letter = letters[axis] if axis < len(letters) else f"S{axis}"
        plain = isinstance(size, int) or len(str(size)) > 12
        names.append(str(size) if isinstance(size, int) else letter + ("′" if plain else ""))
        if not plain:
            names[-1] = str(size).upper() if str(size).isalpha() else f"{letter}′"
    return f"({', '.join(names[: len(shape)])})"


def _input_names(count: int) -> list[str]:
    return ["x", *(f"x{index}" for index in range(2, count + 1))]


def _helpers(body: Sequence[str]) -> list[str]:
    text = "\n".join(body)
    lines: list[str] = []
    for name, helper in _HELPERS.items():
        if f"{name}(" in text:
            lines += ["", "", *helper]
    return lines


_HELPERS = {
    "missing": [
        "def missing(gap: str, *values: Tensor) -> Tensor:",
        '    """Stand where the file has an operator that is not known."""',
        "    raise NotImplementedError(gap)",
    ],
    "center_crop": [
        "def center_crop(x: Tensor, size: Sequence[int]) -> Tensor:",
        '    """The middle of x, of a spatial size."""',
        "    for axis, wanted in enumerate(size, start=2):",
        "        start = (x.shape[axis] - wanted) // 2",
        "        x = x[(slice(None),) * axis + (slice(start, start + wanted),)]",
        "    return x",
    ],
}


def _tail(
    network: NetworkClass, classes: Classes, reading: Reading, weights_name: str
) -> list[str]:
    mode = "train" if reading.train_mode else "eval"
    given = [
        f"{name}={classes.scalars.of(step)[index]}" for name, (step, index) in network.ends.items()
    ]
    if network.features:
        given.append(f"features=({', '.join(map(str, network.features))})")
    lines = [
        "",
        "",
        f"def build() -> {network.name}:",
        '    """Build the network with fresh weights."""',
        *call_lines(f"return {network.name}(", given, ")", 4),
    ]
    if weights_name:
        lines += [
            "",
            "",
            f"def load(path: str) -> {network.name}:",
            f'    """Build the network with the weights of a file, such as {weights_name}."""',
            "    network = build()",
            "    network.load_state_dict(load_file(path))",
            f"    return network.{mode}()",
        ]
    return lines


def _head(text: str, notes: Sequence[str]) -> list[str]:
    head = ['"""' + (notes[0] if notes else "A network."), *notes[1:], '"""', ""]
    if len(head) == 3:
        head = [head[0] + '"""', ""]
    standard = []
    if "Sequence[" in text:
        standard.append("from collections.abc import Sequence")
    if "pairwise(" in text:
        standard.append("from itertools import pairwise")
    third = ["import torch"] if "torch." in text else []
    if "F." in text:
        third.append("import torch.nn.functional as F")
    if "load_file(" in text:
        third.append("from safetensors.torch import load_file")
    third.append("from torch import Tensor, nn" if "Tensor" in text else "from torch import nn")
    return [*head, *standard, *([""] if standard else []), *third]
