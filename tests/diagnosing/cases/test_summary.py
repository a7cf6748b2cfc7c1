from __future__ import annotations

import nibabel
import numpy as np
import pytest

from volunet.datasets.layouts import read_dataset
from volunet.diagnosing.cases.summary import summarise_case
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
