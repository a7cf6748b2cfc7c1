"""`Case` and `DataSet`: what every layout of scans on disk is read into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One scan, with its label map where there is one.

    Attributes:
        name: Unique in its data set; predictions are written under it.
        images: One file a channel, or one file that holds all channels.
        label: The label map; None for a scan to predict.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None


@dataclass(frozen=True)
class DataSet:
    """A folder or table of cases, read in place.

    Attributes:
        name: Name of the data set.
        root: The folder or table that it was read from.
        channels: Name of each input channel.
        labels: Value in the label maps → class name, background (0) first, then ascending.
        cases: The labelled cases, sorted by name.
    """

    name: str
    root: Path
    channels: tuple[str, ...]
    labels: dict[int, str]
    cases: tuple[Case, ...]
