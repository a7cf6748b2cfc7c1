"""Make the pictures in ``pictures/``: our own networks, exported, and drawn by the real Netron.

    python tests/golden/make_pictures.py [NAME…]

What it needs, and where it puts it (never into the project's own environment):

* ``pip install --target WORK/netron9 netron==9.3.3`` and ``--target WORK/netron7 netron==7.8.6``
  (done here; 7.8.6 of 2024 is the oldest that the package index of this workplace has),
* ``npm install --prefix WORK playwright-core svgo`` (done here),
* Debian's ``chromium`` (``apt-get install chromium``) and ``node``.

WORK is ``volunet-pictures`` in the folder for temporary files. The networks are made with the extra
``train``, small and with fixed seeds; ``NETWORK.onnx.json`` keeps their nodes and edges, with which
the tests compare, and not their weights.

Netron 5.9 of 2022 cannot be installed here: ``resaved.py`` rewrites a picture of 7.8.6 with the
names of groups that its source ``view-grapher.js`` of that year writes, and makes the pictures
that other programs have saved again; only svgo's are kept as files.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from torch import nn

from volunet.exporting.convert import convert
from volunet.nets.presets import build_network, notes_plan
from volunet.plan import NetworkPlan, Normalisation, Plan
from volunet.tasks.segmentation.plan import Segmentation

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
WORK = Path(tempfile.gettempdir()) / "volunet-pictures"
VERSIONS = {"9": "9.3.3", "7": "7.8.6"}
FEATURES = (4, 8, 16)
SHALLOW = (4, 8)

NETWORKS: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "notes": lambda: (_plain(notes_plan(1, 1, FEATURES)), (1, 1, 16, 24, 32)),
    "residual": lambda: (
        _plain(NetworkPlan(in_channels=2, out_channels=3, features=SHALLOW, residual=True)),
        (1, 2, 16, 24, 32),
    ),
    "instance": lambda: (
        _plain(
            NetworkPlan(
                in_channels=1, out_channels=2, features=SHALLOW, norm="instance",
                activation="leaky_relu", upsampling="trilinear", output_activation="softmax",
            )
        ),
        (1, 1, 16, 24, 32),
    ),
    "classifier": lambda: (_classifier(), (1, 3, 32, 48)),
    "strided": lambda: (_strided(), (1, 1, 32, 16, 32)),
}  # fmt: skip
"""Networks, each with the size that it is exported at."""

PICTURES_OF: dict[str, tuple[str, str, str, bool]] = {
    # name: network, Netron, switches of its View menu, whether shapes stand beside the edges
    "notes_9": ("notes", "9", "none", False),
    "notes_9_attributes": ("notes", "9", "attributes", False),
    "notes_9_names": ("notes", "9", "names", False),
    "notes_9_horizontal_shapes": ("notes", "9", "direction", True),
    "notes_9_no_weights": ("notes", "9", "weights", False),
    "notes_7_attributes": ("notes", "7", "attributes", True),
    "residual_9_shapes": ("residual", "9", "none", True),
    "residual_7_names_attributes": ("residual", "7", "names,attributes", False),
    "instance_9": ("instance", "9", "none", False),
    "instance_7_horizontal_attributes": ("instance", "7", "direction,attributes", False),
    "classifier_9": ("classifier", "9", "none", True),
    "classifier_9_attributes": ("classifier", "9", "attributes", False),
    "anysize_9": ("anysize", "9", "none", False),
    "strided_9": ("strided", "9", "none", False),
    "strided_9_attributes_shapes": ("strided", "9", "attributes", True),
}

OPTIMISED = ("notes_9", "residual_9_shapes", "instance_7_horizontal_attributes")
"""Pictures that are kept as svgo saves them as well."""


class _Conv(nn.Sequential):
    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(before, after, 3, stride, padding=1), nn.InstanceNorm3d(after, affine=True),
            nn.LeakyReLU(0.1),
        )  # fmt: skip


class _Strided(nn.Module):
    """A U-Net that halves by strided convolutions, and not at all along its second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Sequential(_Conv(1, 4), _Conv(4, 4))
        self.middle = nn.Sequential(_Conv(4, 8, 2), _Conv(8, 8))
        self.bottom = nn.Sequential(_Conv(8, 16, 2), _Conv(16, 16))
        self.up1 = nn.ConvTranspose3d(16, 8, 2, 2)
        self.join1 = _Conv(16, 8)
        self.up0 = nn.ConvTranspose3d(8, 4, 2, 2)
        self.join0 = _Conv(8, 4)
        self.head = nn.Conv3d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top = self.top(x)
        middle = self.middle(top)
        x = self.join1(torch.cat([middle, self.up1(self.bottom(middle))], 1))
        return torch.softmax(self.head(self.join0(torch.cat([top, self.up0(x)], 1))), 1)


def _strided() -> nn.Module:
    return _Strided().eval()


def _classifier() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1, groups=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 5), nn.Softmax(dim=1),
    ).eval()  # fmt: skip


def _plain(plan: NetworkPlan) -> nn.Module:
    """A network for multiples of its strides, without the padding that makes it take any size."""
    network = build_network(plan).eval()
    network._pad = lambda x: x  # type: ignore[method-assign]
    network._crop = lambda y, _size: y  # type: ignore[method-assign]
    return network


def _any_size() -> onnx.ModelProto:
    """A network with its padding and cropping, as ``volunet export`` writes it."""
    rule = Normalisation(kind="clip_zscore", low=-200.0, high=400.0, mean=50.0, std=120.0)
    network = NetworkPlan(in_channels=1, out_channels=3, features=SHALLOW)
    plan = Plan(
        dataset="pictures", channels=("CT",), spacing_mm=(2.0, 1.5, 1.0), normalisation=(rule,),
        task=Segmentation(classes=("background", "hip", "femur"), label_values=(0, 1, 2),
        colours=((0, 0, 0), (255, 0, 0), (0, 255, 0))), patch_size=(16, 16, 16), batch_size=2,
        network=network,
    )  # fmt: skip
    return onnx.load_from_string(convert(build_network(network).eval(), plan))


def export(name: str, *, with_shapes: bool) -> onnx.ModelProto:
    """The ONNX model of one of the networks."""
    torch.manual_seed(0)
    if name == "anysize":
        return _any_size()
    network, size = NETWORKS[name]()
    file = io.BytesIO()
    if name != "strided":  # whose equal weights the exporter shares between its norms
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5)
    keep_norms = name == "residual"
    mode = torch.onnx.TrainingMode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(size),), file, dynamo=False, opset_version=17,
            input_names=["input"], output_names=["output"],
            training=mode.PRESERVE if keep_norms else mode.EVAL,
            do_constant_folding=not keep_norms,
        )  # fmt: skip
    model = onnx.load_from_string(file.getvalue())
    if with_shapes:
        return onnx.shape_inference.infer_shapes(model)
    del model.graph.value_info[:]
    return model


def describe(model: onnx.ModelProto) -> dict[str, object]:
    """What the tests compare a picture's network with."""
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    return {
        "inputs": {
            value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in model.graph.input
        },
        "nodes": [
            {
                "op_type": node.op_type,
                "name": node.name,
                "inputs": [name for name in node.input if name not in shapes],
                "weights": [shapes[name] for name in node.input if name in shapes],
                "outputs": list(node.output),
                "attributes": {
                    a.name: _plain_value(onnx.helper.get_attribute_value(a)) for a in node.attribute
                },
            }
            for node in model.graph.node
            if node.op_type != "Constant"
        ],
    }


def _plain_value(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, int | float | list) else None


def draw(model: Path, version: str, options: str, output: Path) -> None:
    """Draw a model with the real program."""
    target, port = WORK / f"netron{version}", 8100 + int(version)
    server = subprocess.Popen(
        [sys.executable, "-c",
         "import netron, time\n"
         f"netron.start({str(model)!r}, ('localhost', {port}), browse=False)\n"
         "time.sleep(600)"],
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        subprocess.run(["sleep", "3"], check=True)
        subprocess.run(
            ["node", HERE / "netron_export.mjs", WORK / "node_modules" / "playwright-core",
             "/usr/bin/chromium", f"http://localhost:{port}", options, output],
            check=True,
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait()


def svgo(text: str) -> str:
    """As svgo saves it by default."""
    done = subprocess.run(
        ["node", WORK / "node_modules" / "svgo" / "bin" / "svgo.js", "-i", "-", "-o", "-"],
        input=text.encode(), capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.decode()


def main(names: list[str]) -> None:
    PICTURES.mkdir(exist_ok=True)
    WORK.mkdir(exist_ok=True)
    for version, full in VERSIONS.items():
        if not (WORK / f"netron{version}").is_dir():
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--target",
                 WORK / f"netron{version}", f"netron=={full}"],
                check=True,
            )  # fmt: skip
    if not (WORK / "node_modules" / "svgo").is_dir():
        packages = ["playwright-core@1.65.1", "svgo@4.1.0"]
        subprocess.run(["npm", "install", "--prefix", WORK, *packages], check=True)
    for name, (network, version, options, with_shapes) in PICTURES_OF.items():
        if names and name not in names:
            continue
        model = export(network, with_shapes=with_shapes)
        file = WORK / f"{network}.onnx"
        onnx.save(model, file)
        text = json.dumps(describe(model), indent=1)
        text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
        if network != "anysize":  # whose picture does not show all of its network
            (PICTURES / f"{network}.onnx.json").write_text(text + "\n")
        draw(file, version, options, PICTURES / f"{name}.svg")
    for name in OPTIMISED:
        if not names or name in names:
            text = (PICTURES / f"{name}.svg").read_text()
            (PICTURES / f"{name}_svgo.svg").write_text(svgo(text))


if __name__ == "__main__":
    main(sys.argv[1:])
