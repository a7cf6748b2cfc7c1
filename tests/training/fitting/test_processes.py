"""Several processes that agree: on a CPU, over gloo, in forks that say what they heard."""

from __future__ import annotations

import multiprocessing
import os

import pytest
from torch import distributed

from volunet.errors import ConfigError, TrainingError
from volunet.training.fitting import processes
from volunet.training.fitting.processes import (
    agree_any,
    agree_first,
    first_alone,
    joined_processes,
    local_processes,
    num_processes,
    process_rank,
)


@pytest.fixture
def together(tmp_path):
    """Do something in two processes that have joined, and answer what each returned.

    A file and not torchrun's address brings them together.
    """

    def run(work):
        context = multiprocessing.get_context("fork")
        answers = context.Queue()

        def join(rank):
            os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
            distributed.init_process_group(
                "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=rank, world_size=2
            )
            answers.put((rank, work(rank)))
            distributed.destroy_process_group()

        forks = [context.Process(target=join, args=(rank,)) for rank in (0, 1)]
        for fork in forks:
            fork.start()
        found = dict(answers.get(timeout=120) for _ in forks)
        for fork in forks:
            fork.join()
        return [found[rank] for rank in (0, 1)]

    return run


def test_one_process_is_all():
    assert (num_processes(), local_processes(), process_rank()) == (1, 1, 0)
    with joined_processes():
        assert distributed.is_initialized() is False
        assert (agree_any(True), agree_any(False), agree_first(0.1)) == (True, False, 0.1)
        done = []
        first_alone(lambda: done.append(1))
        assert done == [1]


def test_torchrun_says_who_is_who(monkeypatch):
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert (process_rank(), num_processes(), local_processes()) == (5, 8, 4)


def test_an_error_of_one_alone_is_its_own():
    def fail():
        raise ConfigError("run", "found", "Expected.", "Do.")

    with pytest.raises(ConfigError, match=r"^run: found\.\n"):
        first_alone(fail)


def test_two_agree(together):
    def work(rank):
        return [
            agree_any(rank == 0),
            agree_any(rank == 1),
            agree_any(False),
            # More digits than float32 has: both set one learning rate, to the last bit.
            agree_first([1 / 3, 2 / 3][rank]),
        ]

    assert together(work) == [[True, True, False, 1 / 3]] * 2


def test_the_second_waits_for_the_first(together, tmp_path):
    note = tmp_path / "note"

    def work(rank):
        first_alone(lambda: note.write_text(f"from {process_rank()}"))
        return note.read_text()

    assert together(work) == ["from 0", "from 0"]


def test_the_second_ends_with_the_first(together, monkeypatch):
    monkeypatch.setattr(processes, "LAST_WORDS_S", 0.0)

    def fail():
        raise ConfigError("run", "found", "Expected.", "Do.")

    def work(rank):
        with pytest.raises((ConfigError, TrainingError)) as caught:
            first_alone(fail)
        return type(caught.value).__name__, str(caught.value)

    first, second = together(work)
    assert first == ("ConfigError", "run: found.\nExpected.\nDo.")
    assert second == (
        "TrainingError",
        "the first of the processes: it ended with an error.\n"
        "It prepares the training for all of them.\nMend what it says.",
    )
