"""``metrics.csv`` is whole at any moment: columns that come later, and a disk that is full."""

from __future__ import annotations

import csv

import pytest

from volunet.errors import OutputError
from volunet.training.record.metrics_log import MetricsLogger


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def logger(tmp_path):
    return MetricsLogger(tmp_path)


def test_rows(logger, tmp_path):
    logger.save()
    assert list(tmp_path.iterdir()) == []
    logger.log_metrics({"train_loss": 1.5}, step=1)
    logger.save()
    # A later column stands among the others; earlier rows have none of it.
    logger.log_metrics({"val_loss": 2.0, "epoch": 0}, step=1)
    logger.log_metrics({"train_loss": 0.5}, step=2)
    logger.save()
    logger.save()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "epoch,step,train_loss,val_loss", ",1,1.5,", "0,1,,2.0", ",2,0.5,",
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_full_disk_leaves_the_file_of_before(logger, tmp_path, files_of_at_most):
    logger.log_metrics({"train_loss": 1.5}, step=1)
    logger.save()
    before = (tmp_path / "metrics.csv").read_text()
    for step in range(2, 40):
        logger.log_metrics({"train_loss": 1.0}, step=step)
    with (
        files_of_at_most(100),
        pytest.raises(OutputError, match=r"metrics\.csv: cannot be written"),
    ):
        logger.save()
    assert (tmp_path / "metrics.csv").read_text() == before
    # With room again nothing is missing.
    logger.log_metrics({"train_loss": 0.5}, step=40)
    logger.save()
    assert [row["step"] for row in rows(tmp_path)] == [str(step) for step in range(1, 41)]


def test_only_the_first_process_writes(logger, tmp_path, monkeypatch):
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger.log_metrics({"train_loss": 1.5}, step=1)
    logger.save()
    assert list(tmp_path.iterdir()) == []
