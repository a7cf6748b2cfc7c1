from __future__ import annotations

import shlex
from pathlib import Path

from volunet.datasets.cases import DataSet
from volunet.diagnosing.cases.wording import list_names, train_command
from volunet.tasks.segmentation.annotations import LabelMaps


def test_many_names_are_cut():
    assert list_names(list("abcde")) == "a, b, c, d, e"
    assert list_names(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_commands_can_be_pasted():
    dataset = DataSet("x", Path("my set"), ("CT",), LabelMaps({0: "background"}), ())
    command = train_command(dataset, "--skip-bad")
    assert command == "volunet train 'my set' -o RUN --minutes 30 --skip-bad"
    assert shlex.split(command)[2] == "my set"
