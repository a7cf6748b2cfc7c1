"""Calling the command line inside the test's process, and leaving the logging as it was."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from volunet.cli.main import main


class Ended(NamedTuple):
    """How a command ended; a terminal's line breaks within messages are kept."""

    status: int
    out: str
    err: str


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    levels = [(logger, logger.level) for logger in (root, *loggers)]
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers
    for logger, level in levels:
        logger.setLevel(level)


@pytest.fixture
def volunet(logging_as_before: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run ``volunet`` with some words, and answer how it ended."""

    def run(*words: str | Path) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ended(0 if code is None else int(code), out, err)

    return run


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, str]]:
    """Digest of every file below a folder, so that a test can show that none was changed."""

    def take(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return take
