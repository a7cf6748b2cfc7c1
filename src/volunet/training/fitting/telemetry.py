"""What a fit writes down of itself: by step for ``metrics.csv``, by layer for ``layers.csv``.

The curve is drawn from these figures and the doctor reads them.
"""

from __future__ import annotations

import csv
import io
import math
import time
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.utils.hooks import RemovableHandle

from volunet.datasets.patches import Patch
from volunet.errors import TrainingError
from volunet.training.fitting.budget import Budget
from volunet.training.fitting.loaders import TimedLoader
from volunet.training.fitting.processes import process_rank
from volunet.training.record.run_folder import LAYERS_FILE
from volunet.volumes.atomic import atomic_path

ROWS: Final = 60
"""Rows in ``metrics.csv`` over the whole budget."""

LAYER_ROWS: Final = 15
"""Samples of each layer over the whole budget."""

GRADIENT_NORM: Final = 12.0
"""Gradients are clipped to it; an outlier patch would otherwise throw the weights far off."""

_CONVOLUTIONS: Final = (nn.Conv3d, nn.ConvTranspose3d)

_COLUMNS: Final = (
    "step", "layer", "weight_norm", "gradient_norm", "update_ratio", "silent_share",
)  # fmt: skip


class DivergedError(TrainingError):
    """A loss or a gradient that is not finite any more."""


class Telemetry(pl.Callback):
    """Logs loss, gradient norm, learning rate, waiting and foreground, and stops at a NaN.

    Args:
        budget: Knows what is spent.
        loader: The training loader, which measures how long it is waited for.
    """

    def __init__(self, budget: Budget, loader: TimedLoader) -> None:
        self._budget = budget
        self._loader = loader
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._foreground: list[float] = []
        self._written = 0.0
        self._since = time.monotonic()
        self._waited = 0.0
        self.waiting_share = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count the waiting; the first batch, which starts the workers, is left out."""
        self._begin(trainer)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Note the gradients' norm, before they are clipped.

        Raises:
            DivergedError: It is not finite; the step is not made, so that the weights stay good.
        """
        norm = float(get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None]))
        self._norms.append(norm)
        if not math.isfinite(norm):
            self._losses.append(norm)
            self._write(trainer)
            raise DivergedError(
                f"step {trainer.global_step}",
                "a loss or gradient that is not finite",
                "Loss and gradients are finite numbers at each step.",
                "The weights and the checkpoint from before it are kept; "
                "volunet doctor RUN says what is wrong.",
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Patch,
        batch_idx: int,
    ) -> None:
        """Take the batch's figures in; write a row now and then."""
        # The loss as the validation takes it: what is minimised has the L1 penalty on top.
        self._losses.append(float(trainer.callback_metrics["train_loss"]))
        self._foreground.append(float((batch["target"] > 0).float().mean()))
        if self._budget.spent(trainer) - self._written >= 1 / ROWS:
            self._write(trainer)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the time in the validation's row."""
        pl_module.log("elapsed_s", self._budget.elapsed_s, rank_zero_only=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what is left."""
        if self._losses:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        now = time.monotonic()
        figures = {
            "elapsed_s": self._budget.elapsed_s,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train_loss": _mean(self._losses),
            "gradient_norm": _mean(self._norms),
            "clipped_share": _mean([float(norm > GRADIENT_NORM) for norm in self._norms]),
            "waiting_share": (self._loader.waited_s - self._waited) / max(now - self._since, 1e-9),
            "foreground_share": _mean(self._foreground),
        }
        self.waiting_share = self._loader.waited_s / max(now - self._started, 1e-9)
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)
        self._losses, self._norms, self._foreground = [], [], []
        self._written = self._budget.spent(trainer)
        self._since, self._waited = now, self._loader.waited_s

    def _begin(self, trainer: pl.Trainer) -> None:
        self._started = self._since = time.monotonic()
        self._written = self._budget.spent(trainer)


class LayerTelemetry(pl.Callback):
    """Samples each convolution now and then and writes ``layers.csv``.

    Args:
        folder: The run folder.
        budget: Knows what is spent.
        last_step: Of a fit that goes on, its last step: rows up to it are kept. None: a new fit.
    """

    def __init__(self, folder: Path, budget: Budget, last_step: int | None) -> None:
        self._file = folder / LAYERS_FILE
        self._budget = budget
        self._rows = [] if last_step is None else _read_rows(self._file, last_step)
        self._sampled = -1.0
        self._sampling = False
        self._hooks: list[RemovableHandle] = []
        self._silent: dict[str, float] = {}
        self._gradients: dict[str, float] = {}
        self._before: dict[str, Tensor] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Listen to this batch's activations if a sample is due."""
        spent = self._budget.spent(trainer)
        if process_rank() or self._sampling or spent - self._sampled < 1 / LAYER_ROWS:
            return
        self._sampled, self._sampling = spent, True
        for name, module in pl_module.network.named_modules():
            parent, _, own = name.rpartition(".")
            if own in ("activation1", "activation2"):
                convolution = f"{parent}.conv{own[-1]}"
                self._hooks.append(module.register_forward_hook(self._listener(convolution)))

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Note each layer's gradient."""
        if self._sampling:
            for name, module in _convolutions(pl_module):
                gradient = module.weight.grad
                self._gradients[name] = 0.0 if gradient is None else float(gradient.norm())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Write the rows of this sample once its step is made, which may take several batches."""
        if not self._gradients:
            return
        self._sampling = False
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for name, module in _convolutions(pl_module):
            weight = module.weight.detach()
            norm = float(weight.norm())
            before = self._before.get(name)
            moved = None if before is None else float((weight - before).norm()) / max(norm, 1e-12)
            self._before[name] = weight.clone()
            cells = (norm, self._gradients[name], moved, self._silent.get(name))
            texts = ["" if cell is None else f"{cell:.6g}" for cell in cells]
            self._rows.append([str(trainer.global_step), name, *texts])
        self._gradients.clear()
        text = io.StringIO(newline="")
        csv.writer(text).writerows([_COLUMNS, *self._rows])
        with atomic_path(self._file) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")

    def _listener(self, convolution: str) -> Any:
        def listen(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            highest = output.detach().amax(dim=(0, 2, 3, 4))
            self._silent[convolution] = float((highest <= 0).float().mean())

        return listen


def _convolutions(
    module: pl.LightningModule,
) -> list[tuple[str, nn.Conv3d | nn.ConvTranspose3d]]:
    network: Any = module.network
    return [
        (name, layer) for name, layer in network.named_modules() if isinstance(layer, _CONVOLUTIONS)
    ]


def _read_rows(file: Path, last_step: int) -> list[list[str]]:
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        _, *rows = csv.reader(lines)
    return [row for row in rows if int(row[0]) <= last_step]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
