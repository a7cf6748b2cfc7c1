"""Write the expected sources in ``sources/`` anew: what ``volunet reverse`` makes of networks.

    python tests/golden/regenerate.py [NAME…]

Look at the difference before you commit it. The networks are made here, node by node, with weights
of fixed seeds; pictures are those of ``pictures/``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from volunet.api.reverse import Reversed, reverse

HERE = Path(__file__).parent
SOURCES = HERE / "sources"


class Draft:
    """A network that is being put together; names of tensors say nothing.

    Args:
        axes: Spatial axes.
    """

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[TensorProto] = []
        self._rng = np.random.default_rng(0)

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and name its output."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(op_type, list(inputs), [name], **attributes))
        return name

    def weight(self, *shape: int) -> str:
        """Add random weights, small enough that no answer is large."""
        array = self._rng.normal(0, float(np.prod(shape[1:])) ** -0.5, shape)
        return self._kept(array)

    def statistics(self, channels: int) -> list[str]:
        """Add the four tensors of a batch norm."""
        return [self._kept(self._rng.uniform(0.5, 1.5, channels)) for _ in range(4)]

    def _kept(self, array: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def conv(self, x: str, before: int, after: int, size: int = 3, stride: int = 1) -> str:
        """A convolution with a bias that keeps the size, or divides it by the stride."""
        weights = self.weight(after, before, *[size] * self.axes), self.weight(after)
        pads, strides = [size // 2] * 2 * self.axes, [stride] * self.axes
        return self.add("Conv", x, *weights, pads=pads, strides=strides)

    def conv_relu(self, x: str, before: int, after: int, size: int = 3) -> str:
        """A convolution and a ReLU."""
        return self.add("Relu", self.conv(x, before, after, size))

    def pool(self, x: str, size: int = 2) -> str:
        """A maximum of each window."""
        return self.add("MaxPool", x, kernel_shape=[size] * self.axes, strides=[size] * self.axes)

    def up(self, x: str, before: int, after: int) -> str:
        """A transposed convolution that doubles the size."""
        weights = self.weight(before, after, *[2] * self.axes), self.weight(after)
        return self.add("ConvTranspose", x, *weights, strides=[2] * self.axes)

    def model(self, channels: int, outputs: Sequence[str]) -> ModelProto:
        """The network; its input ``x`` may be of any size."""
        sizes = ["n", channels, *["l", "hw", "dhw"][self.axes - 1]]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "golden",
            [value("x", TensorProto.FLOAT, sizes)],
            [value(name, TensorProto.FLOAT, None) for name in outputs],
            self._weights,
        )
        opsets = [helper.make_opsetid("", 18)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def unet() -> ModelProto:
    """The notes' network, small: double convolutions, five levels, a ReLU at the end."""
    draft, features = Draft(3), (2, 4, 8, 12, 16)
    x = draft.conv_relu(draft.conv_relu("x", 1, features[0]), features[0], features[0])
    skips = []
    for before, after in pairwise(features):
        skips.append(x)
        x = draft.conv_relu(draft.conv_relu(draft.pool(x), before, after), after, after)
    for before, after in pairwise(features[::-1]):
        x = draft.add("Concat", skips.pop(), draft.up(x, before, after), axis=1)
        x = draft.conv_relu(draft.conv_relu(x, 2 * after, after), after, after)
    return draft.model(1, [draft.conv_relu(x, features[0], 3, size=1)])


def residual() -> ModelProto:
    """A classifier of residual blocks with batch norms: stages that halve the size."""
    draft = Draft(2)

    def normed(x: str, before: int, after: int, size: int = 3, stride: int = 1) -> str:
        x = draft.conv(x, before, after, size, stride)
        return draft.add("BatchNormalization", x, *draft.statistics(after))

    x = draft.pool(draft.add("Relu", normed("x", 3, 4, size=7, stride=2)))
    before = 4
    for after, stride in ((4, 1), (8, 2), (16, 2)):
        for index in range(2):
            step = stride if index == 0 else 1
            y = draft.add("Relu", normed(x, before, after, stride=step))
            y = normed(y, after, after)
            same = step == 1 and before == after
            x = x if same else normed(x, before, after, size=1, stride=step)
            x = draft.add("Relu", draft.add("Add", y, x))
            before = after
    x = draft.add("Flatten", draft.add("GlobalAveragePool", x))
    return draft.model(3, [draft.add("Gemm", x, draft.weight(5, 16), draft.weight(5), transB=1)])


def dense() -> ModelProto:
    """Layers that each read all answers before them, joined; transitions between two blocks."""
    draft, growth = Draft(2), 4
    x, channels = draft.conv_relu("x", 1, 8), 8
    for block in range(2):
        for _ in range(3):
            new = draft.conv_relu(draft.conv_relu(x, channels, 2 * growth, 1), 2 * growth, growth)
            x, channels = draft.add("Concat", x, new, axis=1), channels + growth
        if block == 0:
            x, channels = draft.pool(draft.conv_relu(x, channels, channels // 2, 1)), channels // 2
    return draft.model(1, [draft.add("Sigmoid", draft.conv(x, channels, 1, 1))])


def inception() -> ModelProto:
    """Branches of several kernels beside one another, joined; three of these modules."""
    draft = Draft(2)
    x, channels = draft.conv_relu("x", 3, 8), 8
    for width in (4, 4, 8):
        branches = [
            draft.conv_relu(x, channels, width, 1),
            draft.conv_relu(draft.conv_relu(x, channels, width, 1), width, 2 * width),
            draft.conv_relu(draft.conv_relu(x, channels, width, 1), width, width, 5),
            draft.conv_relu(
                draft.add("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4), channels, width, 1
            ),
        ]
        x, channels = draft.add("Concat", *branches, axis=1), 5 * width
    return draft.model(3, [draft.conv(x, channels, 4, 1)])


def sequence() -> ModelProto:
    """A network of one spatial axis: dilated convolutions, each added to what it read."""
    draft = Draft(1)
    x = draft.conv("x", 2, 8, 1)
    for dilation in (1, 2, 4, 8):
        weights = draft.weight(8, 8, 3), draft.weight(8)
        y = draft.add("Conv", x, *weights, pads=[dilation] * 2, dilations=[dilation])
        x = draft.add("Add", x, draft.conv(draft.add("Relu", y), 8, 8, 1))
    return draft.model(2, [draft.add("Softmax", draft.conv(x, 8, 3, 1), axis=1)])


NETWORKS: dict[str, Callable[[], ModelProto]] = {
    "unet": unet,
    "residual": residual,
    "dense": dense,
    "inception": inception,
    "sequence": sequence,
}

PICTURES: dict[str, str] = {
    "picture_notes": "notes_9_attributes.svg",
    "picture_instance": "instance_9.svg",
}

CASES = (*NETWORKS, "unet_trainable", *PICTURES)


def make(name: str, folder: Path, *, verified: bool = False) -> Reversed:
    """Reverse a case into a folder; the source's name is the case's."""
    network = name.removesuffix("_trainable")
    if name in PICTURES:
        model = HERE / "pictures" / PICTURES[name]
    else:
        model = folder / f"{network}.onnx"
        onnx.save(NETWORKS[network](), model)
    return reverse(
        model, folder / f"{name}.py", verified=verified, trainable=name != network, overwrite=True
    )


def main(names: Sequence[str]) -> None:
    """Write the sources of some cases, or of all."""
    SOURCES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in names or CASES:
            source = make(name, Path(folder)).source
            (SOURCES / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
