"""Classes that no case shows are said, and validation without any foreground is none."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from volunet.datasets.cache import PreparedCase
from volunet.tasks.segmentation.class_presence import absent_classes, can_validate
from volunet.tasks.segmentation.target import sample_voxels

CLASSES = ("background", "a", "b", "c")


@pytest.fixture
def cases(tmp_path):
    """Make cases that show these classes each; no other array of theirs is there to be read."""

    def make(*shown):
        made = []
        for number, classes in enumerate(shown):
            label = np.zeros((2, 2, 4), np.uint8)
            label[0, 0, : len(classes)] = classes
            name = f"case_{len(list(tmp_path.iterdir()))}_{number}"
            np.save(tmp_path / f"{name}.places.npy", sample_voxels(label, len(CLASSES)))
            made.append(PreparedCase(name, tmp_path))
        return made

    return make


@pytest.mark.parametrize(
    ("shown", "absent"),
    [
        ([(1, 2, 3)], ()),
        ([(1,), (3,), (2,)], ()),
        ([(2,), (2,)], ("a", "c")),
        ([()], ("a", "b", "c")),
        ([], ("a", "b", "c")),
    ],
    ids=["one", "each", "two-absent", "background", "no-case"],
)
def test_absent_classes(cases, shown, absent):
    arrays = [case.places()[:, 0] for case in cases(*shown)]
    assert absent_classes(arrays, CLASSES) == absent


def test_once_all_are_seen_no_more_are_looked_at():
    def shown():
        yield [0, 1, 3]
        yield [2]
        pytest.fail("all were seen")

    assert absent_classes(shown(), CLASSES) == ()


@pytest.mark.parametrize(
    ("training", "validation", "answer", "said"),
    [
        ([(1, 2, 3)], [(1, 2, 3)], True, []),
        (
            [(1, 2)],
            [(2, 3)],
            True,
            [
                "No training case shows c: it cannot be learnt.",
                "No validation patch shows a: the Dice is that of the other classes.",
            ],
        ),
        ([(2,)], [(1, 2, 3)], True, ["No training case shows a or c: it cannot be learnt."]),
        (
            [(1, 2, 3)],
            [(), ()],
            False,
            [
                "The validation cases show background alone: nothing validates, and the last "
                "weights are kept."
            ],
        ),
    ],
    ids=["all", "each-lacks", "two", "background"],
)
def test_whether_cases_can_validate(cases, caplog, training, validation, answer, said):
    with caplog.at_level(logging.WARNING):
        taught = [case.places()[:, 0] for case in cases(*training)]
        patches = [torch.tensor([[[[0, *shown]]]]) for shown in validation]
        assert can_validate(CLASSES, taught, patches) is answer
    assert caplog.messages == said
