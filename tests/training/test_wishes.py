"""What the user asked for: what it leaves to be measured, and its way through ``run.json``."""

from __future__ import annotations

import json

import pytest

from volunet.errors import ConfigError
from volunet.training.wishes import Wishes


@pytest.mark.parametrize(
    ("plan", "left"),
    [
        ({}, True),
        ({"preset": "auto", "features": None, "patch_size": None, "dropout": 0.5}, True),
        ({"features": (4, 8)}, False),
        ({"patch_size": (8, 8, 8)}, True),
        ({"preset": "notes"}, False),
    ],
    ids=["nothing", "others", "features", "patch", "preset"],
)
def test_what_leaves_the_network_to_be_measured(plan, left):
    assert Wishes(plan=plan).leave_network is left


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(),
        Wishes(
            "all/3",
            "auto",
            "bfloat16",
            True,
            {"features": (4, 8), "dropout": (0.0, 0.1), "l2": None},
        ),
        Wishes(batch_size=4, plan={"spacing_mm": (1.0, 2.0, 0.5), "preset": "notes"}),
    ],
    ids=["none", "most", "some"],
)
def test_round_trip(wishes):
    # JSON has lists; what the rules are asked with, and compare plans by, are tuples.
    assert Wishes.from_json(json.loads(json.dumps(wishes.to_json()))) == wishes


@pytest.mark.parametrize("batch_size", [0, -2, "8", "automatic", 2.0])
def test_a_batch_size_that_is_none(batch_size):
    message = f"--batch-size {batch_size}: neither a number of patches nor auto"
    with pytest.raises(ConfigError, match=message):
        Wishes(batch_size=batch_size)


@pytest.mark.parametrize(
    ("values", "error"),
    [({"fold": "1/5"}, KeyError), ({"plan": {}, "magic": 1}, TypeError)],
    ids=["no-plan", "unknown"],
)
def test_what_it_did_not_write(values, error):
    with pytest.raises(error):
        Wishes.from_json(values)
