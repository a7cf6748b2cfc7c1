from __future__ import annotations

import tracemalloc

import nibabel
import numpy as np
import pytest

from volunet.datasets.layouts import read_dataset
from volunet.diagnosing.cases.summary import PERCENTILES, summarise_case, summarise_channel
from volunet.errors import VolumeError


def summarise(folder, spacing=(1.0, 1.0, 1.0)):
    dataset = read_dataset(folder)
    return summarise_case(dataset.cases[0], dataset, (12, 14, 10), spacing)


def test_figures_are_those_of_the_voxels(write_set, scan):
    image, label, _ = scan(0)
    found = summarise(write_set(count=1))
    channel = found.channels[0]
    assert found.shape == image.shape
    assert found.voxels.tolist() == np.bincount(label.ravel()).tolist()
    assert found.volumes_mm3.tolist() == found.voxels.tolist()
    assert (channel.minimum, channel.maximum) == (image.min(), image.max())
    assert channel.percentiles[2] == pytest.approx(np.median(image))
    assert channel.at_maximum == pytest.approx(1 / image.size)
    assert channel.class_means == pytest.approx([image[label == k].mean() for k in range(3)], 1e-4)
    assert found.image.shape == (1, 12, 14, 10)
    assert set(np.unique(found.label)) == {0, 1, 2}
    middle = (np.argwhere(label == 2).mean(axis=0) + 0.5) / label.shape
    assert found.centres[2] == pytest.approx(middle)
    assert np.isnan(found.centres[0]).all()
    assert found.losses is None


def test_the_scan_is_turned_to_the_plans_orientation(write_set, scan):
    folder = write_set(count=1)
    upright = summarise(folder)
    for kind in ("images", "labels"):
        place = folder / f"{kind}Tr" / "case_00.nii"
        stored = nibabel.load(place)
        whole = nibabel.Nifti1Image(np.asarray(stored.dataobj).copy(), stored.affine)
        # The same anatomy, stored with another order and direction of axes.
        nibabel.save(whole.as_reoriented(TURN), place)
    turned = summarise(folder)
    assert nibabel.load(folder / "imagesTr" / "case_00.nii").shape != upright.shape[::-1]
    assert turned.shape == upright.shape
    assert turned.centres[1:] == pytest.approx(upright.centres[1:])
    assert (turned.label == upright.label).mean() > 0.97


TURN = np.array([[1, -1], [2, 1], [0, -1]])


def test_spacing_counts_in_volumes_and_losses(write_set):
    def coarse(image, label, spacing):
        return image, label, (2.0, 1.0, 0.5)

    found = summarise(write_set(coarse, at=[0], count=1), (8.0, 8.0, 8.0))
    assert found.spacing_mm == (2.0, 1.0, 0.5)
    assert found.foreground == found.voxels[1] + found.voxels[2]
    assert found.losses.volume_kept[1] != 1.0


def test_an_absent_class_is_nan(write_set):
    found = summarise(write_set(lambda i, x, s: (i, x % 2, s), at=[0], count=1))
    assert np.isnan(found.channels[0].class_means[2])
    assert np.isnan(found.centres[2]).all()


def test_voxels_that_are_no_numbers_are_refused(write_set):
    def spoil(image, label, spacing):
        image[0, 0, 0] = np.nan
        return image, label, spacing

    with pytest.raises(VolumeError, match="1 voxels are NaN"):
        summarise(write_set(spoil, at=[0], count=1))


def test_slabs_and_one_piece_say_the_same(scan, monkeypatch):
    image, label, _ = scan(0)
    image, label = image.transpose(2, 0, 1)[:, ::-1], label.transpose(2, 0, 1)[:, ::-1]
    voxels = np.bincount(label.ravel(), minlength=4)  # the last class is absent
    monkeypatch.setattr("volunet.diagnosing.cases.planes.PIECE_VOXELS", 1000)
    found = summarise_channel(image, np.ascontiguousarray(label), voxels)
    assert (found.minimum, found.maximum) == (image.min(), image.max())
    assert found.percentiles == tuple(np.percentile(image, PERCENTILES))
    assert found.mean == pytest.approx(image.mean(dtype=np.float64), rel=1e-12)
    assert found.deviation == pytest.approx(image.std(dtype=np.float64), rel=1e-12)
    assert found.at_minimum == np.mean(image == image.min())
    assert found.at_maximum == np.mean(image == image.max())
    means = [image[label == index].mean(dtype=np.float64) for index in range(3)]
    assert found.class_means[:3] == pytest.approx(means, rel=1e-12)
    assert np.isnan(found.class_means[3])


def test_of_a_large_scan_a_sample_is_sorted(monkeypatch):
    image = np.random.default_rng(0).normal(size=(60, 60, 60)).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    monkeypatch.setattr("volunet.diagnosing.cases.summary.SORTED_VOXELS", 30_000)
    found = summarise_channel(image, label, np.array([image.size, 0]))
    assert found.percentiles == tuple(np.percentile(image[::2, ::2, ::2], PERCENTILES))
    # Twice the standard error of the median of 27,000 normal values is 0.015.
    assert found.percentiles[2] == pytest.approx(np.median(image), abs=0.015)


def test_a_large_scan_needs_no_second_map(monkeypatch):
    image = np.random.default_rng(0).normal(size=(64, 128, 128)).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    monkeypatch.setattr("volunet.diagnosing.cases.planes.PIECE_VOXELS", 1 << 14)
    monkeypatch.setattr("volunet.diagnosing.cases.summary.SORTED_VOXELS", 1 << 15)
    tracemalloc.start()
    summarise_channel(image, label, np.array([image.size, 0]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < image.size  # less than a byte a voxel; in one piece it is 16


def test_classes_at_the_scans_edge_are_marked(write_set, scan):
    def cut(image, label, spacing):
        return image[:13], label[:13], spacing

    found = summarise(write_set(cut, at=[0], count=1))
    label = scan(0)[1][:13]
    inner = np.zeros(label.shape, bool)
    inner[1:-1, 1:-1, 1:-1] = True
    assert 1 in label[~inner]
    assert found.touches_edge.tolist() == [False, True, 2 in label[~inner]]
    assert summarise(write_set(count=1)).touches_edge.tolist() == [False, False, False]
