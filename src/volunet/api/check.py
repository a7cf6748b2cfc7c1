"""`check`: does a model file answer the same on every engine, at every size?"""

from __future__ import annotations

from volunet.exporting.check import check

__all__ = ["check"]
