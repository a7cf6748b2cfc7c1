"""Labels and channels of ``dataset.json``, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from volunet.datasets.layouts.description import Description, read_channels, read_labels
from volunet.errors import DatasetError

FILE = Path("dataset.json")


def labels_of(labels: object) -> dict[int, str]:
    return read_labels(Description(FILE, {"labels": labels}))


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "2": "b", "1": "a"},
        {"background": 0, "b": 2, "a": 1},
        {"Background": "0", "b": "2", "a": "1"},
        {"0": "BACKGROUND", "1": "a", "2": "b"},
    ],
    ids=["value-name", "name-value", "text-values", "upper-case"],
)
def test_both_directions_and_any_case(labels):
    assert list(labels_of(labels).items()) == [(0, "background"), (1, "a"), (2, "b")]


def test_values_need_not_be_consecutive():
    assert labels_of({"background": 0, "tumour": 4, "edema": 2}) == {
        0: "background",
        2: "edema",
        4: "tumour",
    }


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "whole": [1, 2], "core": 2}, r"regions.*\(whole\).*\s.*not supported"),
        ({"background": 0, "a": 1, "ignore": 2}, r'an "ignore" label\.\s.*not supported yet'),
        ({"0": "background", "1": "a", "2": "Ignore"}, r'an "ignore" label'),
        ({"a": 1, "b": 2}, r"no value 0 \(values: \[1, 2\]\)"),
        ({"background": 0, "a": 1, "b": 1}, r"the value 1 twice \('a' and 'b'\)"),
        ({"background": 0, "a": 1.5}, r"1\.5 as the value of 'a'"),
        ({"background": 0, "a": True}, r"True as the value of 'a'"),
        ({"background": 0, "a": -1}, r"-1 as the value of 'a'"),
        ({"background": 0}, r"1 label values"),
        ({str(value): f"c{value}" for value in range(257)}, r"257 label values"),
        (["background", "a"], r"It must be an object such as"),
        ({}, r"It must be an object such as"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_wrong_labels(labels, message):
    with pytest.raises(DatasetError, match=message) as caught:
        labels_of(labels)
    assert caught.value.where == "dataset.json"


def test_missing_labels_names_key_and_file():
    with pytest.raises(DatasetError, match=r'dataset\.json: the key "labels" is missing'):
        read_labels(Description(FILE, {"modality": {}}))


def test_channels_follow_their_numbers_not_the_file():
    description = Description(FILE, {"modality": {"1": "T2", "0": "T1"}})
    assert read_channels(description, "modality") == ("T1", "T2")


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({"1": "CT"}, r"the channels 1\.\s.*from 0 without gaps"),
        ({"CT": 0}, r"the channels CT"),
        ({"0": 5}, r"must be text"),
        ("CT", r"must be an object"),
    ],
    ids=["from-1", "inverted", "number", "text"],
)
def test_wrong_channels(channels, message):
    with pytest.raises(DatasetError, match=message):
        read_channels(Description(FILE, {"channel_names": channels}), "channel_names")
