"""Fixed patches, small enough for the time, and a fresh network that is the same each time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from volunet.diagnosing.probes.material import (
    find_cases,
    make_step,
    not_finite,
    prepare_material,
    smaller_sizes,
)

FOUR_CLASSES = {
    "classes": ("background", "blob", "left", "right"),
    "label_values": (0, 1, 2, 3),
    "out_channels": 4,
}
"""Keywords of a plan with two classes that no blob shows."""


def material_of(run):
    return prepare_material(run, find_cases(run, run.training), 9.0)


def test_smaller_sizes(tiny_plan):
    # Three levels of halves: a stride of 4.
    plan = tiny_plan(patch_size=(32, 16, 9), features=(4, 8, 16))
    assert smaller_sizes(plan) == [(32, 16, 9), (16, 16, 9), (8, 16, 9), (8, 8, 9)]
    flat = tiny_plan(patch_size=(1, 40, 20), features=(4, 8), strides=((1, 2, 2),))
    assert smaller_sizes(flat) == [
        (1, 40, 20), (1, 20, 20), (1, 10, 20), (1, 10, 10), (1, 4, 10), (1, 4, 4)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("longest_s", "size"), [(11.25, (8, 9, 10)), (4.5, (8, 9, 4)), (1.0, (4, 4, 4)), (0.9, None)]
)
def test_the_patch_follows_the_time(blob_probe, ticks, longest_s, size):
    """A step of the smallest patch, 4×4×4, takes one tick."""
    run = blob_probe()
    assert smaller_sizes(run.plan) == [(8, 9, 10), (8, 9, 4), (8, 4, 4), (4, 4, 4)]
    material = prepare_material(run, find_cases(run, run.training), longest_s, ticks(1.0))
    assert (material and material.run.plan.patch_size) == size
    if material:
        assert material.step_s == np.prod(size) / 64
        assert [tuple(batch["image"].shape) for batch in material.batches] == [(2, 1, *size)] * 4


def test_patches_hold_foreground_and_stay(blob_probe):
    run = blob_probe(batch_size=16)
    first, second = (prepare_material(run, find_cases(run, run.training), 9.0) for _ in range(2))
    assert first.run.plan.batch_size == 4
    for mine, again in zip(first.batches, second.batches, strict=True):
        assert (mine["target"].amax(dim=(1, 2, 3, 4)) == 1).all()
        assert torch.equal(mine["image"], again["image"])


def test_a_fresh_network_leaves_the_random_state(blob_probe):
    material = material_of(blob_probe())
    state = torch.random.get_rng_state()
    weights = [material.module().network.head.weight for _ in range(2)]
    assert torch.equal(*weights)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("scale", [1.0, 1e4], ids=["small", "clipped"])
def test_a_step_clips_as_the_fit_does(blob_probe, scale):
    material = material_of(blob_probe())
    module = material.module()
    with torch.no_grad():
        module.network.head.weight *= scale
    before = [weight.detach().clone() for weight in module.network.parameters()]
    optimizer = torch.optim.SGD(module.network.parameters(), lr=1.0)
    assert make_step(material, module, optimizer, 0) > 0.5
    pairs = zip(module.network.parameters(), before, strict=True)
    moved = float(
        torch.stack([(now.detach() - then).square().sum() for now, then in pairs]).sum().sqrt()
    )
    assert moved == pytest.approx(12.0, rel=1e-3) if scale > 1 else 0.1 < moved < 12.0


@pytest.mark.parametrize(
    ("loss", "floor"),
    [
        ("dice_cross_entropy", 2 / 3),
        ("dice", 2 / 3),
        ("tversky", 2 / 3),
        ("boundary", 2 / 3),
        ("cross_entropy", 0.0),
        ("focal", 0.0),
        ("squared_error", 0.0),
        ("l1", 0.0),
    ],
)
def test_what_no_answer_takes_away(blob_probe, loss, floor):
    """Of three foreground classes the batches show one; the overlaps of the others are missed."""
    material = material_of(blob_probe(loss=loss, **FOUR_CLASSES))
    assert len(material.floors) == 4
    assert list(material.floors) == pytest.approx([floor] * 4, abs=0.01)
    module = material.module()
    optimizer = torch.optim.SGD(module.network.parameters(), lr=0.0)
    with torch.no_grad():
        whole = float(
            module.loss(module.network(material.batches[1]["image"]), material.batches[1]["target"])
        )
    above = make_step(material, module, optimizer, 5)
    assert above == pytest.approx(whole - material.floors[1], abs=1e-5)
    assert above > 0.05


def test_batches_without_foreground_are_left_out(blob_probe):
    material = material_of(blob_probe())
    assert len(material.with_foreground().batches) == 4
    material.batches[2]["target"].zero_()
    kept = material.with_foreground().batches
    assert [id(batch) for batch in kept] == [id(material.batches[index]) for index in (0, 1, 3)]


def test_cases_of_a_member_lie_beside_it(blob_probe):
    run = blob_probe()
    member = dataclasses.replace(run, folder=run.folder / "fold_1")
    assert [case.name for case in find_cases(member, member.training)] == [
        "blob_0",
        "blob_1",
        "blob_2",
    ]
    (run.folder / "cache" / "blob_1.target.npy").unlink()
    assert [case.name for case in find_cases(member, member.training)] == ["blob_0", "blob_2"]
    elsewhere = dataclasses.replace(run, folder=run.folder / "other" / "fold_1")
    assert find_cases(elsewhere, run.training) == []


def test_not_finite(blob_probe, ticks):
    run = blob_probe()
    assert not_finite(find_cases(run, run.training)) == ([], 3)
    file = run.folder / "cache" / "blob_2.image.npy"
    image = np.load(file)
    image[0, 3, 3, 3] = np.nan
    np.save(file, image)
    (run.folder / "cache" / "blob_0.image.npy").write_bytes(b"no array")
    cases = find_cases(run, run.training)
    assert not_finite(cases) == (["blob_0", "blob_2"], 3)
    # The clock is read before each image: at 2, 3 and 4 s.
    assert not_finite(cases, 2.5, ticks(1.0)) == (["blob_0"], 2)
