"""One HTML file that shows how good a model is, and that opens anywhere, for years.

Pictures travel inside the file and nothing is fetched. The report takes plain data, so that
training, export and the command line can each fill in what they know.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined

from volunet.errors import ConfigError, ShapeError
from volunet.tasks.scores import Scores
from volunet.volumes import atomic_path

REPORT_NAME: Final = "report.html"
"""Name of the file that `write_report` writes."""

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class CasePicture:
    """A picture of one case; its scores are added from the report's scores.

    Attributes:
        case: The case's name, as in the scores.
        picture: A PNG file.
        caption: A sentence below the picture.
    """

    case: str
    picture: Path
    caption: str = ""


@dataclass(frozen=True)
class CheckTable:
    """How far the answers of several engines are from the network's own, at several sizes.

    Attributes:
        engines: Name of each engine.
        sizes: The sizes that were run, for instance ``"37×41×29"``.
        differences: A row a size with the max abs difference of each engine; NaN: was not run.
        tolerance: Largest difference that passes.
    """

    engines: Sequence[str]
    sizes: Sequence[str]
    differences: Sequence[Sequence[float]]
    tolerance: float

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.differences}
        if len(self.differences) != len(self.sizes) or widths - {len(self.engines)}:
            raise ShapeError(
                "check table",
                f"{len(self.differences)} rows of {sorted(widths)} differences",
                f"One row for each of {len(self.sizes)} sizes, one difference for each of "
                f"{len(self.engines)} engines.",
                "Put NaN where an engine was not run.",
            )

    @property
    def num_run(self) -> int:
        """Number of runs, those that were left out not counted."""
        return sum(self.was_run(value) for row in self.differences for value in row)

    @property
    def num_passed(self) -> int:
        """Number of runs within the tolerance."""
        return sum(self.passes(value) for row in self.differences for value in row)

    def was_run(self, difference: float) -> bool:
        """Whether a cell holds a difference; an infinite one is a run that failed."""
        return not math.isnan(difference)

    def passes(self, difference: float) -> bool:
        """Whether a difference is within the tolerance; NaN is not."""
        return difference <= self.tolerance


@dataclass(frozen=True)
class Report:
    """What a report shows; a part that is not given is not in it.

    Attributes:
        title: Heading, for instance the data set's name.
        created: Date and time as text.
        introduction: A sentence or two below the heading.
        facts: Numbers in large type at the top: what, value.
        scores: The table of scores.
        loss_curve: Loss over epochs, a PNG file.
        cases: Pictures of cases.
        check: Differences of the exported file, sizes × engines.
        commands: The commands that make this result again, one a line.
    """

    title: str
    created: str
    introduction: str = ""
    facts: Sequence[tuple[str, str]] = ()
    scores: Scores | None = None
    loss_curve: Path | None = None
    cases: Sequence[CasePicture] = ()
    check: CheckTable | None = None
    commands: Sequence[str] = ()


def write_report(folder: Path, report: Report) -> Path:
    """Write a report as one self-contained HTML file.

    Args:
        folder: Where `REPORT_NAME` is written; made where it does not exist.
        report: What to show.

    Returns:
        The file.

    Raises:
        ConfigError: A picture is not there or not a PNG.
        OutputError: The file cannot be written.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("volunet.viewer").joinpath("report.html").read_text(encoding="utf-8")
    text = environment.from_string(source).render(
        report=report,
        loss_curve=_data_uri(report.loss_curve) if report.loss_curve else None,
        pictures=[
            (
                case,
                _data_uri(case.picture),
                report.scores.line_of(case.case) if report.scores else "",
            )
            for case in report.cases
        ],
    )
    path = folder / REPORT_NAME
    with atomic_path(path) as place:
        place.write_text(text, encoding="utf-8")
    return path


def _data_uri(path: Path) -> str:
    content = path.read_bytes() if path.is_file() else b""
    if not content.startswith(_PNG_SIGNATURE):
        raise ConfigError(
            path,
            "not a PNG" if content else "no such picture, or an empty one",
            "A report embeds PNG pictures.",
            "Draw the picture again.",
        )
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
