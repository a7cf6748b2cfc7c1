"""Table 1: the largest difference of logits between the streamed pass and a whole one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring.report import markdown_table
from benchmarks.streaming.child import run_child
from benchmarks.streaming.scan import Size3, ct, gap, size_text, streamed

# Nothing heavy is imported up here: a child's highest resident set begins with its parent's.

SIZES: tuple[Size3, ...] = (
    (96, 48, 64), (48, 96, 64), (64, 48, 96), (81, 65, 51), (51, 81, 65), (65, 51, 81),
)  # fmt: skip


def exactness(folder: Path, plainconv: Path | None) -> str:
    """Largest difference of logits to a whole pass."""
    rows = []
    for name in ("notes", "residual", "trilinear", "instance", "basicunet", "plainconvunet"):
        path = folder / f"{name}.onnx"
        if not run_child("export", name, str(path), str(plainconv or "")):
            rows.append([name, "not run: give --plainconv", "", "", "", ""])
            continue
        found = run_child("compare", str(path))["sizes"]
        rows.append([
            name,
            f"{max(f['torch'] for f in found):.1e}",
            f"{max(f['openvino'] for f in found):.1e}",
            f"{found[0]['ours_to_float64']:.1e}",
            f"{found[0]['openvino_to_float64']:.1e}",
            f"{max(f['largest'] for f in found):.2f}",
        ])  # fmt: skip
    sizes = ", ".join(size_text(size) for size in SIZES)
    table = markdown_table(
        ["network", "to PyTorch's whole pass", "to OpenVINO's whole pass", "ours to float64",
         "OpenVINO's whole pass to float64", "largest logit"], rows,
    )  # fmt: skip
    note = (
        "Largest absolute difference of logits, over all sizes, each with the quickest plan and "
        "with one that holds a third less; to float64 at the first size. Where a network has "
        "instance norms, OpenVINO's whole pass is itself further from the exact answer than the "
        "streamed one: its statistics are running float32 sums."
    )
    return f"## Exactness\n\nSizes {sizes}.\n\n{table}\n\n{note}"


def export(name: str, path: str, plainconv: str) -> dict[str, Any] | None:
    import torch

    torch.manual_seed(0)
    if name in ("basicunet", "plainconvunet"):
        if name == "basicunet":
            from monai.networks.nets import BasicUNet

            net: Any = BasicUNet(spatial_dims=3, in_channels=1, out_channels=2)
        else:
            if not plainconv:
                return None
            sys.path.append(plainconv)
            from dynamic_network_architectures.architectures.unet import PlainConvUNet

            net = PlainConvUNet(
                1, 5, (32, 64, 128, 256, 320), torch.nn.Conv3d, 3, [1, 2, 2, 2, 2], 2, 2, 2,
                conv_bias=True, norm_op=torch.nn.InstanceNorm3d, norm_op_kwargs={"affine": True},
                nonlin=torch.nn.LeakyReLU, nonlin_kwargs={"inplace": True},
            )  # fmt: skip
        # Sizes that the strides do not divide do not fit these networks: their export is of the
        # padded size, here 16.
        axes = dict.fromkeys((2, 3, 4), torch.export.Dim.DYNAMIC)
        example = torch.zeros(1, 1, 48, 64, 80)
        program = torch.onnx.export(
            net.eval(), (example,), dynamo=True, dynamic_shapes=({**axes},), verbose=False
        )
        program.save(path)
        return {"ok": True}
    from volunet.exporting.convert import convert
    from volunet.nets import build_network, notes_plan
    from volunet.plan import NetworkPlan, Normalisation, Plan
    from volunet.tasks.segmentation.plan import Segmentation

    keys: dict[str, Any] = {
        "residual": {"residual": True, "norm": "batch"},
        "trilinear": {"upsampling": "trilinear", "alignment": "crop"},
        "instance": {"norm": "instance", "activation": "leaky_relu", "alignment": "pad"},
    }
    network = notes_plan(1, 1) if name == "notes" else NetworkPlan(
        in_channels=1, out_channels=2, features=(32, 64, 128, 256), **keys[name]
    )  # fmt: skip
    rule = Normalisation(kind="clip_zscore", low=-1000, high=1000, mean=0, std=400)
    plan = Plan(
        dataset=name, channels=("CT",), orientation="any", spacing_mm=None, normalisation=(rule,),
        task=Segmentation(
            classes=("background", "bone"), label_values=(0, 1), colours=((0, 0, 0), (255, 0, 0)),
        ),
        patch_size=(64, 64, 64), batch_size=1, network=network,
    )  # fmt: skip
    Path(path).write_bytes(convert(build_network(network).eval(), plan))
    return {"ok": True}


def compare(path: str) -> dict[str, Any]:
    return {"sizes": [_compare_at(path, size) for size in SIZES]}


def _compare_at(path: str, size: Size3) -> dict[str, float]:
    import numpy as np
    import torch

    from volunet.graph.reading.onnx_file import read_onnx
    from volunet.inference.engines import open_engine
    from volunet.inference.engines.torch_graph import TorchGraph

    multiple = 16 if Path(path).stem in ("basicunet", "plainconvunet") else 1
    depth, height, width = (-(-length // multiple) * multiple for length in size)
    x = ct((depth, height, width))
    whole = open_engine(Path(path), "openvino").run(x)
    plain, plan = streamed(path, x, None)
    tight, _ = streamed(path, x, plan.peak_bytes - plan.footprint.memory_bytes // 3)
    in_torch = TorchGraph(read_onnx(path), path, torch.float32, size=x.shape).run([x])[0]
    found = {
        "openvino": max(gap(plain, whole), gap(tight, whole)),
        "torch": max(gap(plain, in_torch), gap(tight, in_torch)),
        "largest": gap(whole, np.zeros(1)),
    }
    if size == SIZES[0]:  # slow
        exact = TorchGraph(read_onnx(path), path, torch.float64, size=x.shape).run([x])[0]
        found |= {
            "ours_to_float64": max(gap(plain, exact), gap(tight, exact)),
            "openvino_to_float64": gap(whole, exact),
        }
    return found
