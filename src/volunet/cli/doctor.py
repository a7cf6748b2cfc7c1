"""``volunet doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from volunet.cli.json_output import JsonOption, check_json_target, write_json
from volunet.cli.progress import show_progress

if TYPE_CHECKING:
    from volunet.diagnosing.diagnosis import Diagnosis
    from volunet.diagnosing.finding import Certainty, Finding

_COLOURS: dict[Certainty, str] = {"high": "red", "medium": "yellow", "low": "cyan"}


def doctor(
    subject: Annotated[
        Path, typer.Argument(help="A data set (MSD, nnU-Net, CSV), or a run folder.")
    ],
    no_probe: Annotated[
        bool,
        typer.Option("--no-probe", help="Of a run, only read what it wrote; try nothing out."),
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Find what is wrong with a data set before training, or with a run after it.

    Exit status 1 if something of high or medium certainty was found.
    """
    from volunet.api.doctor import doctor as examine

    to_stdout = check_json_target(json_file)
    with show_progress() as show:
        diagnosis = examine(
            subject,
            probe=not no_probe,
            progress=lambda stage, done, total: show(stage, done / total, {}),
        )
    if not to_stdout:
        show_diagnosis(diagnosis, Console())
    write_json(json_file, diagnosis.to_json())
    if not diagnosis.is_healthy:
        raise typer.Exit(1)


def show_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print a block a finding, the surest first, and what was looked for.

    Args:
        diagnosis: What was found.
        console: Where to.
    """
    count = len(diagnosis.findings)
    heading = f"{diagnosis.subject}: {count or 'no'} finding{'s' * (count != 1)}"
    console.print(Text(heading, style="bold"), soft_wrap=True)
    for finding in diagnosis.findings:
        _show_finding(finding, console)
    explained = [
        f"{one.fault} ({one.where}), by {one.explained_by}" for one in diagnosis.consequences
    ]
    console.print()
    for title, words, between in (
        ("Seen as well, and explained", explained, "; "),
        ("Looked for and not found", diagnosis.passed, ", "),
        ("Left out", diagnosis.left_out, "; "),
    ):
        if words:
            console.print(Text(f"{title}: {between.join(words)}."))


def _show_finding(finding: Finding, console: Console) -> None:
    title = Text(f"{finding.certainty} certainty", style=_COLOURS[finding.certainty])
    console.print()
    console.print(title + Text(f"  {finding.fault}", style="bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in (
        ("where", finding.where),
        ("cases", ", ".join(finding.cases)),
        ("evidence", finding.evidence),
        ("cause", finding.cause),
    ):
        if text:
            table.add_row(Text(name), Text(text))
    console.print(Padding(table, (0, 0, 0, 2)))
    # Not wrapped, so that a command can be copied.
    console.print(Text(f"  change    {finding.change}"), soft_wrap=True)
