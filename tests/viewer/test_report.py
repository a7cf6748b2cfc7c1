"""A report that is complete, safe and self-contained."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from volunet.errors import ConfigError, OutputError, ShapeError
from volunet.tasks.picture import write_picture
from volunet.tasks.segmentation.scores import Evaluation, Row
from volunet.viewer.report import CasePicture, CheckTable, Report, write_report

SCORES = Evaluation(
    (
        Row("case_1", "femur", 1, 0.9, 0.95, 1.5, -0.25),
        Row("case_1", "hip bone", 2, math.nan, math.nan, math.nan, math.nan, "absent"),
        Row("case_2", "femur", 1, 0.8, 0.85, 2.5, 0.75),
        Row("case_2", "hip bone", 2, 0.0, 0.0, math.inf, -3.0, "missed"),
    ),
    missing=("case_3",),
    extra=tuple(f"other_{n:02}" for n in range(14)),
    surface_tolerance_mm=2.0,
)
CHECK = CheckTable(
    engines=("OpenVINO", "ONNX Runtime"),
    sizes=("32×32×32", "37×41×29"),
    differences=((0.0, 3.2e-6), (math.inf, math.nan)),
    tolerance=1e-4,
)


class Page(HTMLParser):
    """Text of each element and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.sections: list[str] = []
        self.images: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        if tag == "section":
            self.sections.append(values["id"])
        if tag == "img":
            assert values["alt"]
            self.images.append(values["src"])
        self.links += [value for name, value in values.items() if name in {"href", "src"}]
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in {"td", "th"}:
            self.cells[-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "pictures" / "one.png"
    write_picture(Figure(figsize=(1, 1), dpi=20), path)
    return path


def read(folder: Path, report: Report) -> Page:
    page = Page(write_report(folder, report).read_text(encoding="utf-8"))
    assert page.open == [], "every element is closed"
    return page


def test_every_part_is_there(tmp_path: Path, picture: Path) -> None:
    report = Report(
        title="Task04",
        created="2 January, 03:04",
        introduction="A small network.",
        facts=(("mean Dice", "0.85"),),
        scores=SCORES,
        loss_curve=picture,
        cases=(CasePicture("case_2", picture, "fold 0"),),
        check=CHECK,
        commands=("volunet train X -o run", "volunet check model.onnx"),
    )
    path = write_report(tmp_path / "new" / "folder", report)
    assert path == tmp_path / "new" / "folder" / "report.html"
    page = read(tmp_path, report)
    assert page.sections == ["scores", "loss", "cases", "check", "commands"]
    for text in ("Task04", "2 January, 03:04", "A small network.", "mean Dice", "0.85"):
        assert text in page.text
    assert "volunet train X -o run\nvolunet check model.onnx" in "".join(page.texts)
    assert "case_2 · Dice: femur 0.800, hip bone 0.000 · fold 0" in page.text


def test_a_part_that_is_not_given_is_not_there(tmp_path: Path) -> None:
    page = read(tmp_path, Report("Task04", "today"))
    assert page.sections == []
    assert page.images == []


def test_the_table_of_scores(tmp_path: Path) -> None:
    page = read(tmp_path, Report("Task04", "today", scores=SCORES))
    assert page.cells[5:] == [
        "femur",
        "0.850 ± 0.071",
        "0.900 ± 0.071",
        "2.00 ± 0.71",
        "0.25 ± 0.71",
        "hip bone",
        "0.000 (1 left out)",
        "0.000 (1 left out)",
        "– (2 left out)",
        "-3.00 (1 left out)",
    ]
    assert "over 2 cases. Surface Dice at a tolerance of 2 mm." in page.text
    assert "1 case (case_3) without a prediction" in page.text
    assert "14 cases (other_00, " in page.text
    assert "other_11, …) without a reference" in page.text


def test_the_table_of_the_check(tmp_path: Path) -> None:
    page = read(tmp_path, Report("Task04", "today", check=CHECK))
    assert page.cells == [
        "Size, voxels",
        "OpenVINO",
        "ONNX Runtime",
        "32×32×32",
        "0 ✓",
        "3.2e-06 ✓",
        "37×41×29",
        "inf ✗",
        "–",
    ]
    # An infinite difference was run and failed; NaN was not run.
    assert "2 of 3 runs are within 1e-04" in page.text


def test_pictures_travel_inside_and_nothing_is_fetched(tmp_path: Path, picture: Path) -> None:
    report = Report("T", "today", loss_curve=picture, cases=(CasePicture("a", picture),))
    page = read(tmp_path, report)
    prefix = "data:image/png;base64,"
    assert [image[: len(prefix)] for image in page.images] == [prefix, prefix]
    assert all(
        base64.b64decode(image.removeprefix(prefix)) == picture.read_bytes()
        for image in page.images
    )
    assert page.links == page.images
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|<script|@import|url\(", text)


def test_light_and_dark(tmp_path: Path) -> None:
    text = write_report(tmp_path, Report("T", "today")).read_text(encoding="utf-8")
    light, dark = (
        set(re.findall(r"--([a-z]+):", block))
        for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    )
    assert "prefers-color-scheme: dark" in text
    assert light == dark, "each colour has both"
    assert set(re.findall(r"var\(--([a-z]+)\)", text)) <= light


def test_names_are_text_and_never_markup(tmp_path: Path, picture: Path) -> None:
    evil = '<script>alert("x")</script>'
    report = Report(
        evil,
        evil,
        evil,
        ((evil, evil),),
        Evaluation((Row(evil, evil, 1, 0.5, 0.5, 1.0, 0.0),), (evil,), (evil,)),
        None,
        (CasePicture(evil, picture, evil),),
        CheckTable((evil,), (evil,), ((0.0,),), 1e-4),
        (evil,),
    )
    text = write_report(tmp_path, report).read_text(encoding="utf-8")
    assert "<script" not in text
    # title ×2, created, introduction, fact ×2, class, missing, extra, alt, case, its Dice line,
    # its caption, engine, size, command
    assert text.count("&lt;script&gt;") == 16


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such picture"), (b"", "an empty one"), (b"GIF89a", "not a PNG")],
    ids=["missing", "empty", "another format"],
)
def test_a_picture_that_is_none(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "loss.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        write_report(tmp_path, Report("T", "today", loss_curve=path))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(tmp_path / "file", Report("T", "today"))


@pytest.mark.parametrize("differences", [((0.0, 0.0),), ((0.0,), (0.0,)), ((0.0, 0.0), (0.0,))])
def test_a_check_table_with_holes(differences: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ShapeError, match="one difference for each of 2 engines"):
        CheckTable(("a", "b"), ("1", "2"), differences, 1e-4)
