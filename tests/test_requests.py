"""What may be asked for stands once: ranges, arguments, files and the copy in a run folder."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from volunet.api.predict import PredictOptions, predict
from volunet.api.train import train
from volunet.errors import ConfigError
from volunet.requests import PredictionRequest, TrainingRequest
from volunet.training.record.run_folder import read_run, write_run

BESIDE = {
    train: {"dataset", "output", "resume", "progress"},
    predict: {"model", "scans", "output", "spacing_mm", "foreign", "report", "progress"},
}
"""Arguments of a function that no model holds: what it is done to, and who is told."""


@pytest.mark.parametrize(
    ("function", "model"),
    [(train, TrainingRequest), (predict, PredictionRequest)],
    ids=["train", "predict"],
)
def test_pythons_arguments_are_the_models(function: Any, model: Any) -> None:
    arguments = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in BESIDE[function]
    }
    assert arguments == {name: field.default for name, field in model.model_fields.items()}
    documented = inspect.getdoc(function)
    assert [name for name in arguments if f"    {name}: " not in documented] == []


def test_predicts_options_are_its_arguments() -> None:
    options = set(PredictOptions.__annotations__)
    assert options == set(inspect.signature(predict).parameters) - {"model", "scans", "output"}


@pytest.mark.parametrize("model", [TrainingRequest, PredictionRequest])
def test_each_choice_says_what_it_is(model: Any) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"minutes": 1, "epochs": 1},
            r"--minutes, --epochs: both budgets\.\nA fit has one budget:",
        ),
        ({"minutes": 0}, r"--minutes 0: not allowed\.\nIt is greater than 0\. Budget in minutes\."),
        ({"minutes": float("nan")}, r"--minutes nan: not allowed"),
        ({"minutes": float("inf")}, r"--minutes inf: not allowed\.\nIt is a finite number\."),
        ({"epochs": 0}, r"--epochs 0: not allowed"),
        ({"epochs": 1.5}, r"--epochs 1\.5: not allowed"),
        ({"preset": "huge"}, r"--preset huge: not allowed\.\nIt is 'auto' or 'notes'\."),
        ({"features": ()}, r"--features nothing: not allowed"),
        ({"features": (8, 0)}, r"--features 0: not allowed"),
        ({"patch_size": (8, -8, 8)}, r"--patch-size -8: not allowed"),
        ({"patch_size": (8, 8)}, r"--patch-size "),
        ({"batch_size": 0}, r"--batch-size 0: not allowed\.\nPatches in a batch, or auto"),
        ({"batch_size": "many"}, r"--batch-size many: not allowed"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, r"--spacing-mm 0\.0: not allowed"),
        ({"norm": "layer"}, r"--norm layer: not allowed\.\nIt is 'batch', 'instance', 'group' or"),
        ({"dropout": 1.0}, r"--dropout 1\.0: not allowed\.\nDropped channels"),
        ({"dropout": (0.1, -0.1)}, r"--dropout .*: not allowed"),
        ({"dropout": float("nan")}, r"--dropout nan: not allowed"),
        ({"l1": -0.5}, r"--l1 -0\.5: not allowed\.\nIt is greater than or equal to 0\. Weight of"),
        ({"l2": float("inf")}, r"--l2 inf: not allowed"),
        ({"augmentation": "wild"}, r"--augmentation wild: not allowed"),
        ({"patience": -1}, r"--patience -1: not allowed"),
        ({"optimizer": "adam"}, r"--optimizer adam: not allowed\.\nIt is 'adamw' or 'sgd'\."),
        ({"learning_rate": 0.0}, r"--learning-rate 0\.0: not allowed"),
        ({"precision": "float16"}, r"--precision float16: not allowed"),
        ({"workers": -2}, r"--workers -2: not allowed"),
        ({"seed": -3}, r"--seed -3: not allowed"),
        ({"seed": 2**32}, r"--seed 4294967296: not allowed\.\nIt is less than 4294967296\."),
        ({"magic": 1}, r"magic: no such choice\.\nChoices are minutes, epochs, "),
    ],
    ids=lambda value: "-".join(map(str, value.items())) if isinstance(value, dict) else "",
)
def test_what_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingRequest.of(**keys)


@pytest.mark.parametrize(
    ("keys", "leaves"),
    [
        ({}, True),
        ({"patch_size": (8, 8, 8), "dropout": 0.5}, True),
        ({"features": (4, 8)}, False),
        ({"preset": "notes"}, False),
    ],
    ids=["nothing", "others", "features", "preset"],
)
def test_what_leaves_the_network_to_be_measured(keys: dict[str, Any], leaves: bool) -> None:
    assert TrainingRequest.of(**keys).leaves_network is leaves


def test_a_file_of_choices(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('minutes = 60\nfeatures = [8, 16]\nbatch_size = "auto"\n')
    asked = TrainingRequest.of(**TrainingRequest.read(file))
    assert (asked.minutes, asked.features, asked.batch_size) == (60.0, (8, 16), "auto")
    file.write_text("minuets = 60\n")
    with pytest.raises(ConfigError, match=r"run\.toml: the keys minuets\.\nKeys are minutes, "):
        TrainingRequest.read(file)
    file.write_text("minutes: 60\n")
    with pytest.raises(ConfigError, match=r"run\.toml: no TOML that can be read"):
        TrainingRequest.read(file)
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no TOML that can be read"):
        TrainingRequest.read(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    "asked",
    [
        TrainingRequest(epochs=1),
        TrainingRequest(
            minutes=2, fold="all/3", batch_size="auto", precision="bfloat16", skip_bad=True,
            features=(4, 8), dropout=(0.0, 0.1), spacing_mm=(1.0, 2.0, 0.5),
        ),
    ],
    ids=["little", "much"],
)  # fmt: skip
def test_the_run_folder_keeps_it(asked: TrainingRequest, run: Any) -> None:
    write_run(run(asked))
    assert read_run(run(asked).folder).asked == asked


def test_a_run_of_before_kept_wishes(run: Any) -> None:
    made = run(TrainingRequest(epochs=1))
    write_run(made)
    file = made.folder / "run.json"
    content = json.loads(file.read_text())
    del content["asked"]
    content["wishes"] = {
        "fold": "1/2", "batch_size": 4, "precision": None, "skip_bad": True,
        "plan": {"preset": "auto", "features": [4, 8], "l1": 0.0, "l2": 0.01, "norm": None},
    }  # fmt: skip
    file.write_text(json.dumps(content))
    assert read_run(made.folder).asked == TrainingRequest(
        epochs=1, fold="1/2", batch_size=4, skip_bad=True, features=(4, 8), l2=0.01,
        loss=made.config.loss, workers=1,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, blob_plan: Any) -> Any:
    """Make a run that was asked for so."""
    from volunet.training.config import TrainingConfig
    from volunet.training.record.run_folder import Run

    def make(asked: TrainingRequest) -> Run:
        return Run(tmp_path, blob_plan, TrainingConfig(epochs=1), "d", ("a",), ("b",), asked=asked)

    return make
