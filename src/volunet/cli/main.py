"""The ``volunet`` command: its verbs, its messages and its exit status.

Exit status: 0 done, 1 the answer is no (a check failed), 2 the input or the call is wrong,
130 interrupted.
"""

from __future__ import annotations

import errno
import logging
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.logging import RichHandler

from volunet.cli.check import check
from volunet.cli.demo import demo
from volunet.cli.doctor import doctor
from volunet.cli.draw import draw
from volunet.cli.evaluate import evaluate
from volunet.cli.export import export
from volunet.cli.inspect import inspect
from volunet.cli.phantom import phantom
from volunet.cli.predict import predict
from volunet.cli.reverse import reverse
from volunet.cli.shapes import shapes
from volunet.cli.train import train
from volunet.errors import VolunetError

INTERRUPTED: Final = 130

app = typer.Typer(
    help="Any-size 3D U-Nets for volumetric images: scans in, one verified ONNX out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--debug, anywhere, adds the traceback to an error.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"volunet {version('volunet')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


for verb in (
    demo, phantom, train, predict, evaluate, export, check, inspect, shapes, draw, reverse, doctor,
):  # fmt: skip
    app.command()(verb)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        arguments: What follows ``volunet``; the process' own where not given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    errors = Console(stderr=True, emoji=False)
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO,
        format="%(message)s",
        handlers=[RichHandler(console=errors, show_time=False, show_path=False)],
        force=True,
    )
    for library in ("matplotlib", "fsspec", "asyncio", "PIL", "torch", "onnxscript", "onnx_ir"):
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        app(words, prog_name="volunet")
    except VolunetError as error:
        _fail(errors, str(error), error.exit_status, debug=debug)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        room = (
            "\nThe disk is full: free some room, or write elsewhere; what was finished is kept."
            if error.errno == errno.ENOSPC
            else ""
        )
        _fail(errors, f"{place}{error.strerror or error}{room}", 2, debug=debug)
    except SystemExit as end:
        # Typer turns Ctrl-C into this status, without a word.
        if end.code == INTERRUPTED:
            _fail(errors, "Interrupted.", INTERRUPTED, debug=debug)
        raise


def _fail(errors: Console, message: str, status: int, *, debug: bool) -> None:
    if debug:
        errors.print(traceback.format_exc(), markup=False, highlight=False)
    # Messages are wrapped by hand and quote paths: rich must neither wrap nor colour them.
    errors.print(message, markup=False, highlight=False, soft_wrap=True, style="red")
    sys.exit(status)
