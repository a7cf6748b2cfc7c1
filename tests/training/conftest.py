"""What tests of single fits and of whole trainings share."""

from __future__ import annotations

import pytest

from volunet.datasets.patches import TrainingPatches


@pytest.fixture
def indices(monkeypatch):
    """The numbers of the training patches, as this process asks for them."""
    asked = []
    original = TrainingPatches.__getitem__

    def record(self, index):
        asked.append(index)
        return original(self, index)

    monkeypatch.setattr(TrainingPatches, "__getitem__", record)
    return asked
