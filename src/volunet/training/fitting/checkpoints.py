"""What a fit writes as it goes: its last state every half minute, its best weights."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from volunet.errors import ConfigError, TrainingError
from volunet.plan import ValidationScore
from volunet.training.fitting.averaging import AveragedWeights
from volunet.training.fitting.processes import process_rank
from volunet.training.record.run_folder import LAST_FILE, read_best_score, write_weights
from volunet.volumes.atomic import atomic_path

INTERVAL: Final = timedelta(seconds=30)
"""How much a killed fit may lose, besides one validation."""


class SafeCheckpointIO(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all, and are read without unpickling code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint atomically."""
        # To an open file: on a full disk that is an OSError, from torch's own writer it is not.
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # torch closes its archive all the same, which hides what went wrong.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read a checkpoint, tensors and plain data alone.

        Raises:
            ConfigError: It needs arbitrary unpickling, or is damaged.
        """
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint with ``weights_only=True``.

    Raises:
        ConfigError: There is none, it needs arbitrary unpickling, or it is damaged.
    """
    if not path.is_file():
        raise ConfigError(
            path,
            "no such checkpoint",
            "A fit writes one every half minute.",
            "Train anew, in another folder.",
        )
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            path,
            "a checkpoint that would need arbitrary unpickling",
            "A checkpoint holds tensors and plain data; anything else could run code and is "
            "refused.",
            "Use a checkpoint that volunet wrote.",
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        # An empty file gives an error without a word.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            path,
            f"a damaged checkpoint ({reason})",
            "A checkpoint is as volunet wrote it, and can be read.",
            "Restore it, or train anew.",
        ) from error
    return checkpoint


def last_checkpoint(folder: Path) -> ModelCheckpoint:
    """The callback that keeps ``last.ckpt`` at most half a minute old."""
    return _LastState(
        dirpath=folder,
        filename=Path(LAST_FILE).stem,
        train_time_interval=INTERVAL,
        save_top_k=1,
        enable_version_counter=False,
        save_on_exception=False,
    )


class _LastState(ModelCheckpoint):
    """Lightning's, but between steps only.

    Within the batches of one step the gradients so far would be lost, and a batch that is not
    finite would be in the norms' statistics before its step is refused.
    """

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save the state, if it is due."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class BestWeights(pl.Callback):
    """Writes the averaged weights whenever the validation score is the best so far.

    Without validation cases it writes them at the end of the fit. The last state is written there
    too. A fit that is resumed goes on from the score of the weights in the folder.

    Args:
        folder: The run folder.
        averaged: Knows the averaged weights.
        score: The score.
    """

    def __init__(self, folder: Path, averaged: AveragedWeights, score: ValidationScore) -> None:
        self._score = score
        self._folder = folder
        self._averaged = averaged
        self.best_score = read_best_score(folder)
        self.validated_at = -1
        self._saved_at = -1

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Write the last state of a fit that ends within an epoch.

        At the end of the fit Lightning would count the epoch as a whole one, and a fit that goes on
        would leave its rest out.
        """
        if trainer.should_stop:
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the weights if they are the best."""
        value = float(trainer.callback_metrics[self._score.validation])
        self.validated_at = trainer.global_step
        if self._score.is_better(value, self.best_score):
            self.best_score = value
            self._write(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last state, and the weights of a fit that was never validated."""
        if self._saved_at != trainer.global_step:
            self._save(trainer)
        if self.best_score is None:
            self._write(pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Keep the weights of a fit that stopped itself, where no validation has kept any yet."""
        if isinstance(exception, TrainingError) and self.best_score is None:
            self._write(pl_module)

    def _write(self, module: pl.LightningModule) -> None:
        if process_rank() == 0:
            write_weights(self._folder, self._averaged.network(module), self.best_score)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self._folder / LAST_FILE)
        self._saved_at = trainer.global_step
