"""What every benchmark prints: a Markdown table and the machine that it was measured on.

Imports nothing heavy, so that a benchmark that measures memory can import it.
"""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table; every row has a cell for each name of the header.

    Example:
        >>> print(markdown_table(["engine", "s"], [["torch", "23.4"]]))
        | engine | s |
        | --- | --- |
        | torch | 23.4 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def publish(title: str, body: str, packages: Sequence[str], output: Path | None) -> None:
    """Print a result and how it was measured, and write both to a file if there is one.

    Args:
        title: Heading.
        body: Table and notes, Markdown.
        packages: Distributions whose versions matter.
        output: The file; its folder is made where it does not exist.
    """
    text = f"# {title}\n\n{body.strip()}\n\n{_measured(packages)}\n"
    print(text)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")


def _measured(packages: Sequence[str]) -> str:
    command = shlex.join([*sys.argv[0].split(), *sys.argv[1:]])
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return (
        f"Measured by `{command}` on {today}: {os.cpu_count()} cores, {_processor()}, "
        f"{platform.system()}, Python {platform.python_version()}, {versions}."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    """Name of the processor, as Linux tells it; elsewhere its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
