"""nnU-Net v2's layout: ``imagesTr/{case}_{XXXX}{ending}``, ``labelsTr/{case}{ending}``.

The four digits number the channel. Forgetting them, or numbering patients with them, is the
commonest mistake in this layout; each such mistake is matched or explained here.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from pathlib import Path

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.layouts.description import (
    Description,
    find_description,
    read_channels,
    read_labels,
)
from volunet.datasets.layouts.names import is_leftover, sort_cases
from volunet.errors import DatasetError
from volunet.tasks.segmentation.annotations import LabelMaps

EXPECTED = (
    'nnU-Net v2: a folder with a dataset.json that has "channel_names", "labels" and '
    '"file_ending", and the folders imagesTr and labelsTr'
)

_LOG = logging.getLogger(__name__)
_SUFFIX = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")

ImageFiles = dict[str, dict[int, Path]]
"""Case name → channel number → image file."""


def find(path: Path) -> bool:
    """Whether the folder is laid out like nnU-Net v2.

    Raises:
        DatasetError: Its ``dataset.json`` is not JSON.
    """
    description = find_description(path)
    return description is not None and description.has("channel_names", "file_ending")


def read(path: Path) -> DataSet:
    """Read the folder's ``dataset.json`` and file names; the scans themselves are not opened.

    Raises:
        DatasetError: A key is missing or wrong, the files do not fit the naming rule, or no
            labelled case is found.
    """
    description = find_description(path)
    if description is None:
        raise DatasetError(path, "no dataset.json", EXPECTED, "Pass the folder that has it.")
    channels = read_channels(description, "channel_names")
    labels = read_labels(description)
    if description.has("dataset"):
        cases = _listed_cases(description, channels)
    else:
        ending = description.require("file_ending", '"file_ending": ".nii.gz"')
        if not isinstance(ending, str) or not ending.startswith("."):
            raise description.wrong("file_ending", f"{ending!r}", 'It must be such as ".nii.gz".')
        cases = _cases_in_folders(path, ending, channels)
    name = description.content.get("name")
    return DataSet(
        name=name if isinstance(name, str) and name else path.resolve().name,
        root=path,
        channels=channels,
        annotations=LabelMaps(labels),
        cases=sort_cases(cases, description.file),
    )


def _listed_cases(description: Description, channels: tuple[str, ...]) -> list[Case]:
    """The cases of the optional key ``dataset``, whose paths are relative to the folder."""
    example = '"dataset": {"case_1": {"images": ["a_0000.nii.gz"], "label": "a.nii.gz"}}'
    folder = description.file.parent
    cases = []
    for name, entry in description.mapping("dataset", example).items():
        images, label = (
            (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        )
        if (
            not isinstance(images, list)
            or not all(isinstance(image, str) for image in images)
            or not isinstance(label, str)
        ):
            raise description.wrong(
                f"dataset.{name}", f"{entry!r}", f"Each case is written like {example}."
            )
        if len(images) != len(channels):
            raise description.wrong(
                f"dataset.{name}.images",
                f"{len(images)} files",
                f"One file a channel is needed: {', '.join(channels)}.",
            )
        cases.append(Case(name, tuple(folder / image for image in images), folder / label))
    return cases


def _cases_in_folders(root: Path, ending: str, channels: tuple[str, ...]) -> list[Case]:
    images_folder, labels_folder = root / "imagesTr", root / "labelsTr"
    images = _image_files(_stems(images_folder, ending), len(channels))
    labels = _stems(labels_folder, ending)
    _check_patients(images, images_folder, ending, channels)
    cases = []
    for name, label in _match_labels(labels, images, len(channels)).items():
        known = images.get(name, {})
        files = (
            known.get(number, images_folder / f"{name}_{number:04d}{ending}")
            for number in range(len(channels))
        )
        cases.append(Case(name, tuple(files), label))
    unlabelled = sorted(set(images) - {case.name for case in cases})
    if unlabelled:
        _LOG.warning(
            "%s: %d images have no label map and are left out: %s",
            images_folder,
            len(unlabelled),
            ", ".join(unlabelled),
        )
    return cases


def _stems(folder: Path, ending: str) -> dict[str, Path]:
    """Name without ending → file, for every file of the folder with that ending."""
    if not folder.is_dir():
        raise DatasetError(folder, "no such folder", EXPECTED, "Add the folder.")
    names = sorted(path for path in folder.iterdir() if not is_leftover(path))
    stems = {path.name[: -len(ending)]: path for path in names if path.name.endswith(ending)}
    if not stems:
        found = ", ".join(path.name for path in names[:5]) or "nothing"
        raise DatasetError(
            folder,
            f"no file that ends in {ending} (found: {found})",
            f'dataset.json says "file_ending": "{ending}".',
            "Put the files there, or correct file_ending.",
        )
    return stems


def _image_files(stems: dict[str, Path], num_channels: int) -> ImageFiles:
    images: ImageFiles = defaultdict(dict)
    bare = {}
    for stem, path in stems.items():
        match = _SUFFIX.fullmatch(stem)
        if match:
            images[match["case"]][int(match["channel"])] = path
        else:
            bare[stem] = path
    if bare and num_channels > 1:
        raise DatasetError(
            next(iter(bare.values())).parent,
            f"{len(bare)} images without a channel suffix: {', '.join(list(bare)[:10])}",
            f"With {num_channels} channels each image ends in _0000, _0001, …",
            "Rename them, so that each says which channel it is.",
        )
    for stem, path in bare.items():
        if 0 in images[stem]:
            raise DatasetError(
                path,
                f"the same case as {images[stem][0].name}",
                "A case has one image a channel.",
                "Remove one of the two.",
            )
        images[stem][0] = path
    if bare:
        _LOG.warning("%d images carry no channel suffix; taken as channel 0000", len(bare))
    return dict(images)


def _check_patients(
    images: ImageFiles, folder: Path, ending: str, channels: tuple[str, ...]
) -> None:
    """Refuse more channels than declared: mostly the digits number patients."""
    many = {name: files for name, files in images.items() if max(files) >= len(channels)}
    if not many:
        return
    found = "; ".join(
        f"{name}: {len(files)} ({', '.join(f'{number:04d}' for number in sorted(files)[:6])})"
        for name, files in list(many.items())[:10]
    )
    raise DatasetError(
        folder,
        f"more channels than declared. {found}",
        f"dataset.json declares {len(channels)}: {', '.join(channels)}. Are these patients?",
        f"If they are patients, rename each image to <patient>_0000{ending}, such as "
        f"{next(iter(many))}_0001_0000{ending}; if channels, name all in channel_names.",
    )


def _match_labels(
    labels: dict[str, Path], images: ImageFiles, num_channels: int
) -> dict[str, Path]:
    """Case name → label map; ``case_0000`` is matched to ``case`` where only that can be meant."""
    bases = {
        stem: match["case"]
        for stem in labels
        if stem not in images and (match := _SUFFIX.fullmatch(stem)) and match["case"] in images
    }
    counts = Counter(bases.values())
    matched = {}
    for stem, path in labels.items():
        base = bases.get(stem)
        if base is None:
            matched[stem] = path
        elif counts[base] > 1 or base in labels or int(stem[-4:]) >= num_channels:
            raise DatasetError(
                path,
                f"the label carries a channel suffix, and is not the only one of case {base}",
                "A case has one label map, labelsTr/{case} without _0000.",
                "Rename the label to its case, and remove the others.",
            )
        else:
            _LOG.warning("%s: the label carries a channel suffix; matched to %s", path, base)
            matched[base] = path
    return matched
