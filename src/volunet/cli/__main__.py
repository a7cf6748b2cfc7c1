"""``python -m volunet.cli``, where the command itself is not on the path."""

from volunet.cli.main import main

main()
