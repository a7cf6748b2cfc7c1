"""``volunet shapes``: what it prints, its flags as text, its exit status."""

from __future__ import annotations

import json

import pytest

from volunet.cli.shapes import read_counts, read_paddings, read_scales
from volunet.errors import ConfigError

NOTES = ("--kernel", "2", "--stride", "2", "--padding", "1", "--dilation", "2")


@pytest.fixture
def run(volunet):
    """Run ``volunet shapes`` where it is to end well or with a no, and answer status and text."""

    def call(*words):
        ended = volunet("shapes", *words)
        assert ended.err == ""
        return ended.status, ended.out

    return call


def test_size_and_formula(run):
    status, out = run("conv-transpose", "--input", "9,9,9", *NOTES, "--output-padding", "1")
    assert status == 0
    assert out.splitlines() == [
        "9×9×9 → 18×18×18",
        "(input − 1)·stride − begin − end + dilation·(kernel − 1) + output_padding + 1",
        "(9 − 1)·2 − 1 − 1 + 2·(2 − 1) + 1 + 1 = 18   each axis",
        "https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html",
    ]


def test_axes_that_are_alike_are_shown_once(run):
    _, out = run("max-pool", "--input", "9x8x8", "--kernel", "2", "--ceil")
    assert out.splitlines()[:4] == [
        "9×8×8 → 5×4×4",
        "⌈(input + begin + end − dilation·(kernel − 1) − 1) / stride⌉ + 1",
        "⌈(9 + 0 + 0 − 1·(2 − 1) − 1) / 2⌉ + 1 = 5   axis D",
        "⌈(8 + 0 + 0 − 1·(2 − 1) − 1) / 2⌉ + 1 = 4   axes H, W",
    ]


def test_one_axis_has_no_name(run):
    _, out = run("conv", "--input", "9", "--kernel", "3", "--padding", "0:1")
    assert out.splitlines()[0] == "9 → 8"
    assert out.splitlines()[2:4] == [
        "⌊(9 + 0 + 1 − 1·(3 − 1) − 1) / 1⌋ + 1 = 8",
        "front:behind: ONNX has it as pads; in PyTorch F.pad before it.",
    ]


@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        (["--scale", "1.5"], ["9×9 → 13×13", "⌊input·scale⌋", "⌊9·1.5⌋ = 13   each axis"]),
        (["--size", "64,32"], ["9×9 → 64×32", "The size that is asked for, whatever the input's."]),
    ],
)
def test_resize(run, flags, lines):
    status, out = run("resize", "--input", "9,9", *flags)
    assert status == 0
    link = "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html"
    assert out.splitlines() == [*lines, link]


@pytest.mark.parametrize(
    ("words", "status", "lines"),
    [
        (
            ["conv-transpose", "--input", "9,9,9", *NOTES, "--want", "18"], 0,
            [
                "To get 18×18×18, all else kept, one of:",
                "  --output-padding 1",
                "  --padding 0:1   (ONNX has it as pads; in PyTorch slice what it answers)",
                "  --padding 1:0   (ONNX has it as pads; in PyTorch slice what it answers)",
            ],
        ),
        (
            ["conv", "--input", "9,9", "--kernel", "3", "--want", "7x7"], 0,
            ["7×7 is what comes out already."],
        ),
        (
            ["conv", "--input", "99", "--kernel", "1", "--want", "2"], 0,
            [
                "To get 2, all else kept, one of:", *(f"  --stride {n}" for n in range(50, 58)),
                "  and 41 more",
            ],
        ),
        (
            ["conv-transpose", "--input", "9,9", *NOTES[:4], "--want", "18,25"], 1,
            [
                "No --stride, --padding or --output-padding gives 18×25, all else kept. "
                "The nearest:",
                "  19 below: --output-padding 0,1; 26 above: --stride 2,3   axis W",
            ],
        ),
        (
            ["max-pool", "--input", "9", "--kernel", "2", "--stride", "1", "--want", "20"], 1,
            [
                "No --stride, --padding or --ceil gives 20, all else kept. The nearest:",
                "  10 below: --padding 1; none above",
            ],
        ),
        (
            ["resize", "--input", "9,9", "--size", "18", "--want", "27"], 0,
            [
                "To get 27×27, all else kept, one of:",
                "  --scale 3   (instead of --size)",
                "  --size 27",
            ],
        ),
    ],
    ids=["one of", "already", "more", "nearest", "as it is", "resize"],
)  # fmt: skip
def test_want(run, words, status, lines):
    ended, out = run(*words)
    assert ended == status
    assert out.split("\n\n")[1].splitlines() == lines


def test_json_to_stdout_instead_of_the_text(run):
    status, out = run("conv", "--input", "9,9", "--kernel", "3", "--want", "9", "--json", "-")
    assert status == 0
    content = json.loads(out)
    assert content["output"] == [7, 7]
    assert content["wanted"]["suggestions"] == [
        {"flags": "--padding 1", "output": [9, 9], "note": ""}
    ]


def test_json_to_a_new_file_only(run, volunet, tmp_path):
    file = tmp_path / "shapes.json"
    words = ("conv", "--input", "9", "--kernel", "3", "--json", file)
    status, out = run(*words)
    assert status == 0
    assert out.startswith("9 → 7\n")
    before = file.read_bytes()
    assert json.loads(before)["axes"][0]["equation"].endswith(" = 7")
    again = volunet("shapes", *words)
    assert (again.status, again.out) == (2, "")
    assert again.err.startswith(f"{file}: exists already.\n")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["conf", "--input", "9"],
            [
                "operator 'conf': unknown; did you mean conv?",
                "One of conv, conv-transpose, max-pool, avg-pool, resize.",
                "Write conv.",
            ],
        ),
        (
            ["conv", "--input", "9,y"],
            ["--input: '9,y'.", "Whole numbers above 0.", "For instance 16,32,64 or 64x96x96."],
        ),
        (
            ["conv", "--input", "9", "--kernel", "3", "--padding", "-1"],
            [
                "--padding: '-1'.",
                "Whole numbers from 0 up, or FRONT:BEHIND.",
                "For instance 1, or 0:1,1,1 for three axes of which the first has none in front.",
            ],
        ),
        (
            ["conv", "--input", "9,9,9", "--kernel", "3,3"],
            [
                "--kernel 3,3: 2 numbers for 3 axes (--input 9,9,9).",
                "One number for all axes, or one for each axis of --input.",
                "Give as many numbers as --input has, or one.",
            ],
        ),
        (
            ["conv", "--input", "9,3", "--kernel", "5"],
            [
                "conv, axis W: no output: ⌊(3 + 0 + 0 − 1·(5 − 1) − 1) / 1⌋ + 1 = −1.",
                "At least 1 comes out on each axis.",
                "Enlarge the input or the padding, or shrink the kernel or the dilation.",
            ],
        ),
        (
            ["conv-transpose", "--input", "9", *NOTES[:4], "--output-padding", "2"],
            [
                "--output-padding 2: output padding 2 with stride 2 and dilation 1.",
                "PyTorch takes an output padding that is smaller than the stride or the dilation.",
                "0 to 1, or raise one of the two.",
            ],
        ),
        (
            ["resize", "--input", "9"],
            [
                "resize: neither --scale nor --size.",
                "The one or the other says how large it gets.",
                "For instance --scale 2, or --size 64,64,32.",
            ],
        ),
    ],
    ids=["operator", "letters", "below 0", "ranks", "no output", "output padding", "resize"],
)
def test_bad_input(volunet, words, lines):
    ended = volunet("shapes", *words)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.splitlines() == lines


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1", (1,)), ("0:1", ((0, 1),)), ("0:1,1,2", ((0, 1), 1, 2)), ("2x0:3", (2, (0, 3)))],
)
def test_paddings(text, numbers):
    assert read_paddings("--padding", text) == numbers


@pytest.mark.parametrize("text", ["", "1:", ":1", "0:1:2", "same", "-1", "1.5", "1,,1", "9" * 19])
def test_texts_that_are_no_padding(text):
    with pytest.raises(
        ConfigError, match=r"^--padding: .*\nWhole numbers from 0 up, or FRONT:BEHI"
    ):
        read_paddings("--padding", text)


@pytest.mark.parametrize("text", ["", "-1", "0:1", "one"])
def test_texts_that_are_no_output_padding(text):
    with pytest.raises(ConfigError, match=r"^--output-padding: .*\nWhole numbers from 0 up\."):
        read_counts(text)


@pytest.mark.parametrize(
    ("text", "numbers"), [("2", (2.0,)), ("1.5,.5x1.", (1.5, 0.5, 1.0)), ("0", (0.0,))]
)
def test_scales(text, numbers):
    assert read_scales("--scale", text) == numbers


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1/2", "1,,2"])
def test_texts_that_are_no_scale(text):
    with pytest.raises(ConfigError, match=r"^--scale: .*\nNumbers above 0\.\n"):
        read_scales("--scale", text)
