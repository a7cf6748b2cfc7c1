"""The picture of a fit, and the numbers that it is drawn from."""

from __future__ import annotations

import struct

import numpy as np
from matplotlib.image import imread

from volunet.tasks.segmentation.plan import DICE
from volunet.training.record.curve import draw_curve, read_metrics

METRICS = """elapsed_s,epoch,learning_rate,step,train_dice,train_loss,val_dice,val_loss
2.5,,0.0001,1,,1.75,,
3.0,0,,1,0.75,,0.25,1.5
5.5,,0.0002,3,,1.0,,
6.0,1,,3,0.875,,0.5,1.25
"""


def test_figures_by_step(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text(METRICS)
    assert read_metrics(file) == {
        "elapsed_s": [(1, 2.5), (1, 3.0), (3, 5.5), (3, 6.0)],
        "learning_rate": [(1, 0.0001), (3, 0.0002)],
        "train_dice": [(1, 0.75), (3, 0.875)],
        "train_loss": [(1, 1.75), (3, 1.0)],
        "val_dice": [(1, 0.25), (3, 0.5)],
        "val_loss": [(1, 1.5), (3, 1.25)],
    }


def test_no_figures(tmp_path):
    assert read_metrics(tmp_path / "metrics.csv") == {}
    draw_curve(tmp_path / "metrics.csv", tmp_path, DICE)
    assert list(tmp_path.iterdir()) == []


def test_picture(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text(METRICS)
    draw_curve(file, tmp_path, DICE)
    content = (tmp_path / "curve.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    # 8 × 4.5 inches of 120 dots.
    assert struct.unpack(">II", content[16:24]) == (960, 540)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "metrics.csv"]
    # The Dice is a line of its own colour; without it there is none.
    colour = np.array([0x00, 0x79, 0x8C]) / 255
    drawn = imread(tmp_path / "curve.png")[..., :3]
    assert (np.abs(drawn - colour).max(axis=2) < 0.02).sum() > 100
    file.write_text("elapsed_s,step,train_loss\n2.5,1,1.75\n5.5,3,1.0\n")
    draw_curve(file, tmp_path, DICE)
    drawn = imread(tmp_path / "curve.png")[..., :3]
    assert (np.abs(drawn - colour).max(axis=2) < 0.02).sum() == 0
