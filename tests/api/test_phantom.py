"""`phantom`: a data set on disk that `train` reads."""

from __future__ import annotations

import numpy as np
import pytest

import volunet
from volunet.datasets.layouts import read_dataset
from volunet.errors import ConfigError, OutputError


def arrays(folder, name="phantom_000"):
    return (
        volunet.read_volume(folder / "imagesTr" / f"{name}_0000.nii.gz").array,
        volunet.read_volume(folder / "labelsTr" / f"{name}.nii.gz").array,
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    told = []
    folder = tmp_path_factory.mktemp("phantoms") / "two"
    answer = volunet.phantom(folder, cases=2, seed=4, progress=lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]
    assert answer == folder
    return folder


def test_data_set(two):
    dataset = read_dataset(two)
    assert [case.name for case in dataset.cases] == ["phantom_000", "phantom_001"]
    assert dataset.channels == ("CT",)
    names = sorted(path.name for path in (two / "landmarksTr").iterdir())
    assert names == ["phantom_000.json", "phantom_001.json"]
    image, label = arrays(two)
    assert image.shape == label.shape
    # CT: air at about −1000 HU, cortical bone above 500 HU; every class is there.
    assert image.min() < -900
    assert image.max() > 500
    assert set(np.unique(label)) == set(dataset.annotations.labels)


def test_case_depends_on_seed_and_number_alone(two, tmp_path):
    one = volunet.phantom(str(tmp_path / "one"), cases=1, seed=4)
    for left, right in zip(arrays(one), arrays(two), strict=True):
        np.testing.assert_array_equal(left, right)
    other = volunet.phantom(tmp_path / "other", cases=1, seed=5)
    assert not np.array_equal(arrays(other)[0], arrays(two)[0])
    assert not np.array_equal(arrays(two, "phantom_001")[0], arrays(two)[0])


def test_refusals(two, tmp_path):
    with pytest.raises(OutputError, match=r"two: the folder is not empty: 4 entries"):
        volunet.phantom(two, cases=1)
    with pytest.raises(ConfigError, match=r"num_cases: 0 phantoms\.\n"):
        volunet.phantom(tmp_path / "none", cases=0)
    assert not (tmp_path / "none").exists()
