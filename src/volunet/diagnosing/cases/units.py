"""CT whose values are no HU: scaled to 0…1, to 8 bits, or stored with an offset."""

from __future__ import annotations

from typing import Final

from volunet.diagnosing.answers import Answers, LeftOut
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.summary import ChannelSummary
from volunet.diagnosing.cases.wording import name_cases
from volunet.diagnosing.finding import Certainty, Finding

LEAST_RANGE_HU: Final = 30.0
"""Noise alone spans more HU, and fat and muscle are 150 apart."""

EIGHT_BITS: Final = 255.0

AIR_HU: Final = -1000.0
"""Scans whose air is at 0 have water at about 1000."""


def is_ct(channel: str) -> bool:
    """Whether a channel holds CT, by its name: what `rules.choose_normalisation` goes by too."""
    return channel.strip().upper() == "CT"


def find_wrong_units(study: Study) -> Answers:
    """Channels called CT whose values cannot be HU."""
    if not any(is_ct(channel) for channel in study.dataset.channels):
        return [LeftOut("no channel is called CT, and of others the unit is free")]
    findings = []
    for index, channel in enumerate(study.dataset.channels):
        if not is_ct(channel):
            continue
        kinds: dict[str, list[str]] = {}
        for case in study.cases:
            kinds.setdefault(_kind(case.channels[index]), []).append(case.name)
        right = kinds.pop("HU", [])
        for kind, names in kinds.items():
            values = next(c for c in study.cases if c.name == names[0]).channels[index]
            findings.append(_finding(study, tuple(names), kind, values, len(right)))
    return findings


def _kind(channel: ChannelSummary) -> str:
    if channel.maximum - channel.minimum < LEAST_RANGE_HU:
        return "scaled"
    if channel.minimum >= 0 and channel.maximum <= EIGHT_BITS:
        return "8 bits"
    bright = channel.percentiles[-1]
    return "offset" if channel.minimum >= 0 and bright > -AIR_HU else "HU"


_CAUSES: Final = {
    "scaled": "The values were scaled to a small range, such as 0…1, before they were saved.",
    "8 bits": "The scans were saved as pictures of 8 bits.",
    "offset": "Stored values without the DICOM header's rescale intercept.",
}

_CHANGES: Final = {
    "scaled": "Convert the scans anew from their source without scaling; where the range is known "
    "(0…1 of LOW…HIGH HU), write value · (HIGH − LOW) + LOW.",
    "8 bits": "Convert the scans anew from their source, or declare the channel as something else "
    "than CT in dataset.json, so that each scan is normalised by itself.",
    "offset": "Subtract 1024 (or the header's intercept) from these scans.",
}


def _finding(
    study: Study, names: tuple[str, ...], kind: str, values: ChannelSummary, right: int
) -> Finding:
    # Windowed CT lies within 8 bits too, and a part of a body may hold no air.
    certainty: Certainty = "high" if kind == "scaled" or right else "medium"
    others = f"{right} other cases have values as HU have." if right else "No case has others."
    return Finding(
        fault="intensity-units",
        where=name_cases(names, len(study.cases)),
        evidence=f"{names[0]}, called CT: {values.minimum:.4g} to {values.maximum:.4g}, half of "
        f"the voxels below {values.percentiles[2]:.4g}; air is −1000 HU, water 0, bone up to "
        f"2000. {others}",
        cause=_CAUSES[kind],
        change=_CHANGES[kind],
        certainty=certainty,
        cases=names,
    )
