"""Hip-and-femur CT phantoms: a data set with exact labels and landmarks that needs no download."""

from volunet.datasets.phantom.folder import write_phantoms
from volunet.datasets.phantom.phantom import (
    CLASSES,
    DEFAULT_SPACING_MM,
    LANDMARKS,
    Phantom,
    make_phantom,
)

__all__ = [
    "CLASSES",
    "DEFAULT_SPACING_MM",
    "LANDMARKS",
    "Phantom",
    "make_phantom",
    "write_phantoms",
]
