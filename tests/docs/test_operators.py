"""docs/operators.md is what the operators say of themselves."""

from __future__ import annotations

import runpy
from pathlib import Path

from volunet.graph.operators import OPERATORS

HERE = Path(__file__).parent


def test_the_page_is_up_to_date() -> None:
    page = runpy.run_path(str(HERE / "operators_table.py"))["operators_page"]()
    file = HERE.parents[1] / "docs" / "operators.md"
    assert file.read_text(encoding="utf-8") == page, "python tests/docs/operators_table.py > …"
    assert all(f"`{name}`" in page for name in OPERATORS)
