"""The fingerprint, against numbers computed by hand or by NumPy on the same voxels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from volunet.datasets.cases import Case, DataSet
from volunet.datasets.fingerprint import SAMPLES_PER_CASE, take_fingerprint
from volunet.datasets.layouts import read_dataset
from volunet.datasets.rules import plan_from_fingerprint
from volunet.errors import DatasetError
from volunet.tasks.segmentation.annotations import LabelMaps

HIPPOCAMPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "Task04_Hippocampus"


@pytest.fixture
def add_case(tmp_path, write_nifti):
    """Write a case of one channel and return it."""

    def add(name: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray) -> Case:
        return Case(
            name,
            (write_nifti(tmp_path / f"{name}.nii.gz", image, affine),),
            write_nifti(tmp_path / f"{name}_label.nii.gz", label, affine),
        )

    return add


def dataset_of(root: Path, *cases: Case) -> DataSet:
    return DataSet("Test", root, ("CT",), LabelMaps({0: "background", 3: "a", 5: "b"}), cases)


def test_sizes_and_spacings_follow_the_canonical_orientation(tmp_path, add_case):
    label = np.zeros((4, 5, 6), np.uint8)
    label[0, 0, 0] = 3
    straight = add_case("a", label, label, np.diag([1.0, 2.0, 3.0, 1.0]))
    # Stored with its axes turned: i runs along superior, j along left, k along anterior.
    turned_affine = np.array(
        [[0, -1.0, 0, 0], [0, 0, 2.0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]], dtype=float
    )
    turned_label = np.zeros((6, 4, 5), np.uint8)
    turned_label[0, 0, 0] = 3
    turned = add_case("b", turned_label, turned_label, turned_affine)
    alone = take_fingerprint(dataset_of(tmp_path, turned))
    assert alone.median_size == (6, 5, 4)
    assert alone.median_spacing_mm == pytest.approx((3.0, 2.0, 1.0))
    as_stored = take_fingerprint(dataset_of(tmp_path, turned), orientation="any")
    assert as_stored.median_size == (5, 4, 6)
    both = take_fingerprint(dataset_of(tmp_path, straight, turned))
    assert (both.num_cases, both.median_size, both.largest_size) == (2, (6, 5, 4), (6, 5, 4))


def test_median_and_largest_size(tmp_path, add_case):
    cases = []
    for index, length in enumerate((4, 8, 20)):
        label = np.full((length, 5, 30 - length), 3, np.uint8)
        affine = np.diag([1.0, 1.0, float(length), 1.0])
        cases.append(add_case(str(index), label, label, affine))
    fingerprint = take_fingerprint(dataset_of(tmp_path, *cases))
    assert fingerprint.median_size == (22, 5, 8)
    assert fingerprint.largest_size == (26, 5, 20)
    assert fingerprint.median_spacing_mm == (8.0, 1.0, 1.0)


def test_intensities_are_those_of_the_foreground(tmp_path, add_case):
    generator = np.random.default_rng(0)
    label = np.zeros((10, 10, 10), np.uint8)
    label[:5] = 3
    label[5, 0] = 5
    image = generator.normal(40, 10, label.shape).astype(np.float32)
    image[label == 0] = -1000
    fingerprint = take_fingerprint(dataset_of(tmp_path, add_case("a", image, label, np.eye(4))))
    foreground = image[label > 0].astype(np.float64)
    low, middle, high = np.percentile(foreground, (0.5, 50, 99.5))
    clipped = foreground.clip(low, high)
    # Fewer voxels than the sample takes: all are in it, and only float64 sums' order differs.
    assert fingerprint.intensity_percentiles[0] == pytest.approx((low, middle, high), rel=1e-9)
    assert fingerprint.intensity_mean == pytest.approx((clipped.mean(),), rel=1e-9)
    assert fingerprint.intensity_std == pytest.approx((clipped.std(),), rel=1e-9)
    assert fingerprint.class_fractions == pytest.approx((0.49, 0.5, 0.01))


def test_large_foreground_is_sampled_the_same_each_time(tmp_path, add_case):
    label = np.full((40, 40, 40), 3, np.uint8)
    image = np.arange(40**3, dtype=np.float32).reshape(40, 40, 40)
    dataset = dataset_of(tmp_path, add_case("a", image, label, np.eye(4)))
    fingerprint = take_fingerprint(dataset)
    assert fingerprint == take_fingerprint(dataset)
    # 10,000 of 64,000 evenly spread values: the mean's standard error is 0.27 % of the range.
    assert SAMPLES_PER_CASE < 40**3
    assert fingerprint.intensity_mean[0] == pytest.approx(32_000, abs=0.012 * 64_000)


def test_each_channel_has_its_numbers(make_nnunet):
    fingerprint = take_fingerprint(read_dataset(make_nnunet(2)))
    assert len(fingerprint.intensity_percentiles) == 2
    assert fingerprint.intensity_mean[0] != fingerprint.intensity_mean[1]
    # The fixture's images are noise of mean 100 and deviation 20; 86 foreground voxels.
    assert fingerprint.intensity_mean == pytest.approx((100, 100), abs=8)


def test_progress_counts_every_case(make_msd):
    told: list[tuple[int, int]] = []
    dataset = read_dataset(make_msd(2))
    take_fingerprint(dataset, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_nothing_to_learn(tmp_path, add_case):
    label = np.zeros((4, 4, 4), np.uint8)
    case = add_case("a", label, label, np.eye(4))
    with pytest.raises(DatasetError, match=r"no voxel of any class but the background"):
        take_fingerprint(dataset_of(tmp_path, case))
    with pytest.raises(DatasetError, match=r"case a has no label"):
        take_fingerprint(dataset_of(tmp_path, replace(case, label=None)))


@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason="MSD Task04_Hippocampus is not here")
def test_hippocampus():
    dataset = read_dataset(HIPPOCAMPUS)
    fingerprint = take_fingerprint(dataset)
    assert fingerprint.median_spacing_mm == pytest.approx((1.0, 1.0, 1.0))
    assert fingerprint.num_cases == 200
    assert all(30 <= length <= 60 for length in fingerprint.median_size)
    assert sum(fingerprint.class_fractions) == pytest.approx(1.0)
    plan = plan_from_fingerprint(dataset, fingerprint)
    assert plan.network is not None
    assert plan.network.features == (16, 32, 64, 128)
    assert plan.mirror_axes == (2,)
