"""The command line: one module a verb, each a thin skin over the function of the same name."""

from volunet.cli.main import main

__all__ = ["main"]
