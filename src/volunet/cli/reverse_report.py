"""What ``volunet reverse`` says of what it made."""

from __future__ import annotations

from volunet.api.reverse import Reversed


def reverse_text(report: Reversed) -> str:
    """The report as lines."""
    lines = [
        f"{report.source}: {report.lines} lines, {_count(report.classes, 'class', 'classes')}, "
        f"{_count(report.layers, 'layer', 'layers')} "
        f"({report.layers_in_blocks} in blocks that repeat), {report.parameters:,} parameters."
    ]
    if report.weights is not None:
        lines.append(f"{report.weights}: the weights.")
    for title, texts in (
        ("Seen in the picture", report.seen),
        ("Inferred", report.inferred),
        ("Cannot be known", report.unknown),
        ("Gaps, which raise", report.gaps),
    ):
        if texts:
            lines += [f"{title}:", *(f"  {text}" for text in texts)]
    return "\n".join([*lines, *_proof(report)])


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _proof(report: Reversed) -> list[str]:
    proof = report.verification
    if proof is None:
        return [f"Not verified: {report.unverified}."]
    lines = [
        f"  {_sizes(c.shapes)}: largest difference {c.difference:.1e}, "
        f"{c.relative:.1e} of the largest answer {c.scale:.3g}"
        + (f", the source in {c.precision}" if c.precision != "float32" else "")
        + (f" ({c.note})" if c.note else "")
        for c in proof.comparisons
    ]
    if proof.failure:
        return ["NOT verified: " + proof.failure]
    head = "Verified against ONNX Runtime" if proof.passed else "NOT the same as ONNX Runtime"
    lines.insert(0, f"{head} (at most {proof.tolerance:.0e} of the largest answer):")
    return lines if proof.differs is None else [*lines, proof.differs]


def _sizes(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes.values())
