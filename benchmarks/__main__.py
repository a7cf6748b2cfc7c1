"""List the benchmarks, or run one: ``python -m benchmarks [NAME ARGUMENTS…]``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def subjects() -> list[str]:
    """Folders with a `command` module."""
    return sorted(file.parent.name for file in Path(__file__).parent.glob("*/command.py"))


def table() -> str:
    """A line a benchmark: its name, how long it takes on 2 cores, what it measures."""
    packages = {name: import_module(f"benchmarks.{name}") for name in subjects()}
    lines = [("name", "takes", "measures")] + [
        (name, package.TAKES, (package.__doc__ or "").strip()) for name, package in packages.items()
    ]
    name, takes = (max(len(line[column]) for line in lines) for column in (0, 1))
    return "\n".join(f"{a:{name}}  {b:{takes}}  {c}" for a, b, c in lines)


def main() -> None:
    """Run the benchmark that is named, or list all."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(table())
        print("\nRun one with: python -m benchmarks NAME [ARGUMENTS]; --help says which it takes.")
        return
    name = sys.argv.pop(1)
    if name not in subjects():
        print(f"{name}: no such benchmark; there are {', '.join(subjects())}", file=sys.stderr)
        sys.exit(2)
    sys.argv[0] = f"python -m benchmarks {name}"
    import_module(f"benchmarks.{name}.command").main()


if __name__ == "__main__":
    main()
