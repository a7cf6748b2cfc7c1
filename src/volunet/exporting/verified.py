"""Trained network → one ONNX file whose answers were checked, or no file at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from volunet.errors import ExportError, OutputError
from volunet.exporting.check import TOLERANCE, CheckReport, check_sizes, compare_engines
from volunet.exporting.convert import convert, example_size
from volunet.inference.engines import installed_engines
from volunet.inference.engines.torch_engine import TorchEngine
from volunet.nets import Network
from volunet.nets.deployed import DeployedNetwork
from volunet.plan import Plan
from volunet.volumes.atomic import atomic_path

ROUNDING_NORMS: Final = ("instance", "group")
"""Norms that divide by the deviation of what they are given, plus ε."""

ROUNDING: Final = 5e-3
"""A difference above this is not put down to a norm's rounding."""


def export_network(
    network: Network,
    plan: Plan,
    output: str | Path,
    *,
    sizes: int = 20,
    tolerance: float = TOLERANCE,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Convert a network, check the file against the network itself, then put it in its place.

    Args:
        network: The trained network, or an ensemble of several.
        plan: Its plan.
        output: The ONNX file to write.
        sizes: How many sizes to check at; none of them is the size that the exporter traced.
        tolerance: Largest absolute difference that passes.
        overwrite: Replace a file that is there.
        progress: Called with the sizes done and their number.

    Raises:
        OutputError: The file exists.
        ExportError: An engine answers something else than PyTorch; no file is left behind.
    """
    output = Path(output)
    if output.exists() and not overwrite:
        raise OutputError(
            output,
            "exists already",
            "Export writes a new file and overwrites nothing.",
            "Name another file, or pass --overwrite.",
        )
    checked_at = check_sizes(sizes, seen=[example_size(network)])
    with atomic_path(output) as temporary:
        temporary.write_bytes(convert(network, plan))
        report = compare_engines(
            temporary,
            reference=TorchEngine(DeployedNetwork(network, plan)),
            others=[name for name in installed_engines() if name != "torch"],
            sizes=checked_at,
            plan=plan,
            channels=len(plan.channels),
            tolerance=tolerance,
            progress=progress,
        )
        if not report.passed:
            raise failed_check(output, report, plan)
    return CheckReport(str(output), report.reference, report.tolerance, report.rows)


def failed_check(model: Path, report: CheckReport, plan: Plan) -> ExportError:
    """The error that names each size, engine and difference of a check that did not pass."""
    lines = [
        f"{'×'.join(map(str, row.size))} on {row.engine}: {row.fault}" for row in report.faults[:5]
    ]
    more = f" and {len(report.faults) - 5} more" if len(report.faults) > 5 else ""
    return ExportError(
        model,
        f"{len(report.faults)} of {len(report.rows)} checks failed ({'; '.join(lines)}{more})",
        f"Every engine answers what {report.reference} does, within {report.tolerance:g}, "
        "at every size.",
        f"No model was written. {_advice(report, plan)}",
    )


def _advice(report: CheckReport, plan: Plan) -> str:
    norm = None if plan.network is None else plan.network.norm
    largest = report.largest_difference
    other_faults = any(row.max_abs_difference is None for row in report.faults)
    if (
        norm not in ROUNDING_NORMS
        or plan.task.head == "argmax"
        or other_faults
        or largest > ROUNDING
    ):
        return "Leave the failing engine out, or change the network."
    digit = 10.0 ** math.floor(math.log10(largest))
    enough = digit * math.ceil(largest / digit)
    return (
        f"With {norm} norm it can be right: where a channel is nearly flat the norm multiplies "
        f"float32 rounding by up to 316 at each layer. Pass --tolerance {enough:g} if so much is "
        "fine for you, or train with --norm batch."
    )
