from __future__ import annotations

import numpy as np

from number_task.plan import Number
from volunet.errors import VolumeError
from volunet.tasks.annotations import Shown

COLUMN = "value"


class Numbers:
    """Cells of a table."""

    def read(self, source, image):
        try:
            return float(source)
        except ValueError as error:
            raise VolumeError("table", f"{source!r}", "A number.", "Mend the cell.") from error

    def check(self, source, image):
        self.read(source, image)

    def shown(self, label, image, where):
        return Shown(np.arange(image.array[0].size), np.zeros(0, np.int64))

    def check_shown(self, counts, where):
        pass

    def task(self):
        return Number()


def read_cells(cells, table):
    return dict(cells), Numbers()
