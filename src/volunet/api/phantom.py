"""`phantom`: hip-and-femur CT phantoms as a data set to train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from volunet.datasets.phantom import write_phantoms


def phantom(
    output: str | Path,
    *,
    cases: int = 24,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a data set of phantoms in nnU-Net's layout, with landmarks.

    Args:
        output: A new or empty folder.
        cases: How many.
        seed: Seed; case i is the same whatever the number of cases.
        progress: Called with the cases done and their number.

    Returns:
        The folder, which `train` takes.

    Raises:
        OutputError: The folder is not empty.

    Example:
        >>> import tempfile
        >>> folder = phantom(tempfile.mkdtemp(), cases=1)
        >>> sorted(path.name for path in folder.iterdir())
        ['dataset.json', 'imagesTr', 'labelsTr', 'landmarksTr']
    """
    write_phantoms(Path(output), num_cases=cases, seed=seed, progress=progress)
    return Path(output)
