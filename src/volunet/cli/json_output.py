"""``--json FILE``: the answer for a machine, to a new file or to stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from volunet.errors import OutputError

JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Also write the answer here; - for stdout.")
]


def check_json_target(file: Path | None) -> bool:
    """Whether the JSON goes to stdout, and so instead of the table.

    Raises:
        OutputError: The file exists already.
    """
    to_stdout = file is not None and str(file) == "-"
    if file is not None and not to_stdout and file.exists():
        raise OutputError(file, "exists already", "The answer goes to a new file.", "Name another.")
    return to_stdout


def write_json(file: Path | None, content: dict[str, Any]) -> None:
    """Write an answer to the file, whole or not at all, or to stdout; nowhere without a name."""
    from volunet.volumes import atomic_path

    text = json.dumps(content, indent=2)
    if file is None:
        return
    if str(file) == "-":
        typer.echo(text)
        return
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
