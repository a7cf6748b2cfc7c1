"""The check that stands before every feature of ``volunet[train]``.

Prediction runs without PyTorch. The features that need it ask here first, so that its absence is
one clear message and not an ImportError from deep inside.
"""

from __future__ import annotations

import importlib.util

from volunet.errors import ConfigError


def check_train_extra(feature: str) -> None:
    """Check that the packages of ``volunet[train]`` are there, without importing them.

    Args:
        feature: What the user asked for, as the message shall name it, such as ``"evaluate"``.

    Raises:
        ConfigError: PyTorch is not installed.

    Example:
        >>> check_train_extra("evaluate")
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigError(
            feature,
            "PyTorch is not installed",
            "This feature needs the packages of the extra 'train'.",
            'Run: pip install "volunet[train]".',
        )
