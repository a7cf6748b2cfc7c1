"""Writes docs/operators.md from the operators themselves.

    python tests/docs/operators_table.py > docs/operators.md

`test_operators.py` fails where the page is not what this makes.
"""

from __future__ import annotations

import inspect

from volunet.graph.operators import OPERATORS

HEAD = """# Operators

The ONNX operators whose rules volunet knows: output size, input interval, cost and PyTorch source.
Each has its module in `src/volunet/graph/operators/`; operators of one row share their rules. This
page is made by `python tests/docs/operators_table.py`.

| operators | rule of the sizes | module |
| --- | --- | --- |
"""


def operators_page() -> str:
    """The page as Markdown."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, operator in OPERATORS.items():
        lines = (inspect.getdoc(type(operator)) or "").split("\n\n")
        sentence = " ".join(lines[0].split())
        sizes = next((" ".join(p.split()) for p in lines[1:] if p.startswith("Size on")), "")
        module = type(operator).__module__.rsplit(".", 1)[1]
        text = f"{sentence} {sizes}".replace("``", "`").replace("|", "\\|").strip()
        groups.setdefault((module, text), []).append(name)
    rows = (
        f"| {', '.join(f'`{name}`' for name in sorted(names))} | {text} | `{module}.py` |"
        for (module, text), names in sorted(groups.items())
    )
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(operators_page(), end="")  # noqa: T201  (it is what the script is for)
