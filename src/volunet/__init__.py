"""volunet: any-size 3D U-Nets for volumetric images, from a folder of scans to one ONNX file.

The functions here mirror the commands, argument for flag. Each is imported when it is first used:
``import volunet`` is quick, and prediction never imports PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from volunet.api.check import check
    from volunet.api.demo import demo
    from volunet.api.doctor import doctor
    from volunet.api.draw import draw
    from volunet.api.evaluate import evaluate
    from volunet.api.export import export
    from volunet.api.inspect import inspect
    from volunet.api.phantom import phantom
    from volunet.api.predict import predict
    from volunet.api.reverse import reverse
    from volunet.api.shapes import shapes
    from volunet.api.train import train
    from volunet.plan import Plan
    from volunet.volumes import Volume, read_volume, write_volume

__all__ = [
    "Plan",
    "Volume",
    "check",
    "demo",
    "doctor",
    "draw",
    "evaluate",
    "export",
    "inspect",
    "phantom",
    "predict",
    "read_volume",
    "reverse",
    "shapes",
    "train",
    "write_volume",
]

_HOMES = {
    "Plan": "volunet.plan",
    "Volume": "volunet.volumes",
    "read_volume": "volunet.volumes",
    "write_volume": "volunet.volumes",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'volunet' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, f"volunet.api.{name}")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
