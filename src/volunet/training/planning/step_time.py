"""How long a training step takes on this machine, measured."""

from __future__ import annotations

import time
from typing import Final

import torch
from torch import Tensor

from volunet.plan import Plan
from volunet.requests import Precision
from volunet.tasks.objective import objective_of
from volunet.training.config import TrainingConfig
from volunet.training.device import is_out_of_memory, training_device
from volunet.training.fitting.module import FittedModule

_WARM_UP: Final = 1
"""Steps that are not counted: the first allocates and lets oneDNN choose its kernels."""

_TIMED: Final = 2
"""Steps of which the quicker counts: what else runs on the machine can only slow a step down."""


def measure_step(plan: Plan, config: TrainingConfig) -> float:
    """Seconds that a step of the plan's network, patch and batch takes, data loading excluded.

    Args:
        plan: Says network, patch and batch.
        config: Says loss, optimizer and precision.

    Returns:
        Seconds; infinity where the device's memory is too small for it.
    """
    device = training_device()
    try:
        # The network's first weights are random: the fit's own must not depend on this.
        with torch.random.fork_rng():
            return _measure(plan, config, device)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return float("inf")


def precisions() -> tuple[Precision, ...]:
    """The precisions that this machine has instructions for."""
    if training_device().type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bfloat16 = torch.backends.mkldnn.is_available() and bool(  # type: ignore[no-untyped-call]
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    return ("float32", "bfloat16") if has_bfloat16 else ("float32",)


def _measure(plan: Plan, config: TrainingConfig, device: torch.device) -> float:
    module = FittedModule(plan, config).to(device).train()
    optimizer = module.configure_optimizers()
    image = torch.randn(plan.batch_size, len(plan.channels), *plan.patch_size, device=device)
    image = image.contiguous(memory_format=torch.channels_last_3d)
    label = objective_of(plan).random_target(plan.batch_size, plan.patch_size, device)
    taken = []
    for _ in range(_WARM_UP + _TIMED):
        begin = time.perf_counter()
        _step(module, optimizer, image, label, config.precision)
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return min(taken[_WARM_UP:])


def _step(
    module: FittedModule,
    optimizer: torch.optim.Optimizer,
    image: Tensor,
    label: Tensor,
    precision: Precision,
) -> None:
    with torch.autocast(image.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        loss: Tensor = module.loss(module.network(image), label)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
