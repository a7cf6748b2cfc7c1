"""Patches: the same number is the same patch, classes are drawn evenly, any size is cut."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from volunet.datasets import patches as patches_module
from volunet.datasets.cache import PreparedCase
from volunet.datasets.patches import (
    MARGIN,
    ConsecutiveSampler,
    TrainingPatches,
    ValidationPatches,
    cut_patch,
)
from volunet.errors import DatasetError
from volunet.tasks.segmentation.target import cut_labels, sample_voxels


@pytest.fixture
def prepare(tmp_path):
    """Write a case's arrays as they stand, without the cache's own writer."""

    def write(name, image, label, num_classes=2):
        np.save(tmp_path / f"{name}.image.npy", np.asarray(image, np.float32))
        np.save(tmp_path / f"{name}.target.npy", np.asarray(label, np.uint8))
        np.save(tmp_path / f"{name}.places.npy", sample_voxels(np.asarray(label), num_classes))
        return PreparedCase(name, tmp_path)

    return write


@pytest.fixture
def noise_cases(prepare):
    """Five cases of noise, (14, 15, 16), each with one foreground box."""
    cases = []
    for index in range(5):
        rng = np.random.default_rng(index)
        label = np.zeros((14, 15, 16), np.uint8)
        label[index : index + 4, 3:9, 5:8] = 1
        cases.append(prepare(f"case_{index}", rng.normal(size=(1, 14, 15, 16)), label))
    return cases


@pytest.fixture
def numbered_cases(prepare):
    """Seven cases; every voxel of case n has the value n."""
    return [
        prepare(f"case_{n}", np.full((1, 6, 6, 6), n), np.zeros((6, 6, 6), np.uint8))
        for n in range(7)
    ]


@pytest.fixture
def still_plan(blob_plan):
    """A plan whose patches are not augmented."""
    none = blob_plan.regularisation.model_copy(update={"augmentation": "none"})
    return blob_plan.model_copy(update={"regularisation": none})


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a["image"], b["image"], rtol=0, atol=0)
        torch.testing.assert_close(a["target"], b["target"], rtol=0, atol=0)


def test_patch_number_is_the_same_for_any_workers(noise_cases, blob_plan):
    patches = TrainingPatches(noise_cases, blob_plan, seed=3)
    direct = [patches[index] for index in range(12)]
    assert direct[0]["image"].shape == (1, 8, 9, 10)
    assert direct[0]["image"].dtype == torch.float32
    assert direct[0]["target"].shape == (1, 8, 9, 10)
    assert direct[0]["target"].dtype == torch.int64
    for workers in (0, 1, 2):
        torch.manual_seed(workers)
        np.random.seed(workers)
        loader = DataLoader(
            patches, batch_size=None, sampler=ConsecutiveSampler(12), num_workers=workers
        )
        assert_same(list(loader), direct)
    assert_same([patches[index] for index in reversed(range(12))], direct[::-1])


def test_seeds_and_numbers_differ(noise_cases, blob_plan):
    first = TrainingPatches(noise_cases, blob_plan, seed=0)
    second = TrainingPatches(noise_cases, blob_plan, seed=1)
    assert not torch.equal(first[0]["image"], second[0]["image"])
    # The same case in two rounds is cut and changed anew.
    images = [first[index]["image"] for index in range(10)]
    assert not any(torch.equal(a, b) for n, a in enumerate(images) for b in images[:n])


def test_global_generators_are_left_alone(noise_cases, blob_plan):
    patches = TrainingPatches(noise_cases, blob_plan, seed=0)
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.getrandbits(32))
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    for index in range(10):
        patches[index]
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.getrandbits(32)) == expected


def test_each_round_shows_every_case_once(numbered_cases, still_plan):
    plan = still_plan.model_copy(update={"patch_size": (2, 2, 2)})
    patches = TrainingPatches(numbered_cases, plan, seed=0)
    assert len(patches) == 7
    shown = [int(patches[index]["image"][0, 0, 0, 0]) for index in range(70)]
    rounds = [tuple(shown[start : start + 7]) for start in range(0, 70, 7)]
    assert all(sorted(order) == list(range(7)) for order in rounds)
    # Ten rounds in one and the same order of 5040 would be no shuffle.
    assert len(set(rounds)) > 7


def test_half_of_the_patches_are_centred_on_foreground(prepare, still_plan):
    label = np.zeros((20, 20, 20), np.uint8)
    label[4:14, 4:14, 4:14] = 1
    label[17, 17, 17] = 2
    case = prepare("case", np.zeros((1, 20, 20, 20)), label, num_classes=3)
    plan = still_plan.model_copy(update={"patch_size": (1, 1, 1)})
    patches = TrainingPatches([case], plan, seed=0)
    centres = np.array([int(patches[index]["target"]) for index in range(2000)])
    shares = np.bincount(centres, minlength=3) / 2000
    # Half are drawn anywhere, where 1000 and 1 of 8000 voxels are foreground; half on a class,
    # either equally likely though one has a single voxel. Tolerance: 4 standard deviations of a
    # share of 2000, √(p(1−p)/2000) ≤ 0.0111.
    expected = [0.5 * 6999 / 8000, 0.25 + 0.5 * 1000 / 8000, 0.25 + 0.5 / 8000]
    np.testing.assert_allclose(shares, expected, atol=0.045)


def test_case_without_foreground(numbered_cases, blob_plan):
    patches = TrainingPatches(numbered_cases, blob_plan, seed=0)
    assert [int(patches[index]["target"].sum()) for index in range(7)] == [0] * 7
    validation = ValidationPatches(numbered_cases, blob_plan)
    assert validation[3]["image"].unique().tolist() == [3.0]


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((5, 6, 7), (8, 9, 10)),
        ((1, 14, 15), (1, 8, 9)),
        ((14, 1, 15), (8, 4, 9)),
        ((14, 15, 1), (8, 9, 1)),
        ((9, 3, 12), (4, 3, 2)),
        ((1, 1, 1), (4, 4, 4)),
        ((1, 1, 1), (1, 1, 2)),
        ((30, 4, 9), (8, 8, 8)),
    ],
    ids=[
        "patch-larger",
        "flat-d",
        "flat-h",
        "flat-w",
        "thin",
        "one-voxel",
        "two-voxel-patch",
        "mixed",
    ],
)
@pytest.mark.parametrize("strength", ["none", "moderate", "strong"])
def test_any_size(prepare, blob_plan, shape, patch, strength):
    rng = np.random.default_rng(0)
    label = np.zeros(shape, np.uint8)
    label[tuple(n // 2 for n in shape)] = 1
    case = prepare("case", rng.normal(size=(1, *shape)), label)
    mirror = tuple(axis for axis in range(3) if patch[axis] > 1)
    measures = blob_plan.regularisation.model_copy(update={"augmentation": strength})
    plan = blob_plan.model_copy(
        update={"patch_size": patch, "mirror_axes": mirror, "regularisation": measures}
    )
    patches = TrainingPatches([case], plan, seed=0)
    for index in range(30):
        found = patches[index]
        assert found["image"].shape == (1, *patch)
        assert found["target"].shape == (1, *patch)
        assert bool(torch.isfinite(found["image"]).all())
        assert set(found["target"].unique().tolist()) <= {0, 1}
    (middle,) = ValidationPatches([case], plan)
    assert middle["image"].shape == (1, *patch)
    assert int(middle["target"].sum()) == 1


def test_cut_within_the_case():
    image = np.arange(5 * 6 * 7, dtype=np.float32).reshape(1, 5, 6, 7)
    label = (image[0] % 3).astype(np.uint8)
    patch = cut_patch(image, label, np.array([2, 3, 4]), (3, 2, 4), cut_labels)
    np.testing.assert_array_equal(patch["image"].numpy(), image[:, 1:4, 2:4, 2:6])
    np.testing.assert_array_equal(patch["target"].numpy(), label[None, 1:4, 2:4, 2:6])


def test_cut_beyond_the_case():
    image = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    label = np.ones((2, 2, 2), np.uint8)
    patch = cut_patch(image, label, np.array([1, 1, 1]), (4, 4, 2), cut_labels)
    # From −1 to 3 along D and H: one voxel of border on either side; W is all inside.
    expected = image[0][np.ix_([0, 0, 1, 1], [0, 0, 1, 1], [0, 1])]
    np.testing.assert_array_equal(patch["image"][0].numpy(), expected)
    assert int(patch["target"].sum()) == 8
    np.testing.assert_array_equal(patch["target"][0, 1:3, 1:3].numpy(), label)


def test_unaugmented_training_patches_lie_inside(noise_cases, still_plan):
    patches = TrainingPatches(noise_cases[:1], still_plan, seed=0)
    whole = np.asarray(noise_cases[0].image())[0]
    windows = np.lib.stride_tricks.sliding_window_view(whole, (8, 9, 10))
    places = set()
    for index in range(20):
        patch = patches[index]["image"][0].numpy()
        (place,) = np.argwhere(windows[..., 0, 0, 0] == patch[0, 0, 0])
        np.testing.assert_array_equal(windows[tuple(place)], patch)
        places.add(tuple(place))
    assert len(places) > 5


def test_augmentation_is_cut_with_a_margin(noise_cases, blob_plan, monkeypatch):
    """What a rotation turns in is the case, not its border."""
    sizes = []

    def keep(image, segmentation):
        sizes.append(tuple(image.shape))
        cut = tuple(slice(0, length) for length in (8, 9, 1))
        return {"image": image[:, *cut], "segmentation": segmentation[:, *cut]}

    monkeypatch.setattr(patches_module, "make_augmentation", lambda _: keep)
    plan = blob_plan.model_copy(update={"patch_size": (8, 9, 1)})
    found = TrainingPatches(noise_cases, plan, seed=0)[0]
    assert MARGIN == 1.3
    # 10.4 and 11.7 voxels, rounded up; a single slice stays one.
    assert sizes == [(1, 11, 12, 1)]
    assert (found["image"].dtype, found["target"].dtype) == (torch.float32, torch.int64)


def test_a_damaged_case_is_named(noise_cases, blob_plan, tmp_path):
    (tmp_path / "case_2.places.npy").write_bytes(b"")
    patches = TrainingPatches(noise_cases, blob_plan, seed=0)
    with pytest.raises(DatasetError, match=r"case_2\.places\.npy: case case_2's prepared array"):
        [patches[index] for index in range(5)]


def test_validation_patch_is_around_the_foreground(prepare, blob_plan):
    image = np.arange(20**3, dtype=np.float32).reshape(1, 20, 20, 20)
    label = np.zeros((20, 20, 20), np.uint8)
    label[9:12, 3:6, 18:20] = 1
    case = prepare("case", image, label)
    patches = ValidationPatches([case], blob_plan)
    assert len(patches) == 1
    # Centre (10, 4, 18.5 → 18); the patch (8, 9, 10) is moved inside: W ends at 20.
    expected = image[:, 6:14, 0:9, 10:20]
    np.testing.assert_array_equal(patches[0]["image"].numpy(), expected)
    assert int(patches[0]["target"].sum()) == 18
    assert_same([patches[0]], [patches[0]])


def test_validation_patches_show_the_classes_in_turn(prepare, blob_plan):
    # Two parts of class 1 on both sides of the middle, class 2 in a corner: no patch of 8×9×10
    # around a mean would show either.
    label = np.zeros((20, 20, 60), np.uint8)
    label[8:12, 8:12, 2:8] = label[8:12, 8:12, 52:58] = 1
    label[0:2, 0:2, 29:31] = 2
    case = prepare("case", np.zeros((1, 20, 20, 60)), label, num_classes=3)
    alone = prepare("alone", np.zeros((1, 20, 20, 60)), np.where(label == 2, 2, 0), num_classes=3)
    patches = ValidationPatches([case, case, case, alone], blob_plan)
    shown = [patches[index]["target"].unique().tolist() for index in range(4)]
    assert shown == [[0, 1], [0, 2], [0, 1], [0, 2]]
    # Around the voxel of class 1 that is nearest to the middle, the first of those at W = 7.
    assert int(patches[0]["target"].sum()) == 4 * 4 * 6


def test_patches_that_stay_as_they_are(noise_cases, blob_plan):
    strong = blob_plan.regularisation.model_copy(update={"augmentation": "strong"})
    none = blob_plan.regularisation.model_copy(update={"augmentation": "none"})
    patches, plain = (
        TrainingPatches(
            noise_cases, blob_plan.model_copy(update={"regularisation": measures}), seed=0
        )
        for measures in (strong, none)
    )

    def stay():
        return [torch.equal(patches[index]["image"], plain[index]["image"]) for index in range(100)]

    # Nearly every patch is changed by something.
    assert sum(stay()) < 5
    patches.set_augmented_share(0.0)
    assert all(stay())
    patches.set_augmented_share(0.5)
    # 50 of 100, within three standard deviations of 5; the same ones each time.
    assert 35 <= sum(stay()) <= 65
    assert stay() == stay()


def test_consecutive_numbers():
    sampler = ConsecutiveSampler(4)
    assert len(sampler) == 4
    assert list(sampler) == [0, 1, 2, 3]
    assert list(sampler) == [4, 5, 6, 7]
    # Resumed within an epoch: its rest, then a whole one.
    sampler.next_index = 26
    assert list(sampler) == [26, 27]
    assert list(sampler) == [28, 29, 30, 31]


def test_processes_share_the_numbers():
    samplers = [ConsecutiveSampler(6, process, 3) for process in range(3)]
    assert [len(sampler) for sampler in samplers] == [2, 2, 2]
    # A batch of one of each is what one process would have in a batch of three.
    assert [list(sampler) for sampler in samplers] == [[0, 3], [1, 4], [2, 5]]
    assert [list(sampler) for sampler in samplers] == [[6, 9], [7, 10], [8, 11]]
    # Resumed within an epoch of all of them.
    for sampler in samplers:
        sampler.next_index = 15
    assert [list(sampler) for sampler in samplers] == [[15], [16], [17]]
    assert [list(sampler) for sampler in samplers] == [[18, 21], [19, 22], [20, 23]]


def test_an_iterator_that_is_not_used_takes_no_numbers():
    sampler = ConsecutiveSampler(4)
    iter(sampler)
    assert list(sampler) == [0, 1, 2, 3]
