"""`demo`: the whole path on data made on the spot, ending in a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from volunet.api.check import check
from volunet.api.evaluate import evaluate
from volunet.api.export import export
from volunet.api.phantom import phantom
from volunet.api.predict import predict
from volunet.api.train import Progress, train
from volunet.exporting.check import CheckReport
from volunet.extras import check_train_extra
from volunet.plan import Plan
from volunet.tasks.scores import Scores
from volunet.volumes import check_output_folder, read_volume

if TYPE_CHECKING:
    from volunet.viewer.report import CasePicture, CheckTable

TRAINING_CASES: Final = 24
"""Phantoms that the network is trained on; a fifth of them validates."""

UNSEEN_CASES: Final = 6
"""Phantoms of another seed, which only the finished model sees."""

FEATURES: Final = (8, 16, 32, 64)
"""Channels of the network's levels: half of what the plan would take, for twice the steps."""

PATCH_SIZE: Final = (40, 48, 64)
"""Training patches in voxels, (D, H, W): about half a phantom, for more steps again."""

PICTURES: Final = 3
"""Unseen cases that the report shows."""


@dataclass(frozen=True)
class DemoResult:
    """What came of the demo.

    Attributes:
        report: The HTML report.
        model: The exported model.
        mean_dice: Mean foreground Dice on the unseen phantoms.
        check: The check of the exported model.
    """

    report: Path
    model: Path
    mean_dice: float
    check: CheckReport


def demo(
    output: str | Path = "volunet-demo",
    *,
    minutes: float = 3.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> DemoResult:
    """Make phantoms, train, export, check, predict, score, and write a report.

    Args:
        output: A new or empty folder.
        minutes: Budget of the training.
        seed: Seed of the phantoms and of the training.
        progress: Told how it goes.

    Raises:
        ConfigError: The packages of ``volunet[train]`` are not installed.
        OutputError: The folder is not empty.
        ExportError: The exported model does not answer as the network does.
    """
    check_train_extra("demo")
    from volunet.viewer.report import Report, write_report

    folder = check_output_folder(Path(output))

    def counted(stage: str) -> partial[None]:
        return partial(_tell, progress, stage)

    training, unseen = folder / "training", folder / "unseen"
    phantom(training, cases=TRAINING_CASES, seed=seed, progress=counted("make phantoms"))
    phantom(unseen, cases=UNSEEN_CASES, seed=seed + 1, progress=counted("make unseen phantoms"))
    trained = train(
        training,
        folder / "run",
        minutes=minutes,
        features=FEATURES,
        patch_size=PATCH_SIZE,
        seed=seed,
        progress=progress,
    )
    model = folder / "model.onnx"
    export(trained.run, model, progress=counted("export and check"))
    checked = check(model, progress=counted("check the file"))
    predictions = folder / "predictions"
    predict(model, unseen / "imagesTr", predictions, progress=counted("predict"))
    scores = evaluate(
        predictions, unseen / "labelsTr", folder / "scores.csv", progress=counted("evaluate")
    )
    report = write_report(
        folder,
        Report(
            title="volunet demo: hips and femurs in CT phantoms",
            created=f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
            introduction=(
                f"A 3D U-Net was trained for {minutes:g} minutes on {TRAINING_CASES} phantoms, "
                f"exported to one ONNX file, checked, and used on {UNSEEN_CASES} phantoms that it "
                "had not seen."
            ),
            facts=_facts(scores, checked, trained.steps),
            scores=scores,
            loss_curve=trained.run / "curve.png",
            cases=_draw_cases(folder, unseen, predictions, trained.plan),
            check=_check_table(checked),
            commands=_commands(minutes, seed),
        ),
    )
    return DemoResult(report, model, scores.headline[1], checked)


def _tell(progress: Progress | None, stage: str, done: int, total: int) -> None:
    if progress:
        progress(stage, done / total, {})


def _facts(scores: Scores, checked: CheckReport, steps: int) -> Sequence[tuple[str, str]]:
    name, value = scores.headline
    passed = len(checked.rows) - len(checked.faults)
    return (
        (f"{name}, unseen", f"{value:.3f}"),
        ("training steps", f"{steps:,}"),
        ("checks passed", f"{passed} of {len(checked.rows)}"),
        ("largest difference of engines", f"{checked.largest_difference:.1e}"),
    )


def _draw_cases(folder: Path, unseen: Path, predictions: Path, plan: Plan) -> list[CasePicture]:
    from volunet.tasks.picture import draw_case, write_picture
    from volunet.viewer.report import CasePicture

    pictures = folder / "pictures"
    pictures.mkdir()
    drawn = []
    for file in sorted(predictions.iterdir())[:PICTURES]:
        name = file.name.removesuffix(".nii.gz")
        image = read_volume(unseen / "imagesTr" / f"{name}_0000.nii.gz")
        reference = read_volume(unseen / "labelsTr" / file.name)
        figure = draw_case(plan, image, reference, read_volume(file), name)
        picture = pictures / f"{name}.png"
        write_picture(figure, picture)
        drawn.append(CasePicture(name, picture))
    return drawn


def _check_table(report: CheckReport) -> CheckTable:
    from volunet.viewer.report import CheckTable

    engines = sorted({row.engine for row in report.rows})
    sizes = list(dict.fromkeys(row.size for row in report.rows))
    found = {(row.size, row.engine): row.max_abs_difference for row in report.rows}
    return CheckTable(
        engines=engines,
        sizes=["×".join(map(str, size)) for size in sizes],
        differences=[
            [math.inf if (d := found[size, name]) is None else d for name in engines]
            for size in sizes
        ],
        tolerance=report.tolerance,
    )


def _joined(mark: str, numbers: Sequence[int]) -> str:
    return mark.join(str(number) for number in numbers)


def _commands(minutes: float, seed: int) -> list[str]:
    return [
        f"volunet phantom -o training --cases {TRAINING_CASES} --seed {seed}",
        f"volunet phantom -o unseen --cases {UNSEEN_CASES} --seed {seed + 1}",
        f"volunet train training -o run --minutes {minutes:g} --seed {seed} "
        f"--features {_joined(',', FEATURES)} --patch-size {_joined('x', PATCH_SIZE)}",
        "volunet export run -o model.onnx",
        "volunet check model.onnx",
        "volunet predict model.onnx unseen/imagesTr -o predictions",
        "volunet evaluate predictions unseen/labelsTr -o scores.csv",
    ]
