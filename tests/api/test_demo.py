"""`demo`: the whole path on small phantoms, and a report whose files are all there."""

from __future__ import annotations

import csv
import html
import itertools
import math
import re
import shlex
from functools import partial

import numpy as np
import pytest

import volunet
from volunet.api import demo as demo_module
from volunet.datasets.phantom import write_phantoms
from volunet.errors import OutputError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The demo with 3 + 1 phantoms of 14 mm voxels, 4 sizes a check and 6 s of training."""

    def small_phantom(output, *, cases, seed, progress):
        write_phantoms(output, cases, seed, progress, spacing_mm=((14, 14),) * 3)

    told = []
    folder = tmp_path_factory.mktemp("demo") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_module, "TRAINING_CASES", 3)
        patch.setattr(demo_module, "UNSEEN_CASES", 1)
        patch.setattr(demo_module, "phantom", small_phantom)
        patch.setattr(demo_module, "export", partial(demo_module.export, sizes=4))
        patch.setattr(demo_module, "check", partial(demo_module.check, sizes=4))
        result = volunet.demo(
            folder, minutes=0.1, seed=2, progress=lambda stage, done, _: told.append((stage, done))
        )
    return folder, result, told


def test_every_file_is_there(made):
    folder, result, _ = made
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.onnx", "pictures", "predictions", "report.html", "run", "scores.csv", "training",
        "unseen",
    ]  # fmt: skip
    assert (result.report, result.model) == (folder / "report.html", folder / "model.onnx")
    assert [path.name for path in (folder / "pictures").iterdir()] == ["phantom_000.png"]
    assert [path.name for path in (folder / "predictions").iterdir()] == ["phantom_000.nii.gz"]
    assert len(list((folder / "training" / "imagesTr").iterdir())) == 3


def test_report_is_whole(made):
    _, result, _ = made
    text = result.report.read_text(encoding="utf-8")
    # The curve and one case, inside the file; nothing is fetched from anywhere.
    pictures = re.findall(r'<img[^>]* src="([^"]+)"|<img src="([^"]+)"', text)
    sources = [one or other for one, other in pictures]
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert f"{result.mean_dice:.3f}" in text
    assert f"{len(result.check.rows)} of {len(result.check.rows)}" in text


def test_commands_of_the_report(made):
    """Every folder and file that the commands name was made, and they name the demo's own seed."""
    folder, result, _ = made
    text = html.unescape(result.report.read_text(encoding="utf-8"))
    block = re.search(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL)
    commands = [shlex.split(line) for line in block[1].splitlines()]
    assert [words[1] for words in commands] == [
        "phantom", "phantom", "train", "export", "check", "predict", "evaluate",
    ]  # fmt: skip
    for words in commands:
        flags = dict(itertools.pairwise(words))
        places = [word for word in words[2:] if re.fullmatch(r"[a-z]+[\w./]*", word)]
        assert places
        assert all((folder / place).exists() for place in places), words
        if words[1] in ("phantom", "train"):
            assert flags["--seed"] == ("3" if "unseen" in words else "2")


def test_scores_are_those_of_the_table(made):
    folder, result, _ = made
    with (folder / "scores.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    dice = [float(row["dice"]) for row in rows]
    finite = [value for value in dice if math.isfinite(value)]
    # One case: the mean over classes is that of its rows, which hold 6 digits.
    assert result.mean_dice == pytest.approx(np.mean(finite), abs=1e-5)
    assert {row["case"] for row in rows} == {"phantom_000"}


def test_model_was_checked(made):
    _, result, _ = made
    assert result.check.passed
    assert (result.check.reference, len(result.check.rows)) == ("torch", 8)


def test_each_stage_is_told(made):
    _, _, told = made
    assert list(dict.fromkeys(stage for stage, _ in told)) == [
        "make phantoms", "make unseen phantoms", "check the cases", "measure the cases",
        "prepare the cases", "train", "export and check", "check the file", "predict", "evaluate",
    ]  # fmt: skip
    for stage in {stage for stage, _ in told}:
        assert [done for name, done in told if name == stage][-1] == 1.0


def test_folder_is_not_overwritten(made):
    folder, _, _ = made
    with pytest.raises(OutputError, match=r"demo: the folder is not empty: 8 entries"):
        volunet.demo(folder)
