"""Exact whole-volume prediction in a bounded memory: exactness, memory, time and largest volumes.

The notes' network (32 to 512 channels, seeded weights) on a public CT resampled to size, and five
other networks; each table is of one run:

1. Largest difference of logits between the streamed pass and one whole pass, at six sizes, the
   longest axis first, in the middle and last, odd ones among them; each with the quickest plan and
   with one whose budget makes it recompute or spill. MONAI's BasicUNet and nnU-Net's PlainConvUNet
   are exported by PyTorch.
2. Peak of the process, measured from outside, beside the predicted one, at 512×512×256 and
   512×512×1000 within 4 GB.
3. Seconds of the streamed pass by those of a whole OpenVINO pass, both of a compiled model, in
   alternation.
4. Seconds of MONAI's `sliding_window_inference` (128³, overlap 0.5, Gaussian) by those of the
   streamed pass.
5. The largest volume within 4, 8 and 16 GB, in steps of 64 voxels an axis (whole passes: 16), by
   the predictions that tables 2 and
   ``benchmarks/inspection`` hold against measurements.
6. Convolutions of slices as 2D ones over the channels of three, by engine.
7. Peak at 256 and at 1000 slices of 128×128 with one budget, which leaves the same plan for both.

    python -m benchmarks streaming --output benchmarks/results/streaming.md

takes about an hour, 12 GB of memory and 3 GB of disk on 2 cores, and reads ../shared/data.
``--parts 1,3`` runs some of them, as our own results were made (results/streaming_*.md, each with
its command), ``--plainconv FOLDER`` says where nnU-Net's
dynamic-network-architectures lies (pip install --no-deps --target FOLDER; with its dependencies it
would bring another torchvision).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring.report import publish
from benchmarks.streaming import timing
from benchmarks.streaming.convolutions import convolutions
from benchmarks.streaming.exactness import exactness
from benchmarks.streaming.largest import largest
from benchmarks.streaming.memory import depth, memory
from benchmarks.streaming.scan import SCAN, size_of
from benchmarks.streaming.timing import against_monai, against_whole

PACKAGES = ("volunet", "torch", "openvino", "onnxruntime", "monai")


def main() -> None:
    """Run the parts that are asked for and publish them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--parts", default="1,2,3,4,5,6,7")
    parser.add_argument("--plainconv", type=Path)
    parser.add_argument("--timed", help="size of table 3, such as 224x144x144, instead of its two")
    arguments = parser.parse_args()
    if not (SCAN / "ct_torso_3mm.nii.gz").is_file():
        sys.exit(f"{SCAN}: the public scans are not beside the project")
    parts: dict[str, Callable[[Path, Path | None], str]] = {
        "1": exactness, "2": memory, "3": against_whole, "4": against_monai, "5": largest,
        "6": convolutions, "7": depth,
    }  # fmt: skip
    if arguments.timed:
        timing.TIMED = (size_of(arguments.timed.replace("x", "×")),)
    texts = []
    with tempfile.TemporaryDirectory() as folder:
        for part in arguments.parts.split(","):
            texts.append(parts[part](Path(folder), arguments.plainconv))
            print(texts[-1], flush=True)
    publish("Streamed prediction", "\n\n".join(texts), PACKAGES, arguments.output)
