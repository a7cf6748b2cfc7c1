"""Which cases train and which validate: K of N folds, the same on every machine.

The shuffle sorts the names by a seeded hash, so that it depends on no library's random numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeGuard

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.json_file import read_json
from volunet.errors import ConfigError, DatasetError

SPLITS_FILE = "splits_final.json"
"""nnU-Net's name for its folds."""

DEFAULT_FOLDS = 5
"""Folds where nobody names a number: a fifth of the cases validates."""

_SEED = "volunet-1"


@dataclass(frozen=True)
class Fold:
    """Fold `number` of `count`, counted from 1; one of one means that none validates.

    Raises:
        ConfigError: The number is not within 1…count.

    Example:
        >>> Fold.parse("2/5")
        Fold(number=2, count=5)
        >>> str(Fold.parse("none"))
        'none'
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ConfigError(
                "fold",
                f"{self.number}/{self.count}",
                "A fold is K/N with K from 1 to N.",
                f"Use 1/{max(self.count, 2)}, or none to train on every case.",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"K/N"``, N ≥ 2, or ``"none"``.

        Raises:
            ConfigError: The text is neither.
        """
        if text.strip().lower() == "none":
            return cls(1, 1)
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if match is None or int(match[2]) < 2:
            raise ConfigError(
                "fold",
                f"{text!r}",
                "A fold is K/N with N at least 2, such as 1/5; all or all/N trains a network a "
                "fold; none validates on no case.",
                "Use 1/5, all or none.",
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def is_none(self) -> bool:
        """Whether every case trains and none validates."""
        return self.count == 1

    def __str__(self) -> str:
        return "none" if self.is_none else f"{self.number}/{self.count}"


def parse_folds(text: str, num_cases: int) -> tuple[Fold, ...]:
    """The folds that a text names: one, none, or all for bagging.

    Args:
        text: ``K/N``, ``none``, ``all`` or ``all/N``.
        num_cases: Cases that there are: ``all`` has `DEFAULT_FOLDS`, or one a case.

    Raises:
        ConfigError: It is none of these.

    Example:
        >>> [str(fold) for fold in parse_folds("all", 3)]
        ['1/3', '2/3', '3/3']
        >>> parse_folds("2/5", 30)
        (Fold(number=2, count=5),)
    """
    match = re.fullmatch(r"\s*all\s*(?:/\s*(\d+)\s*)?", text, re.IGNORECASE)
    if match is None:
        return (Fold.parse(text),)
    count = int(match[1]) if match[1] else max(2, min(DEFAULT_FOLDS, num_cases))
    return tuple(Fold.parse(f"{number}/{count}") for number in range(1, max(count, 1) + 1))


@dataclass(frozen=True)
class Split:
    """The case names of one fold.

    Attributes:
        training: Names of the cases that train.
        validation: Names of the cases that validate.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]


def split_cases(
    cases: Sequence[Case], fold: Fold, splits: Sequence[Split] | None = None
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Divide cases into those that train and those that validate.

    Args:
        cases: All labelled cases, in any order.
        fold: Which fold of how many.
        splits: The data set's own folds (`find_splits`); used where there are as many as the fold
            asks for. Cases that they do not mention are in neither part.

    Returns:
        Training and validation cases, each sorted by name. Over the folds every case validates
        once, and the folds' sizes differ by one at most.

    Raises:
        DatasetError: There are fewer cases than folds, or a fold of `splits` is empty.
    """
    ordered = sorted(cases, key=lambda case: case.name)
    if fold.is_none:
        return tuple(ordered), ()
    if splits is not None and len(splits) == fold.count:
        return _apply(splits[fold.number - 1], ordered, fold)
    if len(ordered) < fold.count:
        best = f"--fold 1/{len(ordered)}" if len(ordered) >= 2 else "--fold none"
        raise DatasetError(
            "fold",
            f"{fold} of {len(ordered)} cases",
            f"Each fold validates at least one case: at most {len(ordered)} folds.",
            f"Use {best}, or add cases.",
        )
    shuffled = sorted(ordered, key=lambda case: _digest(case.name))
    held_out = {case.name for case in shuffled[fold.number - 1 :: fold.count]}
    return (
        tuple(case for case in ordered if case.name not in held_out),
        tuple(case for case in ordered if case.name in held_out),
    )


def find_splits(dataset: DataSet) -> tuple[Split, ...] | None:
    """The folds in nnU-Net's ``splits_final.json`` beside the data set, or None without one.

    Raises:
        DatasetError: The file is no list of ``{"train": […], "val": […]}``, or a case is in both.
    """
    folder = dataset.root if dataset.root.is_dir() else dataset.root.parent
    file = folder / SPLITS_FILE
    if not file.is_file():
        return None
    content = read_json(file)
    if not isinstance(content, list) or not content:
        raise _malformed(file, "no list of folds")
    return tuple(_read_split(file, number, entry) for number, entry in enumerate(content))


def _digest(name: str) -> bytes:
    return hashlib.sha256(f"{_SEED}:{name}".encode()).digest()


def _apply(
    split: Split, cases: list[Case], fold: Fold
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    training = tuple(case for case in cases if case.name in split.training)
    validation = tuple(case for case in cases if case.name in split.validation)
    if not training or not validation:
        empty = "training" if not training else "validation"
        raise DatasetError(
            SPLITS_FILE,
            f"fold {fold} leaves no {empty} case",
            f"Its names must be those of the data set, such as {cases[0].name if cases else '-'}.",
            "Correct the names, or remove the file to have volunet split the cases.",
        )
    return training, validation


def _read_split(file: Path, number: int, entry: object) -> Split:
    train, val = (entry.get("train"), entry.get("val")) if isinstance(entry, dict) else (None, None)
    if not _are_names(train) or not _are_names(val):
        raise _malformed(file, f"fold {number} without the name lists train and val")
    split = Split(tuple(train), tuple(val))
    both = sorted(set(split.training) & set(split.validation))
    if both:
        raise DatasetError(
            file,
            f"fold {number} both trains on and validates {', '.join(both[:10])}",
            "A case that trains cannot judge the network.",
            "Remove the names from one of the two lists.",
        )
    return split


def _are_names(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _malformed(file: Path, found: str) -> DatasetError:
    return DatasetError(
        file,
        found,
        'The file is a list of {"train": [names], "val": [names]}, one entry a fold.',
        "Mend or remove the file.",
    )
