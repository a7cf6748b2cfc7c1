"""Names of classes and attributes, by what they do: the file's own names never reach the source."""

from __future__ import annotations

import re

from volunet.reversing.reading.layers import LayerForm, is_convolution
from volunet.reversing.reading.pytorch import without_dimensions
from volunet.reversing.structure.grammar import BlockForm, Form, RepeatForm, Step
from volunet.reversing.structure.scalars import layer_forms

_ATTRIBUTES = {
    "nn.Conv": "conv",
    "nn.ConvTranspose": "up",
    "nn.Upsample": "up",
    "nn.Linear": "linear",
    "nn.Parameter": "scale",
    "nn.Flatten": "flatten",
    "nn.Softmax": "softmax",
    "nn.Embedding": "embedding",
}


def class_name(step: Step) -> str:
    """A name for a block's class."""
    form = step.form
    if isinstance(form, RepeatForm):
        convolutions = sum(is_convolution(layer) for layer in layer_forms(form.body))
        if convolutions == 1:
            return {2: "DoubleConv", 3: "TripleConv"}.get(len(step.parts), "ConvStack")
        return "Stage"
    if isinstance(form, LayerForm):
        return form.module
    return _block_name(form, step)


def _block_name(form: BlockForm, step: Step) -> str:
    calls = [part.form.call if isinstance(part.form, LayerForm) else "" for part in form.steps]
    layers = layer_forms(form)
    first = step.first
    upsamples = any(is_upsampling(layer) for layer in layers)
    if upsamples and (form.arity > 1 or is_upsampling(first.form)):
        return "Up"
    if first.role == "pooling" and not _is_global(first.form):
        return "Down"
    if _is_global(first.form) and any(is_convolution(layer) for layer in layers):
        return "Gate"
    gate = any(call == "{0} * {1}" for call in calls)
    if form.arity > 1 and gate:
        return "AttentionGate"
    last = form.steps[-1]
    if calls[-1].startswith("torch.cat"):
        return "DenseLayer" if -1 in last.inputs else "Branches"
    if "{0} + {1}" in calls:
        return "ResidualBlock" if calls.count("{0} + {1}") == 1 else "ResidualStage"
    if gate and any(_is_global(layer) for layer in layers):
        return "SqueezeExcitation"
    if first.form.module.startswith("nn.Conv") and first.argument("stride") not in (1, None):
        return "Down"
    if any(layer.module == "nn.Linear" for layer in layers):
        return "LinearBlock"
    if any(layer.module.startswith("nn.MaxPool") for layer in layers):
        return "Stage"
    if sum(is_convolution(layer) for layer in layers) == 1:
        return "ConvBlock"
    return "ConvBlocks" if any(is_convolution(layer) for layer in layers) else "Block"


def is_upsampling(form: LayerForm) -> bool:
    """Whether a layer makes a tensor larger."""
    module = form.module.startswith(("nn.ConvTranspose", "nn.Upsample"))
    return module or "F.interpolate" in form.call


def _is_global(form: LayerForm) -> bool:
    return form.module.startswith("nn.Adaptive") or "torch.mean" in form.call


def attribute_name(form: Form, class_names: dict[Form, str]) -> str:
    """A name for the attribute that holds a module."""
    if form in class_names:
        return snake(class_names[form])
    if isinstance(form, RepeatForm):
        return plural(attribute_name(form.body, class_names))
    if isinstance(form, BlockForm):
        return "layers"
    kind = without_dimensions(form.module)
    if kind in _ATTRIBUTES:
        return _ATTRIBUTES[kind]
    if "Pool" in kind:
        return "pool"
    return "norm" if "Norm" in kind else "activation"


def chain_name(forms: list[Form], class_names: dict[Form, str]) -> str:
    """A name for the attribute that holds several modules in a row."""
    layers = [layer for form in forms for layer in layer_forms(form)]
    if any(is_upsampling(layer) for layer in layers):
        return "up"
    if any(is_convolution(layer) for layer in layers):
        return "conv" if sum(map(is_convolution, layers)) == 1 else "convs"
    if any(layer.module == "nn.Linear" for layer in layers):
        return "classifier"
    return attribute_name(forms[0], class_names)


def plural(word: str) -> str:
    """A word for several."""
    if word.endswith("s"):
        return word
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


def snake(name: str) -> str:
    """``DoubleConv`` as ``double_conv``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def numbered(name: str, used: set[str]) -> str:
    """A name that is not used yet: with a number behind it where it must be; noted as used."""
    candidate, number = name, 1
    while candidate in used:
        number += 1
        candidate = f"{name}{number}" if not name[-1].isdigit() else f"{name}_{number}"
    used.add(candidate)
    return candidate
