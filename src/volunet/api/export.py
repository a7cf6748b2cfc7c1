"""`export`: a run folder → one verified ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from volunet.exporting.check import TOLERANCE, CheckReport
from volunet.extras import check_train_extra


def export(
    run: str | Path,
    output: str | Path,
    *,
    answer: str | None = None,
    sizes: int = 20,
    tolerance: float = TOLERANCE,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Export the network of a run, and check the file on every engine.

    Args:
        run: A run folder.
        output: The ONNX file to write.
        answer: What the model shall answer; of a segmentation ``logits``, ``probabilities`` or
            ``labels``. None: the first.
        sizes: How many sizes to check at.
        tolerance: Largest absolute difference that passes.
        overwrite: Replace a file that is there.
        progress: Called with the sizes done and their number.

    Returns:
        The check's report.

    Raises:
        ConfigError: The folder is no run folder, has no weights yet, or its task has no such
            answer.
        OutputError: The file exists.
        ExportError: An engine answers something else than PyTorch; no file is left behind.
    """
    check_train_extra("export")
    from volunet.exporting.verified import export_network
    from volunet.training.record.run_folder import read_network, read_run

    found = read_run(run)
    plan = found.plan.model_copy(update={"task": found.plan.task.answering(answer)})
    return export_network(
        read_network(found),
        plan,
        output,
        sizes=sizes,
        tolerance=tolerance,
        overwrite=overwrite,
        progress=progress,
    )
