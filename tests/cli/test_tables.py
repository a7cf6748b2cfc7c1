"""The tables that commands print."""

from __future__ import annotations

import io
import math

from rich.console import Console

from volunet.cli.tables import check_table, scores_table
from volunet.exporting.check import CheckReport, CheckRow
from volunet.tasks.segmentation.scores import Evaluation, Row


def printed(table):
    """The table's cells, a list a line; 200 columns, so that nothing is wrapped."""
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    lines = console.file.getvalue().splitlines()
    return [
        [cell.strip() for cell in line.strip("│┃ ").replace("┃", "│").split("│")] for line in lines
    ]


def test_scores():
    rows = (
        Row("a", "femur", 1, 0.5, 0.9, 2.0, -1.0),
        Row("b", "femur", 1, 1.0, 1.0, math.inf, 1.0),
        Row("a", "[hip]", 2, 0.25, 0.5, 4.0, 0.5),
    )
    table = printed(scores_table(Evaluation(rows)))
    assert table[0] == ["2 cases, mean ± SD"]
    assert ["class", "Dice", "surface Dice", "HD95 (mm)", "volume difference (ml)"] in [
        cells[:5] for cells in table
    ]
    lines = {cells[0]: cells[1:] for cells in table}
    assert lines["femur"][:4] == [
        "0.750 ± 0.354",
        "0.950 ± 0.071",
        "2.00 (1 left out)",
        "0.00 ± 1.41",
    ]
    # A name in brackets is a name, not markup.
    assert lines["[hip]"][:4] == ["0.250", "0.500", "4.00", "0.50"]


def test_differences():
    rows = (
        CheckRow((1, 2, 3), "openvino", 1.5e-6),
        CheckRow((1, 2, 3), "onnxruntime", 0.25, "differs by 0.25"),
        CheckRow((7, 7, 7), "openvino", None, "[/Conv] failed: [cpu] no primitive " + 60 * "x"),
        CheckRow((9, 9, 9), "torch", math.nan, "differs by nan"),
    )
    table = printed(check_table(CheckReport("m.onnx", "torch", 1e-4, rows)))
    assert table[0] == ["max abs difference against torch, tolerance 0.0001"]
    assert ["size (D×H×W)", "onnxruntime", "openvino", "torch"] in table
    lines = {cells[0]: cells[1:] for cells in table}
    assert lines["1×2×3"] == ["2.5e-01", "1.5e-06", "–"]
    assert lines["9×9×9"] == ["–", "–", "differs by nan"]
    # An engine's words are shown as they are, up to 60 letters.
    assert lines["7×7×7"] == ["–", ("[/Conv] failed: [cpu] no primitive " + 60 * "x")[:60], "–"]
