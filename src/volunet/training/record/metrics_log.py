"""`MetricsLogger`: Lightning's logger of ``metrics.csv``, whose file is always whole."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import CSVLogger

from volunet.volumes.atomic import atomic_path


class MetricsLogger(CSVLogger):
    """Writes the whole file anew each time, atomically.

    Lightning's own appends to it, and empties it where a column is new: a fit that is killed then,
    or whose disk is full, would leave half a row or none, and could not go on from them.

    Args:
        folder: Where the file goes.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version="")
        self._rows: list[dict[str, float]] = []

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """Write the rows that belong to a checkpoint, which a fit may go on from."""
        self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write the rows so far.

        Raises:
            OutputError: The disk is full; the file stays as it was.
        """
        writer = self.experiment
        if not writer.metrics:
            return
        self._rows += writer.metrics
        writer.metrics = []
        names = sorted({name for row in self._rows for name in row})
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, names)
        table.writeheader()
        table.writerows(self._rows)
        with atomic_path(Path(writer.metrics_file_path)) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
