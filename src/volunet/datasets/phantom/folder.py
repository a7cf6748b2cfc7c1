"""Write phantoms as a data set in nnU-Net's v2 layout, the one that most tools read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from volunet.datasets.phantom.phantom import (
    CLASSES,
    DEFAULT_SPACING_MM,
    Phantom,
    Range,
    check_spacing,
    make_phantom,
)
from volunet.errors import ConfigError
from volunet.volumes.atomic import atomic_path, check_output_folder
from volunet.volumes.write import write_volume


def write_phantoms(
    folder: Path,
    num_cases: int = 24,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    spacing_mm: tuple[Range, Range, Range] = DEFAULT_SPACING_MM,
) -> None:
    """Write a data set of phantoms.

    The folder gets ``imagesTr/phantom_000_0000.nii.gz``, ``labelsTr/phantom_000.nii.gz`` and
    ``landmarksTr/phantom_000.json`` for each case, and ``dataset.json``. The latter comes last,
    so that an interrupted run is not taken for a whole data set.

    Args:
        folder: Where to write; it must be empty or not be there yet.
        num_cases: Number of phantoms.
        seed: Determines all of them; another seed shares no phantom with this one.
        progress: Called after each case with the number done and the number in all.
        spacing_mm: Lowest and highest voxel spacing in mm for each of (D, H, W).

    Raises:
        ConfigError: No cases, a negative seed, or a spacing that is not positive.
        OutputError: The folder is not empty or cannot be written to.

    Source:
        https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
    """
    _check_numbers(num_cases, seed)
    check_spacing(spacing_mm)
    check_output_folder(folder)
    for index in range(num_cases):
        name = f"phantom_{index:03d}"
        case_seed = int(np.random.SeedSequence((seed, index)).generate_state(1)[0])
        phantom = make_phantom(case_seed, spacing_mm)
        write_volume(phantom.image, folder / "imagesTr" / f"{name}_0000.nii.gz")
        write_volume(phantom.label, folder / "labelsTr" / f"{name}.nii.gz")
        _write_json(folder / "landmarksTr" / f"{name}.json", _landmarks(phantom, case_seed))
        if progress is not None:
            progress(index + 1, num_cases)
    _write_json(folder / "dataset.json", _dataset(num_cases))


def _landmarks(phantom: Phantom, case_seed: int) -> dict[str, object]:
    return {
        "seed": case_seed,
        "landmarks_mm": {
            name: [round(value, 4) for value in place]
            for name, place in phantom.landmarks_mm.items()
        },
        "landmarks_voxel": {
            name: [round(value, 4) for value in place]
            for name, place in phantom.landmarks_voxel.items()
        },
        "units": "landmarks_mm: mm in RAS+ (x, y, z); landmarks_voxel: NIfTI index (i, j, k)",
    }


def _dataset(num_cases: int) -> dict[str, object]:
    return {
        "name": "phantom",
        "description": "Synthetic hip-and-femur CT phantoms with exact labels and landmarks",
        "channel_names": {"0": "CT"},
        "labels": {name: value for value, name in enumerate(CLASSES)},
        "numTraining": num_cases,
        "file_ending": ".nii.gz",
    }


def _write_json(path: Path, content: dict[str, object]) -> None:
    with atomic_path(path) as place:
        place.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _check_numbers(num_cases: int, seed: int) -> None:
    if num_cases < 1:
        raise ConfigError(
            "num_cases",
            f"{num_cases} phantoms",
            "A data set has at least one case.",
            "Ask for one or more, for instance 24.",
        )
    if seed < 0:
        raise ConfigError("seed", f"{seed}", "A seed is 0 or more.", "Drop the minus sign.")
