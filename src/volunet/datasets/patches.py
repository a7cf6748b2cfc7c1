"""PyTorch data sets of patches: for training at random places, for validation at a fixed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypedDict

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from volunet.datasets.augment import make_augmentation
from volunet.datasets.cache import PreparedCase
from volunet.plan import Plan, Size3
from volunet.tasks.target import Cut, target_of

FOREGROUND_SHARE: Final = 0.5
"""Share of training patches that are centred on a foreground voxel, of a class drawn evenly."""

MARGIN: Final = 1.3
"""What is cut out before rotation and zoom, as a multiple of the patch on each axis."""


class Patch(TypedDict):
    """A patch, as the data sets below answer it.

    ``image``: (C, D, H, W), float32. ``target``: what the task says, see `volunet.tasks.target`.
    """

    image: Tensor
    target: Tensor


class TrainingPatches(Dataset[Patch]):
    """Augmented patches; patch number i is the same on every machine and with any workers.

    A share of them may be left as they are, which `set_augmented_share` says to all workers.

    Args:
        cases: Cases on the model's grid.
        plan: Says the patch's size and the augmentation.
        seed: Seed of all the patches.
    """

    def __init__(self, cases: Sequence[PreparedCase], plan: Plan, seed: int) -> None:
        self._cases = list(cases)
        self._plan = plan
        self._seed = seed
        self._target = target_of(plan)
        self._augmentation = make_augmentation(plan)
        # Shared memory: workers have copies of this object, and are told nothing else.
        self._augmented_share = torch.ones(()).share_memory_()  # type: ignore[no-untyped-call]

    def set_augmented_share(self, share: float) -> None:
        """Set which share of the patches to come is augmented, 0…1; those made ahead stay."""
        self._augmented_share.fill_(share)

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> Patch:
        """Patch number `index`, which may be any number from 0 up.

        Raises:
            DatasetError: The prepared case cannot be read.
        """
        rng = np.random.default_rng((self._seed, index))
        # Every case once in each round, in an order that each round draws anew.
        turn, place = divmod(index, len(self._cases))
        order = np.random.default_rng((self._seed, turn, 1)).permutation(len(self._cases))
        case = self._cases[order[place]]
        image, array = case.image(), case.target()
        centre = self._choose_centre(rng, case, image.shape[1:])
        seed = int(rng.integers(2**31))
        stays = rng.random() >= float(self._augmented_share)
        if self._augmentation is None or stays:
            return cut_patch(image, array, centre, self._plan.patch_size, self._target.cut)
        large = _with_margin(self._plan.patch_size)
        cut = cut_patch(image, array, centre, large, self._target.cut)
        moved = self._target.transformed(cut["target"])
        answer = _run_seeded(self._augmentation, seed, image=cut["image"], **moved)
        return Patch(
            image=answer["image"].float(), target=self._target.moved(cut["target"], answer)
        )

    def _choose_centre(
        self, rng: np.random.Generator, case: PreparedCase, size: Sequence[int]
    ) -> NDArray[np.int64]:
        low, high = _centres(size, self._plan.patch_size)
        places = case.places()
        if len(places) and rng.random() < FOREGROUND_SHARE:
            of_kind = places[places[:, 0] == rng.choice(np.unique(places[:, 0]))]
            place = of_kind[rng.integers(len(of_kind)), 1:].astype(np.int64)
            return np.asarray(np.clip(place, low, high), dtype=np.int64)
        return np.asarray(rng.integers(low, high + 1), dtype=np.int64)


class ValidationPatches(Dataset[Patch]):
    """One patch a case, around a voxel of its foreground; never augmented.

    The voxel is of the classes in turn, from case to case, and of its class the nearest to the
    middle: the middle itself may be background, as it is between two kidneys. A case of background
    alone is cut in its middle.

    Args:
        cases: Cases on the model's grid.
        plan: Says the patch's size.
    """

    def __init__(self, cases: Sequence[PreparedCase], plan: Plan) -> None:
        self._cases = list(cases)
        self._plan = plan
        self._target = target_of(plan)

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> Patch:
        """The patch of case number `index`."""
        case = self._cases[index]
        image = case.image()
        known = case.places()
        centre = np.asarray(image.shape[1:]) // 2
        if len(known):
            kinds = np.unique(known[:, 0])
            places = known[known[:, 0] == kinds[index % len(kinds)], 1:]
            off_middle = places - places.mean(axis=0)
            centre = places[np.argmin((off_middle**2).sum(axis=1))]
        size = self._plan.patch_size
        centre = np.clip(centre, *_centres(image.shape[1:], size)).astype(np.int64)
        return cut_patch(image, case.target(), centre, size, self._target.cut)


class ConsecutiveSampler(Sampler[int]):
    """The next `num_samples` patch numbers, going on where the last epoch ended.

    An epoch that is resumed, `next_index` within it, is shorter: each ends at a multiple of
    `num_samples`.

    Args:
        num_samples: Patches an epoch, of all processes together.
        process: Number of this process, from 0.
        num_processes: Processes that share the patches; a divisor of `num_samples`.
    """

    def __init__(self, num_samples: int, process: int = 0, num_processes: int = 1) -> None:
        self.num_samples = num_samples
        self.process = process
        self.num_processes = num_processes
        self.next_index = 0

    def __len__(self) -> int:
        return self.num_samples // self.num_processes

    def __iter__(self) -> Iterator[int]:
        # A generator, as nothing may count before the first number is asked for: a loader with
        # workers makes two iterators and uses one.
        start = self.next_index
        self.next_index = (start // self.num_samples + 1) * self.num_samples
        yield from range(start + self.process, self.next_index, self.num_processes)


def cut_patch(
    image: NDArray[np.float32],
    array: NDArray[Any],
    centre: NDArray[np.int64],
    size: Size3,
    cut: Callable[[NDArray[Any], Cut], Tensor],
) -> Patch:
    """Cut a patch out of a case; outside the case the image is its border.

    Args:
        image: (C, D, H, W).
        array: The case's target.
        centre: Voxel in the middle of the patch, (D, H, W).
        size: Size of the patch in voxels, (D, H, W).
        cut: Cuts the target.
    """
    start = centre - np.asarray(size) // 2
    stop = start + size
    inside = tuple(
        slice(max(0, int(a)), min(d, int(b)))
        for a, b, d in zip(start, stop, image.shape[1:], strict=True)
    )
    before = np.maximum(0, -start)
    after = np.maximum(0, stop - image.shape[1:])
    widths = list(zip(before.tolist(), after.tolist(), strict=True))
    x = np.pad(image[(slice(None), *inside)], [(0, 0), *widths], mode="edge")
    return Patch(
        image=torch.from_numpy(np.ascontiguousarray(x)),
        target=cut(array, Cut(inside, widths)),
    )


def _centres(size: Sequence[int], patch_size: Size3) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and last voxel that a patch may have in its middle so as to lie in the case."""
    whole, patch = np.asarray(size), np.asarray(patch_size)
    low = np.minimum(patch // 2, whole // 2)
    return low, np.maximum(whole - (patch - patch // 2), low)


def _with_margin(size: Size3) -> Size3:
    depth, height, width = (-(-int(d * MARGIN * 10) // 10) if d > 1 else 1 for d in size)
    return depth, height, width


def _run_seeded(augmentation: BasicTransform, seed: int, **patch: Tensor) -> dict[str, Any]:
    """Augment with a seed of its own, and leave the global generators as they were."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        answer: dict[str, Any] = augmentation(**patch)
    np.random.set_state(state)
    return answer
