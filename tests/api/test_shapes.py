"""`shapes`: what is given, one number or many, becomes the question; what does not fit is told."""

from __future__ import annotations

import pytest

from volunet.api.shapes import shapes
from volunet.errors import ConfigError, ShapeError
from volunet.graph.shapes.question import AxisSetting


def test_notes_upsampling():
    found = shapes(
        "conv-transpose", (9, 9, 9), kernel=2, stride=2, padding=1, dilation=2, output_padding=1
    )
    assert found.output == (18, 18, 18)
    assert found.question.formula == (
        "(input − 1)·stride − begin − end + dilation·(kernel − 1) + output_padding + 1"
    )
    assert found.question.equation(2) == "(9 − 1)·2 − 1 − 1 + 2·(2 − 1) + 1 + 1 = 18"
    assert found.question.source == (
        "https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html"
    )
    assert found.wanted is None


@pytest.mark.parametrize(
    ("call", "output"),
    [
        ({"operator": "conv", "input": 9, "kernel": 3}, (7,)),
        ({"operator": "conv", "input": (9, 12), "kernel": (3, 5), "padding": 1}, (9, 10)),
        ({"operator": "conv", "input": [9, 9], "kernel": 2, "padding": [(0, 1), 2]}, (9, 12)),
        ({"operator": "conv", "input": (9, 9), "kernel": 2, "padding": [(0, 1)]}, (9, 9)),
        ({"operator": "conv-transpose", "input": (9,), "kernel": 2}, (10,)),
        ({"operator": "max-pool", "input": (9, 8), "kernel": (3, 2)}, (3, 4)),
        ({"operator": "max-pool", "input": (10, 9), "kernel": (3, 2), "ceil": True}, (4, 5)),
        ({"operator": "avg-pool", "input": 9, "kernel": 3, "stride": 1}, (7,)),
        ({"operator": "avg-pool", "input": 9, "kernel": 3, "stride": 1, "dilation": 2}, (5,)),
        ({"operator": "resize", "input": (9, 9, 9), "scale": 1.5}, (13, 13, 13)),
        ({"operator": "resize", "input": (9, 9, 9), "scale": (2, 1, 1.5)}, (18, 9, 13)),
        ({"operator": "resize", "input": (9, 9, 9), "size": (64, 64, 32)}, (64, 64, 32)),
    ],
)
def test_what_is_not_given_is_as_in_pytorch(call, output):
    assert shapes(**call).output == output


def test_one_number_stands_for_all_axes():
    found = shapes("conv-transpose", (9, 8), kernel=3, stride=2, padding=[(0, 1)], output_padding=1)
    assert found.question.axes == (
        AxisSetting(9, 3, 2, 1, 0, 1, 1),
        AxisSetting(8, 3, 2, 1, 0, 1, 1),
    )


def test_wanted():
    found = shapes("conv", (64, 96), kernel=3, want=(64, 96))
    assert found.output == (62, 94)
    assert [suggestion.flags for suggestion in found.wanted.suggestions] == ["--padding 1"]
    assert shapes("conv", (64, 64), kernel=3, want=62).wanted.is_output


def test_json():
    content = shapes("resize", (9, 9), scale=2, want=27).to_json()
    assert content["output"] == [18, 18]
    assert content["axes"][0] == {
        "axis": "H", "input": 9, "scale": 2.0, "size": None, "output": 18, "equation": "⌊9·2⌋ = 18",
    }  # fmt: skip
    assert content["wanted"]["suggestions"] == [
        {"flags": "--scale 3", "output": [27, 27], "note": ""},
        {"flags": "--size 27", "output": [27, 27], "note": "instead of --scale"},
    ]
    assert shapes("resize", 9, scale=2).to_json()["wanted"] is None


CONV = {"operator": "conv", "input": (9, 9, 9), "kernel": 3}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            {"operator": "maxpool"}, ConfigError,
            r"^operator 'maxpool': unknown; did you mean max-pool\?\n"
            r"One of conv, conv-transpose, max-pool, avg-pool, resize\.\nWrite max-pool\.$",
        ),
        ({"operator": "ConvTranspose3d"}, ConfigError, r"did you mean conv-transpose\?"),
        ({"operator": "softmax?!"}, ConfigError, r"unknown\.\nOne of .*\nName one of these\.$"),
        (
            {"input": (1, 1, 9, 9, 9)}, ConfigError,
            r"^--input 1,1,9,9,9: 5 axes\.\nThe spatial size, 1 to 3 axes, without batch and",
        ),
        ({"input": ()}, ConfigError, r"^--input : 0 axes\."),
        (
            {"kernel": (3, 3)}, ConfigError,
            r"^--kernel 3,3: 2 numbers for 3 axes \(--input 9,9,9\)\.\n"
            r"One number for all axes, or one for each axis of --input\.\nGive as many numbers",
        ),
        ({"padding": [(0, 1), 1]}, ConfigError, r"^--padding 0:1,1: 2 numbers for 3 axes"),
        ({"want": (9, 9)}, ConfigError, r"^--want 9,9: 2 numbers for 3 axes"),
        ({"input": 9, "stride": (1, 2)}, ConfigError, r"^--stride 1,2: 2 numbers for 1 axis \("),
        (
            {"kernel": 0}, ConfigError,
            r"^--kernel: 0\.\nWhole numbers from 1 to 2,147,483,647\.\nFor instance --kernel 2\.$",
        ),
        ({"stride": (1, 0, 1)}, ConfigError, r"^--stride: 1,0,1\."),
        ({"dilation": -1}, ConfigError, r"^--dilation: -1\."),
        ({"input": (9, 9, 0)}, ConfigError, r"^--input: 9,9,0\."),
        ({"want": 0}, ConfigError, r"^--want: 0\."),
        ({"kernel": 2**31}, ConfigError, r"^--kernel: 2147483648\."),
        ({"kernel": 2.5}, ConfigError, r"^--kernel: 2\.5\.\nWhole numbers"),
        (
            {"padding": [(0, -1)]}, ConfigError,
            r"^--padding: 0:-1\.\nWhole numbers from 0 to .*, or FRONT:BEHIND\.\nFor instance --pa",
        ),
        (
            {"output_padding": 1}, ConfigError,
            r"^--output-padding: conv has no such setting; conv-transpose has it\.\n"
            r"conv takes --kernel, --stride, --padding, --dilation\.\nLeave it out, or name",
        ),
        ({"ceil": True}, ConfigError, r"^--ceil: conv has no .*; max-pool, avg-pool have it\."),
        ({"operator": "resize"}, ConfigError, r"^--kernel: resize has no such setting; conv, "),
        (
            {"operator": "resize", "kernel": None}, ConfigError,
            r"^resize: neither --scale nor --size\.\nThe one or the other says .*\nFor instance",
        ),
        (
            {"operator": "resize", "kernel": None, "scale": 2, "size": 18}, ConfigError,
            r"^resize: both --scale and --size\.",
        ),
        (
            {"operator": "resize", "kernel": None, "scale": 0}, ConfigError,
            r"^--scale: 0\.\nNumbers above 0\.\nFor instance --scale 2\.$",
        ),
        ({"operator": "resize", "kernel": None, "scale": float("nan")}, ConfigError, "^--scale: n"),
        ({"kernel": None}, ConfigError, r"^conv: no --kernel\.\nA window has a size\.\nFor"),
        (
            {"operator": "conv-transpose", "output_padding": 1}, ShapeError,
            r"^--output-padding 1, axis D: output padding 1 with stride 1 and dilation 1\.\nPyT",
        ),
        (
            {"operator": "avg-pool", "padding": 2}, ShapeError,
            r"^--padding 2, axis D: padding 2 with kernel 3\.\nPyTorch takes .* half its kernel\.",
        ),
        (
            {"input": (9, 2, 9)}, ShapeError,
            r"^conv, axis H: no output: ⌊\(2 \+ 0 \+ 0 − 1·\(3 − 1\) − 1\) / 1⌋ \+ 1 = 0\.",
        ),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        shapes(**{**CONV, **call})
