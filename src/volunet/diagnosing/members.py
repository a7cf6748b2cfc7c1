"""What the members of a bagging run have in common: a fault that several show is one finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from volunet.diagnosing.diagnosis import Consequence
from volunet.diagnosing.finding import CERTAINTIES, Finding


def merge_findings(found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """One finding a fault, that of the member in which it is surest.

    Where it is, and in which members else, is told; of a run with one network, whose name is
    empty, findings stay as they are.

    Args:
        found: Name of a member → its findings, of each member that was looked at.
    """
    by_fault: dict[str, dict[str, Finding]] = {}
    for name, findings in found.items():
        for finding in findings:
            by_fault.setdefault(finding.fault, {})[name] = finding
    return [_merge(findings, len(found)) for findings in by_fault.values()]


def merge_consequences(found: Mapping[str, Sequence[Consequence]]) -> list[Consequence]:
    """One consequence a fault and its cause.

    Args:
        found: Name of a member → what its findings explain.
    """
    places: dict[tuple[str, str], dict[str, str]] = {}
    for name, consequences in found.items():
        for one in consequences:
            places.setdefault((one.fault, one.explained_by), {})[name] = one.where
    return [
        Consequence(fault, _in_members(list(where), next(iter(where.values()))), cause)
        for (fault, cause), where in places.items()
    ]


def merge_left_out(found: Mapping[str, Sequence[str]]) -> list[str]:
    """Each line once, with the members that it is of.

    Args:
        found: Name of a member → what was not looked for in it, and why.
    """
    members: dict[str, list[str]] = {}
    for name, lines in found.items():
        for line in lines:
            members.setdefault(line, []).append(name)
    return [_in_members(names, line) for line, names in members.items()]


def _merge(findings: Mapping[str, Finding], members: int) -> Finding:
    surest = min(findings, key=lambda name: CERTAINTIES.index(findings[name].certainty))
    told = findings[surest]
    evidence = told.evidence
    if any(one.evidence != evidence for one in findings.values()):
        evidence = f"in {len(findings)} of {members} folds; in {surest}: {evidence}"
    cases = dict.fromkeys(case for one in findings.values() for case in one.cases)
    return replace(
        told,
        where=_in_members(list(findings), told.where),
        evidence=evidence,
        cases=tuple(cases),
    )


def _in_members(names: Sequence[str], text: str) -> str:
    known = ", ".join(filter(None, names))
    return f"{known}: {text}" if known else text
