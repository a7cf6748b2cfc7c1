"""Labels that are noisy: ragged borders, or far from what the other cases say.

Two measures, each by the modified z-score over the set. Raggedness: voxels that five of their six
neighbours gainsay, beside the class' voxels (`raggedness`). Residual by cross-validation: 1 − Dice
of the label with the answer of a classifier that was fitted without the case's fold (`atlas`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from volunet.diagnosing.answers import Answers, LeftOut, leave_out
from volunet.diagnosing.cases.grading import grade
from volunet.diagnosing.cases.robust import median_of_known, modified_z
from volunet.diagnosing.cases.study import Study
from volunet.diagnosing.cases.wording import few, name_cases
from volunet.diagnosing.finding import Finding

RAGGED_SCORE: Final = 5.0

RAGGED: Final = 0.02
"""Of a class' voxels; healthy labels have up to 0.01 where they are no thin sheets."""

RAGGED_FACTOR: Final = 2.0
"""Times the median's raggedness, for thin shapes, whose raggedness is large."""

CLEARLY_RAGGED: Final = 0.03

RESIDUAL_SCORE: Final = 6.0

CONTRAST_SHARE: Final = 0.5
"""Of the usual contrast at the border (`boundary`). A label that has less is disputed by its own
image too; one that has more is right, and its case rare: a tilted head, say."""

_LEAST_RAGGED_SPREAD: Final = 0.003

_LEAST_RESIDUAL_SPREAD: Final = 0.03

_LEAST_CASES: Final = 6


def find_noise(study: Study) -> Answers:
    """Cases with ragged labels, then cases whose labels disagree with what the others say."""
    if too_few := few(len(study.cases), _LEAST_CASES):
        return [LeftOut(too_few)]
    measured = np.isfinite([case.raggedness for case in study.cases]).sum(axis=0)
    no_ragged = few(int(measured.max()), _LEAST_CASES, "with a class of some size")
    ragged = [] if no_ragged else _find_ragged(study)
    left = study.without({name for finding in ragged for name in finding.cases})
    labelled = sum(case.foreground > 0 for case in left.cases)
    no_residuals = left.atlas_distrust or few(labelled, _LEAST_CASES, "with a label")
    residuals = [] if no_residuals else _find_residuals(left)
    left_out = leave_out({"ragged borders": no_ragged, "residuals": no_residuals})
    return [*ragged, *residuals, *left_out]


def _find_ragged(study: Study) -> list[Finding]:
    values = np.array([case.raggedness for case in study.cases])
    scores, usual = np.zeros(values.shape), np.zeros(values.shape[1])
    for index in range(1, values.shape[1]):
        if np.isfinite(values[:, index]).sum() >= _LEAST_CASES:
            usual[index] = median_of_known(values[:, index])
            scores[:, index] = np.nan_to_num(modified_z(values[:, index], _LEAST_RAGGED_SPREAD))
    far = (scores > RAGGED_SCORE) & (values >= np.maximum(RAGGED, RAGGED_FACTOR * usual))
    chosen = np.any(far, axis=1)
    clear = np.any(far & (values >= CLEARLY_RAGGED), axis=1)
    worst = np.where(far, values, 0).max(axis=1)
    return [
        Finding(
            fault="label-noise",
            where=name_cases(study.names_of(cases), len(study.cases)),
            evidence="Voxels that five of their six neighbours gainsay, beside the class' voxels: "
            f"{worst[cases].min():.1%} to {worst[cases].max():.1%}; usual are "
            f"{usual[1:].max():.1%} at the most. Modified z-score "
            f"{scores[cases].max(axis=1).min():.1f} or more.",
            cause="Labels from a noisy tool, or resampled or thresholded without smoothing.",
            change="Smooth or redraw these labels, or remove the cases: "
            f"{', '.join(study.names_of(cases))}.",
            certainty=certainty,
            cases=study.names_of(cases),
        )
        for cases, certainty in grade(clear, chosen)
    ]


def _find_residuals(study: Study) -> list[Finding]:
    labelled = np.array([case.foreground > 0 for case in study.cases])
    residuals = np.array([1 - fit.dice for fit in study.atlas])
    residuals[~labelled] = np.nan
    usual = float(np.nanmedian(residuals))
    scores = np.nan_to_num(modified_z(residuals, _LEAST_RESIDUAL_SPREAD))
    contrast = study.boundaries.contrast
    usual_contrast = median_of_known(contrast)
    findings = []
    for index in np.flatnonzero(scores > RESIDUAL_SCORE).tolist():
        name = study.cases[index].name
        disputed = contrast[index] < CONTRAST_SHARE * usual_contrast
        findings.append(
            Finding(
                fault="label-noise",
                where=name_cases([name], len(study.cases)),
                evidence="Residual by cross-validation, 1 − Dice of the label with what the other "
                f"cases say of the image: {residuals[index]:.2f}; of the other cases {usual:.2f} "
                f"(median). Modified z-score {scores[index]:.1f}. Contrast at the border "
                f"{contrast[index]:.3f} bit; of the other cases {usual_contrast:.3f} (median).",
                cause="A label of other parts, or by another rule."
                if disputed
                else "Rare anatomy or another pose; the label lies well on its image.",
                change=f"Look at the case; mend the label or remove it: {name}.",
                certainty="medium" if disputed else "low",
                cases=(name,),
            )
        )
    return findings
