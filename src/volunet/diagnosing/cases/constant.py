"""Images that show nothing: all their voxels have one value, or all but."""

from __future__ import annotations

from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import list_names, name_cases
from volunet.diagnosing.finding import Finding
from volunet.plan import FLATNESS, SMALLEST_STD


def find_constant(study: Study) -> list[Finding]:
    """Channels whose deviation is below what normalisation takes as flat, see `FLATNESS`."""
    findings = []
    for index, channel in enumerate(study.dataset.channels):
        flat = [
            case
            for case in study.cases
            if case.channels[index].deviation
            <= max(FLATNESS * abs(case.channels[index].mean), SMALLEST_STD)
        ]
        if not flat:
            continue
        names = tuple(case.name for case in flat)
        worst = flat[0].channels[index]
        findings.append(
            Finding(
                fault="image-constant",
                where=name_cases(names, len(study.cases)),
                evidence=f"Channel {channel} of {names[0]}: values {worst.minimum:g} to "
                f"{worst.maximum:g}, deviation {worst.deviation:.3g} at a mean of "
                f"{worst.mean:.4g}. Below {FLATNESS:g} of the mean a scan counts as flat.",
                cause="An empty or wrongly converted file.",
                change=f"Convert these scans anew from their source, or remove the cases: "
                f"{list_names(names)}.",
                certainty="high",
                cases=names,
            )
        )
    return findings
