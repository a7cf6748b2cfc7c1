"""Cases that cannot be trained on at all."""

from __future__ import annotations

from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import name_cases, train_command
from volunet.diagnosing.finding import Finding

_TOLD = 5


def find_unreadable(study: Study) -> list[Finding]:
    """Files that are missing, damaged, not finite, of another grid or with undeclared labels."""
    if not study.problems:
        return []
    names = tuple(dict.fromkeys(problem.case for problem in study.problems))
    told = [
        f"{problem.file.name}: {problem.found.rstrip('.')} ({problem.expected.rstrip('.')})"
        for problem in study.problems[:_TOLD]
    ]
    rest = len(study.problems) - len(told)
    advice = dict.fromkeys(problem.do.rstrip(".") for problem in study.problems[:_TOLD])
    return [
        Finding(
            fault="unreadable-case",
            where=name_cases(names, len(study.dataset.cases)),
            evidence="; ".join(told) + (f"; and {rest} more problems" if rest else ""),
            cause="Files that are missing, damaged or do not belong together.",
            change=f"{'; '.join(advice)}. Or leave them out: "
            f"{train_command(study.dataset, '--skip-bad')}",
            certainty="high",
            cases=names,
        )
    ]
