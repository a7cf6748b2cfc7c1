"""The run folder: what a fit leaves behind, and reading it again.

======================== ==========================================================
``plan.json``            the plan
``run.json``             version of this layout, the configuration, the cases' names
``weights.safetensors``  the best weights so far, by validation score
``last.ckpt``            the last state, for ``--resume``; at most half a minute old
``metrics.csv``          losses, score, gradient norm, waiting and more, by step
``layers.csv``           norms, movement and silent channels of each convolution, by step
``curve.png``            the same as a picture
``tensorboard/``         the same for TensorBoard
``cache/``               the cases on the model's grid; may be deleted
======================== ==========================================================

With bagging, ``plan.json`` says how many members there are, and instead of weights there is a run
folder of each: ``fold_1/``, ``fold_2/`` …, whose plan has one member.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from volunet.errors import ConfigError, VolunetError
from volunet.nets import Ensemble, Network, UNet3d, network_of
from volunet.plan import Plan, read_plan
from volunet.requests import TrainingRequest
from volunet.training.config import TrainingConfig
from volunet.volumes.atomic import atomic_path
from volunet.volumes.scratch import clear_scratch

RUN_VERSION: Final = 1
"""Version of this layout; a run folder of another version is refused."""

PLAN_FILE: Final = "plan.json"
RUN_FILE: Final = "run.json"
WEIGHTS_FILE: Final = "weights.safetensors"
LAST_FILE: Final = "last.ckpt"
METRICS_FILE: Final = "metrics.csv"
LAYERS_FILE: Final = "layers.csv"
CURVE_FILE: Final = "curve.png"
CACHE_FOLDER: Final = "cache"
_SCORE_KEY: Final = "validation_score"
_FORMER_KEY: Final = "val_dice"
"""What the score was called when there was no other."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder's description.

    Attributes:
        folder: The run folder.
        plan: The plan.
        config: How the network is fitted.
        dataset: The folder or table that it was started on.
        training: Names of the training cases.
        validation: Names of the validation cases.
        prepared_s: Seconds of the budget that had gone before the fit began.
        asked: What the user asked for; None in a run that does not tell.
        is_settled: Whether the plan has followed from that, and from what was measured.
    """

    folder: Path
    plan: Plan
    config: TrainingConfig
    dataset: str
    training: tuple[str, ...]
    validation: tuple[str, ...]
    prepared_s: float = 0.0
    asked: TrainingRequest | None = None
    is_settled: bool = True


def write_run(run: Run) -> None:
    """Write ``plan.json`` and ``run.json``, the latter last: without it there is no run."""
    _write_text(run.folder / PLAN_FILE, run.plan.model_dump_json(indent=2))
    description = {
        "run_version": RUN_VERSION,
        "config": dataclasses.asdict(run.config),
        "dataset": run.dataset,
        "training": run.training,
        "validation": run.validation,
        "prepared_s": run.prepared_s,
        "asked": None if run.asked is None else run.asked.model_dump(mode="json"),
        "is_settled": run.is_settled,
    }
    _write_text(run.folder / RUN_FILE, json.dumps(description, indent=2))


def clear_unfinished_start(folder: Path) -> None:
    """Make a folder empty whose training was killed between `PLAN_FILE` and `RUN_FILE`.

    A plan alone can neither be resumed nor, as long as it lies there, be started anew.
    """
    clear_scratch(folder)
    if not folder.is_dir() or [entry.name for entry in folder.iterdir()] != [PLAN_FILE]:
        return
    file = folder / PLAN_FILE
    with suppress(ConfigError, UnicodeDecodeError):  # somebody else's file: left to the next check
        read_plan(file.read_text(encoding="utf-8"), file)
        file.unlink()


def read_run(folder: str | Path) -> Run:
    """Read a run folder's description.

    Raises:
        ConfigError: It is no run folder, or one of another version.
    """
    folder = Path(folder)
    file = folder / RUN_FILE
    if not file.is_file():
        raise ConfigError(
            folder,
            f"no {RUN_FILE} in it" if folder.is_dir() else "no such folder",
            "A run folder is what volunet train -o made.",
            "Check the path, or train.",
        )
    try:
        description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _unreadable(file, str(error)) from error
    version = description.get("run_version") if isinstance(description, dict) else None
    if version != RUN_VERSION:
        raise ConfigError(
            file,
            f"a run folder of version {version}",
            f"This volunet reads version {RUN_VERSION}.",
            "Train again, or use the volunet that wrote it.",
        )
    asked = description.get("asked", _former_wishes(description))
    plan_file = folder / PLAN_FILE
    try:
        plan = read_plan(plan_file.read_text(encoding="utf-8"), plan_file)
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise _unreadable(plan_file, str(error)) from error
    try:
        return Run(
            folder=folder,
            plan=plan,
            config=TrainingConfig(**description["config"]),
            dataset=description["dataset"],
            training=tuple(description["training"]),
            validation=tuple(description["validation"]),
            prepared_s=float(description.get("prepared_s", 0.0)),
            asked=None if asked is None else TrainingRequest.of(**asked),
            # Runs were described without it as long as wishes ended with their settling.
            is_settled=bool(description.get("is_settled", asked is None)),
        )
    except VolunetError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(file, str(error)) from error


def _former_wishes(description: dict[str, Any]) -> dict[str, Any] | None:
    """What was asked for, of a run that kept a part of it as wishes and the rest in its config."""
    wishes = description.get("wishes")
    if wishes is None:
        return None
    others = ("minutes", "epochs", "optimizer", "learning_rate", "loss", "workers", "seed")
    kept = {name: description["config"].get(name) for name in others}
    plan = {name: value for name, value in wishes["plan"].items() if value is not None}
    return kept | plan | {name: value for name, value in wishes.items() if name != "plan"}


def write_weights(folder: Path, network: UNet3d, score: float | None) -> None:
    """Write a network's weights with their validation score, if there is one, atomically."""
    metadata = {} if score is None else {_SCORE_KEY: repr(score)}
    # safetensors wants plain memory; channels-last weights are stored as such.
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(save(state, metadata=metadata))


def read_best_score(folder: Path) -> float | None:
    """Validation score of the weights in a run folder; None where there is none.

    Raises:
        ConfigError: The file is damaged.
    """
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as weights:
            known = weights.metadata() or {}
            score = float(known.get(_SCORE_KEY, known.get(_FORMER_KEY, "nan")))
    except SafetensorError as error:
        raise _other_weights(file, error) from error
    return None if math.isnan(score) else score


def resume_command(dataset: str | Path, folder: str | Path) -> str:
    """The command that goes on with a run.

    Example:
        >>> resume_command("my scans", "run")
        "volunet train 'my scans' -o run --resume"
    """
    return shlex.join(["volunet", "train", str(dataset), "-o", str(folder), "--resume"])


def member_folder(folder: Path, number: int) -> Path:
    """The run folder of one member of a bagging run, counted from 1.

    Example:
        >>> member_folder(Path("run"), 2).as_posix()
        'run/fold_2'
    """
    return folder / f"fold_{number}"


def read_network(run: Run) -> Network:
    """The trained network of a run, in eval mode; with bagging, the ensemble of its members.

    Raises:
        ConfigError: There are no weights yet, of some member, or they are not the plan's network's.
    """
    network = network_of(run.plan)
    if isinstance(network, Ensemble):
        for number, member in enumerate(network.members, start=1):
            _load_weights(member, member_folder(run.folder, number), run, f"of fold {number} ")
    else:
        _load_weights(network, run.folder, run)
    return network.eval()


def _load_weights(network: nn.Module, folder: Path, run: Run, which: str = "") -> None:
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        raise ConfigError(
            folder,
            f"no {WEIGHTS_FILE}: the run {which}ended before its first validation",
            "A run writes its weights at each validation that is better than those before.",
            f"Go on with it: {resume_command(run.dataset, run.folder)}",
        )
    try:
        network.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as error:
        raise _other_weights(file, error) from error


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _other_weights(file: Path, error: Exception) -> ConfigError:
    return ConfigError(
        file,
        f"not the weights of the plan's network ({str(error).splitlines()[0]})",
        f"{WEIGHTS_FILE} and {PLAN_FILE} are of one run.",
        "Restore the run folder, or train again.",
    )


def _unreadable(file: Path, reason: str) -> ConfigError:
    return ConfigError(
        file,
        f"not a run folder's description ({reason})",
        "The file is as volunet train wrote it.",
        "Restore it, or train again.",
    )
