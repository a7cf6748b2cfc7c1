"""What ``volunet inspect`` prints: a row a layer, then the totals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from volunet.graph.inspecting.inspection import Inspection, Layer

_SHORTEST_NAME, _LONGEST_NAME, _OTHER_COLUMNS = 12, 36, 115
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def layer_table(report: Inspection, width: int) -> Table:
    """The layers, in order.

    Args:
        report: The inspection.
        width: Columns of the terminal. Long names are shortened; numbers go on in the next line.
    """
    size = "×".join(map(str, report.input_size))
    table = Table(title=f"{escape(report.model)} at {size}", title_justify="left")
    name_width = max(_SHORTEST_NAME, min(_LONGEST_NAME, width - _OTHER_COLUMNS))
    table.add_column("name", overflow="ellipsis", max_width=name_width, no_wrap=True)
    table.add_column("operator", overflow="fold")
    table.add_column("size", justify="right", overflow="fold")
    table.add_column("kernel", overflow="fold")
    table.add_column("field (voxels)", justify="right", overflow="fold")
    in_mm = any(layer.receptive_field_mm for layer in report.layers)
    if in_mm:
        table.add_column("field (mm)", justify="right", overflow="fold")
    for name in ("parameters", "FLOP", "bytes"):
        table.add_column(name, justify="right", overflow="fold")
    for layer in report.layers:
        field = _field(layer.receptive_field)
        table.add_row(
            escape(layer.name),
            escape(layer.operator),
            "?" if layer.size is None else "×".join(map(str, layer.size)),
            layer.kernel,
            field,
            *((_field_mm(layer),) if in_mm else ()),
            f"{layer.parameters:,}" if layer.parameters else "",
            _amount(layer.flops + layer.other_flops) if layer.flops + layer.other_flops else "",
            "?" if layer.activation_bytes is None else _amount(layer.activation_bytes),
        )
    return table


def summary_lines(report: Inspection) -> Iterator[str]:
    """The totals, the sizes that the network takes, and what is wrong."""
    chosen = " (chosen; --size names another)" if report.chosen_size else ""
    yield f"Input {'×'.join(map(str, report.input_size))}{chosen}"
    if report.output_size is not None:
        yield f"Output {'×'.join(map(str, report.output_size))}"
    if report.input_formula != "×".join(map(str, report.input_size)):
        yield f"In general {report.input_formula} → {report.output_formula}"
    yield f"Sizes that work: {report.sizes}"
    yield (
        f"Parameters: {report.parameters:,} ({_amount(report.weight_bytes)}B of weights and "
        "constants)"
    )
    yield (
        f"One pass: {_amount(report.flops)}FLOP in convolutions and matrix products, "
        f"{_amount(report.other_flops)}FLOP elsewhere; {_amount(report.activation_bytes)}B of "
        "layers' outputs"
    )
    if report.peak_bytes:
        peaks = (f"{engine} {_amount(peak)}B" for engine, peak in report.peak_bytes.items())
        yield f"Predicted peak memory of one pass: {', '.join(peaks)}"
    if report.size_nodes:
        yield f"Not shown: {report.size_nodes} nodes that only compute sizes or weights"
    if report.unsupported:
        yield ""
        yield f"Operators that are not known: {len(report.unsupported)}"
        yield from (f"  {text}" for text in report.unsupported)
        yield "What follows them is not known either; all the rest is above."
    if report.failure:
        yield ""
        yield f"Does not take this size: {report.failure}"
        yield report.mend


def _field(field: Sequence[int | None] | None) -> str:
    if field is None:
        return "?"
    texts = ["all" if size is None else str(size) for size in field]
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def _field_mm(layer: Layer) -> str:
    field = layer.receptive_field_mm or ()
    texts = ["all" if mm is None else f"{mm:.4g}" for mm in field]
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def _amount(number: int) -> str:
    """A number with four digits and a prefix: 2.107 T."""
    for factor, prefix in _PREFIXES:
        if number >= factor:
            return f"{number / factor:.4g} {prefix}"
    return f"{number} "
