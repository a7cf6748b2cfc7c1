"""Score a folder of predictions against its references, and say what was not scored.

A mean alone hides what it leaves out: `Evaluation` keeps every case and class, the files without a
partner, and for each mean the number of values that were not finite.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from volunet.errors import VolumeError
from volunet.extras import check_train_extra
from volunet.tasks.segmentation.label_pairs import LabelNames, find_label_names, find_pairs
from volunet.tasks.segmentation.plan import Segmentation
from volunet.volumes import Volume, atomic_path, check_same_grid, read_grid, read_volume
from volunet.volumes.axes import Spacing3

if TYPE_CHECKING:
    from volunet.tasks.segmentation.metrics import ClassScore

CSV_COLUMNS: Final = (
    "case",
    "class",
    "dice",
    "surface_dice",
    "hd95_mm",
    "volume_difference_ml",
)
"""Columns of the table that `Evaluation.write_csv` writes."""

_HEADER: Final = ("class", "Dice", "surface Dice", "HD95 (mm)", "volume difference (ml)")

_LABEL_ROUNDING: Final = 1e-3
"""Labels that were stored as scaled integers come back as 3.00000006; this much is forgiven."""


@dataclass(frozen=True)
class Row:
    """The scores of one class in one case; see `volunet.tasks.segmentation.metrics.ClassScore`."""

    case: str
    class_name: str
    label_value: int
    dice: float
    surface_dice: float
    hd95_mm: float
    volume_difference_ml: float
    note: str = ""


@dataclass(frozen=True)
class Statistic:
    """Mean and spread of the finite values of one score.

    Attributes:
        mean: Mean; NaN without a finite value.
        sd: Sample standard deviation (n − 1); NaN below two finite values.
        count: Finite values.
        left_out: Values that are NaN or infinite.
    """

    mean: float
    sd: float
    count: int
    left_out: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Statistic:
        """Summarise values.

        Example:
            >>> Statistic.of([0.5, 1.0, float("inf")])
            Statistic(mean=0.75, sd=0.3535533905932738, count=2, left_out=1)
        """
        finite = [value for value in values if math.isfinite(value)]
        return cls(
            mean=statistics.fmean(finite) if finite else math.nan,
            sd=statistics.stdev(finite) if len(finite) > 1 else math.nan,
            count=len(finite),
            left_out=len(values) - len(finite),
        )

    def text(self, digits: int) -> str:
        """The statistic as tables show it.

        Example:
            >>> Statistic.of([0.5, 1.0, float("inf")]).text(2)
            '0.75 ± 0.35 (1 left out)'
        """
        parts = [f"{self.mean:.{digits}f}" if self.count else "–"]
        if self.count > 1:
            parts.append(f"± {self.sd:.{digits}f}")
        if self.left_out:
            parts.append(f"({self.left_out} left out)")
        return " ".join(parts)


@dataclass(frozen=True)
class ClassSummary:
    """One class over all cases."""

    class_name: str
    label_value: int
    dice: Statistic
    surface_dice: Statistic
    hd95_mm: Statistic
    volume_difference_ml: Statistic


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        rows: One a case and class, sorted by case, then label value.
        missing: Cases with a reference and no prediction. They count in no mean.
        extra: Cases with a prediction and no reference.
        surface_tolerance_mm: Tolerance of the surface Dice in mm.
    """

    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    surface_tolerance_mm: float = 1.0

    @property
    def num_cases(self) -> int:
        """Number of cases that were scored."""
        return len({row.case for row in self.rows})

    @property
    def mean_foreground_dice(self) -> float:
        """Mean over classes of each class's mean Dice over cases.

        Every class weighs the same, however many cases have it. NaN where no class is in any case.
        """
        return Statistic.of([line.dice.mean for line in self.summary()]).mean

    def summary(self) -> list[ClassSummary]:
        """Mean and standard deviation of each score, a class a line, over finite values only.

        Absent classes (all NaN) and the infinite HD95 of a missed or invented class are left out
        and counted in `Statistic.left_out`; the latter's Dice of 0 is finite and stays in.
        """
        classes = dict(sorted({row.label_value: row.class_name for row in self.rows}.items()))
        lines = []
        for value, name in classes.items():
            rows = [row for row in self.rows if row.label_value == value]
            lines.append(
                ClassSummary(
                    name,
                    value,
                    dice=Statistic.of([row.dice for row in rows]),
                    surface_dice=Statistic.of([row.surface_dice for row in rows]),
                    hd95_mm=Statistic.of([row.hd95_mm for row in rows]),
                    volume_difference_ml=Statistic.of([row.volume_difference_ml for row in rows]),
                )
            )
        return lines

    @property
    def headline(self) -> tuple[str, float]:
        """The mean foreground Dice."""
        return "mean foreground Dice", self.mean_foreground_dice

    @property
    def header(self) -> tuple[str, ...]:
        """See `table`."""
        return _HEADER

    @property
    def explanation(self) -> str:
        """What the columns of `table` mean."""
        return (
            f"Surface Dice at a tolerance of {self.surface_tolerance_mm:g} mm. Volume: "
            "prediction − reference. “Left out”: the class is in neither label map, or, for HD95, "
            "in only one of them."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted of a class in a case."""
        return tuple(f"{row.case}, {row.class_name}: {row.note}" for row in self.rows if row.note)

    def table(self) -> list[tuple[str, ...]]:
        """Mean ± SD of each score, a row a class."""
        return [
            (
                line.class_name,
                line.dice.text(3),
                line.surface_dice.text(3),
                line.hd95_mm.text(2),
                line.volume_difference_ml.text(2),
            )
            for line in self.summary()
        ]

    def line_of(self, case: str) -> str:
        """The Dice of each class that a case has."""
        rows = [row for row in self.rows if row.case == case]
        found = [f"{row.class_name} {row.dice:.3f}" for row in rows if math.isfinite(row.dice)]
        return "Dice: " + ", ".join(found) if found else ""

    def write_csv(self, path: Path) -> None:
        """Write every row as a table with the columns `CSV_COLUMNS`.

        Scores have 6 significant digits. A class absent from both label maps reads ``nan``, an
        infinite distance ``inf``: pandas, R and NumPy read both as numbers.

        Args:
            path: The file; its folder is made where it does not exist.

        Raises:
            OutputError: The file cannot be written.
        """
        with (
            atomic_path(path) as place,
            place.open("w", newline="", encoding="utf-8") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(CSV_COLUMNS)
            for row in self.rows:
                scores = (row.dice, row.surface_dice, row.hd95_mm, row.volume_difference_ml)
                table.writerow([row.case, row.class_name, *(f"{score:.6g}" for score in scores)])


def evaluate(
    predictions: Path,
    references: Path,
    classes: Mapping[int, str] | None = None,
    surface_tolerance_mm: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score label maps against their references.

    Args:
        predictions: Folder of label maps, or one.
        references: Folder of label maps, matched by file name without ending, or one.
        classes: Label value → class name. Without it, those of a ``dataset.json`` beside or above
            the references. Values that are found and not named are scored as "class 5".
        surface_tolerance_mm: Distance in mm up to which a surface voxel counts as right.
        progress: Called with the number of cases done and the number of all.

    Returns:
        A row for every case and for every class that is named or found in any case.

    Raises:
        ConfigError: PyTorch is not installed, or the tolerance is no length.
        DatasetError: No prediction matches a reference, or ``dataset.json`` is damaged.
        VolumeError: A file is not a label map, or a pair does not share one grid.
    """
    check_train_extra("evaluate")
    from volunet.tasks.segmentation.metrics import absent_score, score_case

    matched = find_pairs(predictions, references)
    declared = find_label_names(references) if classes is None else LabelNames(dict(classes))
    names = dict(declared.names) if declared else {}
    ignored = declared.ignored if declared else None
    # Headers first: a pair that cannot be scored shows before hours of scoring, not after.
    for prediction_path, reference_path in matched.pairs.values():
        check_same_grid(
            read_grid(reference_path),
            read_grid(prediction_path),
            prediction_path,
            names=("reference", "prediction"),
        )
    scored: dict[str, dict[int, ClassScore]] = {}
    for done, (case, paths) in enumerate(matched.pairs.items()):
        if progress is not None:
            progress(done, len(matched.pairs))
        prediction, reference, spacing_mm = _read_pair(*paths, ignored)
        for value in np.union1d(np.unique(prediction), np.unique(reference)).tolist():
            names.setdefault(value, f"class {value}")
        scores = score_case(prediction, reference, sorted(names), spacing_mm, surface_tolerance_mm)
        scored[case] = {score.label_value: score for score in scores}
    if progress is not None:
        progress(len(matched.pairs), len(matched.pairs))
    names.pop(0, None)
    rows = tuple(
        _row(case, names[value], scores.get(value) or absent_score(value))
        for case, scores in scored.items()
        for value in sorted(names)
    )
    return Evaluation(rows, matched.missing, matched.extra, surface_tolerance_mm)


def agreement(task: Segmentation, a: Volume, b: Volume) -> dict[str, float]:
    """How well two label maps of one scan agree, class by class.

    Args:
        task: Says the classes; the background, 0, is left out.
        a: Label values, (1, D, H, W).
        b: Label values on the same grid.

    Returns:
        Name → Dice coefficient, 0…1; NaN for a class that is in neither.

    Raises:
        ConfigError: PyTorch is not installed.
        ShapeError: The two are not of one shape.
    """
    check_train_extra("predict --compare")
    from volunet.tasks.segmentation.metrics import score_case

    named = dict(zip(task.label_values, task.classes, strict=True))
    # Dice does not depend on the spacing.
    scores = score_case(a.array[0], b.array[0], task.label_values, spacing_mm=(1.0, 1.0, 1.0))
    return {named[score.label_value]: score.dice for score in scores}


def _row(case: str, class_name: str, score: ClassScore) -> Row:
    return Row(
        case,
        class_name,
        score.label_value,
        score.dice,
        score.surface_dice,
        score.hd95_mm,
        score.volume_difference_ml,
        score.note,
    )


def _read_pair(
    prediction_path: Path, reference_path: Path, ignored: int | None
) -> tuple[NDArray[Any], NDArray[Any], Spacing3]:
    """Both label maps (D, H, W), background where the reference says ``ignore``; the spacing."""
    reference_volume = read_volume(reference_path, allow_channels=True)
    reference = _label_map(reference_volume, reference_path)
    prediction = _label_map(read_volume(prediction_path, allow_channels=True), prediction_path)
    if ignored is not None:
        prediction = np.where(reference == ignored, 0, prediction)
        reference = np.where(reference == ignored, 0, reference)
    return prediction, reference, reference_volume.spacing_mm


def _label_map(volume: Volume, path: Path) -> NDArray[Any]:
    """The one channel of a label map as whole numbers, (D, H, W)."""
    if volume.num_channels != 1:
        raise VolumeError(
            path,
            f"{volume.num_channels} channels",
            "A label map has one channel of label values.",
            "Save the label map, not the probabilities.",
        )
    array: NDArray[Any] = volume.array[0]
    if array.dtype.kind in "iu":
        return array
    labels: NDArray[Any] = np.rint(array)
    # Written so that NaN, which compares false, is refused too.
    if not (np.abs(array - labels) <= _LABEL_ROUNDING).all():
        raise VolumeError(
            path,
            f"values that are not whole numbers, from {np.min(array):g} to {np.max(array):g}",
            "A label map holds one whole number a voxel.",
            "Is this a scan or a map of probabilities? Pass the label map.",
        )
    whole: NDArray[np.int64] = labels.astype(np.int64)
    return whole
