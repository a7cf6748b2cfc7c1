"""What the training batches were: how large, with how much foreground, how long waited for."""

from __future__ import annotations

import math
import statistics
from typing import Final

from volunet.diagnosing.answers import OF_LABELS, LeftOut
from volunet.diagnosing.check import Answer, Check
from volunet.diagnosing.command import examine, train_again
from volunet.diagnosing.finding import Certainty, Finding
from volunet.diagnosing.record import Record
from volunet.training.planning.fit_to_time import FEWEST_STEPS
from volunet.training.planning.noise_scale import NoiseScale

NEXT_TO_NONE: Final = 0.02
LITTLE: Final = 0.4
"""Foreground in the batches as a share of that in the data set: at most these are a fault, as half
of all patches are centred on foreground."""

WAITING: Final[tuple[tuple[float, Certainty], ...]] = (
    (0.5, "high"),
    (0.25, "medium"),
    (0.1, "low"),
)
"""Share of the time that steps wait for patches from which on it is a fault, and how sure."""

FEWEST_SHARES: Final = 5
"""Rows with a share of waiting below which the first patches, not the loader, are what is seen."""

FAR: Final = 8.0
"""A batch is far from the noise scale, above or below, beyond this factor: within it the number of
steps changes by less than a factor of about 1 + 1/8 of what the best would be."""

VERY_FAR: Final = 32.0

FEW_VALUES: Final = 16
"""Values of which a deviation is off by more than a sixth by chance, as 1/√(2n) says."""

SMALLEST_MIX: Final = 2
"""Patches that mix cases; more only make fewer steps. On Hippocampus 1, 2, 4 and 8 patches took
1.1, 1.6, 2.4 and 3.2 minutes to a Dice of 0.8 (benchmarks/results/batch_size.md)."""


def no_foreground(record: Record) -> Answer:
    """Training patches that hold next to no foreground."""
    shares = record.values("foreground_share")
    if not shares:
        return LeftOut("no finite share of foreground")
    mean = statistics.fmean(shares)
    fingerprint = record.run.plan.fingerprint
    whole = sum(fingerprint.class_fractions[1:]) if fingerprint else 0.0
    if mean > LITTLE * whole and mean > 0:
        return None
    usual = (
        f"the data set's is {whole:.2%}, and patches have as much or more"
        if whole
        else ("patches that teach have some")
    )
    return Finding(
        "no-foreground",
        "the training patches",
        f"{mean:.3%} of their voxels are foreground; {usual}.",
        "Patches are cut where the objects are not, or the labels are empty where they are cut.",
        examine(record.run.dataset),
        "high" if mean <= NEXT_TO_NONE * whole else "medium",
    )


def loading_starved(record: Record) -> Answer:
    """Steps that wait for their patches."""
    # The first row holds the start of the workers.
    shares = record.values("waiting_share")[1:]
    if len(shares) < FEWEST_SHARES:
        return LeftOut(f"{len(shares)} rows with a share of waiting, {FEWEST_SHARES} are needed")
    mean = statistics.fmean(shares)
    sure = next((certainty for least, certainty in WAITING if mean >= least), None)
    if sure is None:
        return None
    workers = record.run.config.workers
    return Finding(
        "loading-starved",
        "the loader",
        f"{mean:.0%} of the time steps waited for patches, prepared by {workers or 'no'} other "
        f"process{'' if workers == 1 else 'es'}; a fit that is fed waits less than 10 %.",
        "Patches are prepared more slowly than steps are made: too few processes, a slow disk, or "
        "an expensive augmentation.",
        train_again(record.started, workers=max(1, 2 * workers)),
        sure,
    )


def batch_too_small(record: Record) -> Answer:
    """A batch that batch norm, or the gradient's noise, makes too small."""
    plan, network = record.run.plan, record.run.plan.network
    if network is not None and network.norm == "batch" and plan.batch_size == 1:
        values = math.prod(network.deepest_size(plan.patch_size))
        return Finding(
            "batch-too-small",
            "batch norm",
            "a batch is 1 patch: batch norm takes mean and deviation of each channel from one case "
            f"alone, at the deepest level from {values} values, and predicts with their average "
            f"over all cases; from {SMALLEST_MIX} patches on, cases are mixed.",
            "What the network is trained with is not what it predicts with.",
            train_again(record.started, batch_size=SMALLEST_MIX),
            "high" if values < FEW_VALUES else "medium",
        )
    noise = record.probed.noise
    if noise is None:
        return LeftOut(f"noise scale: {record.probed.reason}")
    least = noise.lowest * record.probed.voxel_share
    if least < FAR * effective_batch(record):
        return None
    return Finding(
        "batch-too-small",
        "the gradient's noise",
        f"noise scale {noise}, so at least {least:.2g} patches of the run's size; a step takes "
        f"{effective_batch(record)}.",
        "Each step's gradient is mostly noise, so that most of it is lost.",
        train_again(record.started, batch_size="auto"),
        "medium" if least >= VERY_FAR * effective_batch(record) else "low",
    )


def batch_too_large(record: Record) -> Answer:
    """A batch of more patches than a step can use, in a fit that makes few steps."""
    noise = record.probed.noise
    if noise is None:
        return LeftOut(f"noise scale: {record.probed.reason}")
    batch = effective_batch(record)
    most = _most(noise)
    if batch < FAR * most or record.steps >= FEWEST_STEPS:
        return None
    return Finding(
        "batch-too-large",
        "the gradient's noise",
        f"noise scale {noise}; a step takes {batch} patches, and the fit made {record.steps} steps "
        f"of the {FEWEST_STEPS} that teach at the least.",
        "Patches beyond the noise scale hardly make a step better, and their time is missing for "
        "more steps.",
        train_again(record.started, batch_size=2 ** max(1, math.ceil(math.log2(most)))),
        "medium" if batch >= VERY_FAR * most else "low",
    )


CHECKS: Final = (
    Check("no-foreground", no_foreground, columns=("foreground_share",), tasks=OF_LABELS),
    Check("batch-too-small", batch_too_small),
    Check("batch-too-large", batch_too_large),
    Check("loading-starved", loading_starved, columns=("waiting_share",)),
)


def effective_batch(record: Record) -> int:
    """Patches in a step, those of all accumulated batches."""
    return record.run.plan.batch_size * record.run.config.accumulate


def _most(noise: NoiseScale) -> float:
    """The largest noise scale that is likely, at least one patch; infinite where it is unknown."""
    if not noise.is_determined:
        return math.inf
    return max(1.0, noise.value + 2 * noise.standard_error)
