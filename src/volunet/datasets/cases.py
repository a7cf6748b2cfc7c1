"""`Case` and `DataSet`: what every layout of scans on disk is read into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from volunet.tasks.annotations import Annotations, Source


@dataclass(frozen=True)
class Case:
    """One scan, with its label where there is one.

    Attributes:
        name: Unique in its data set; predictions are written under it.
        images: One file a channel, or one file that holds all channels.
        label: What it is labelled with, such as a label map; None for a scan to predict.
    """

    name: str
    images: tuple[Path, ...]
    label: Source | None = None


@dataclass(frozen=True)
class DataSet:
    """A folder or table of cases, read in place.

    Attributes:
        name: Name of the data set.
        root: The folder or table that it was read from.
        channels: Name of each input channel.
        annotations: What is known of its labels, by the task that they are for.
        cases: The labelled cases, sorted by name.
    """

    name: str
    root: Path
    channels: tuple[str, ...]
    annotations: Annotations
    cases: tuple[Case, ...]
