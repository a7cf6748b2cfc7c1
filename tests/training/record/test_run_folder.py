"""The run folder: what is written is read back, and everything else is named and refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from volunet.errors import ConfigError
from volunet.nets import Ensemble, network_of
from volunet.training.config import TrainingConfig
from volunet.training.record.run_folder import (
    RUN_VERSION,
    Run,
    member_folder,
    read_best_score,
    read_network,
    read_run,
    write_run,
    write_weights,
)


@pytest.fixture
def run(blob_plan, tmp_path):
    folder = tmp_path / "run"
    config = TrainingConfig(minutes=2.5, fold="2/3", optimizer="sgd", accumulate=4, seed=7)
    written = Run(folder, blob_plan, config, "/data/blobs", ("a", "b"), ("c",), 12.5)
    write_run(written)
    return written


def replace_in(file, **keys):
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def test_round_trip(run):
    assert sorted(path.name for path in run.folder.iterdir()) == ["plan.json", "run.json"]
    assert read_run(run.folder) == run
    assert read_run(str(run.folder)) == run


def test_no_run_folder(tmp_path):
    message = r"nowhere: no such folder\.\nA run folder is what volunet train -o made\.\nCheck"
    with pytest.raises(ConfigError, match=message):
        read_run(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r": no run\.json in it\.\n"):
        read_run(tmp_path)


@pytest.mark.parametrize("version", [0, RUN_VERSION + 1, None, "1"])
def test_other_version(run, version):
    replace_in(run.folder / "run.json", run_version=version)
    message = (
        rf"run\.json: a run folder of version {version}\.\n"
        rf"This volunet reads version {RUN_VERSION}\.\nTrain again, or use the volunet that wrote"
    )
    with pytest.raises(ConfigError, match=message):
        read_run(run.folder)


def test_other_plan_version(run):
    replace_in(run.folder / "plan.json", plan_version=0)
    with pytest.raises(ConfigError, match=r"plan\.json: a plan of version 0\.\n"):
        read_run(run.folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"run\.json: not a run folder's description \(Expecting .*\)\.\n.*\nRestore it"),
        ("[1]", r"run\.json: a run folder of version None\."),
        ('{"run_version": 1}', r"run\.json: not a run folder's description \('config'\)"),
        (
            '{"run_version": 1, "config": {"epochs": 1, "momentum": 2}}',
            r"not a run folder's description \(.*'momentum'\)",
        ),
    ],
    ids=["not-json", "list", "key-missing", "key-unknown"],
)
def test_damaged_description(run, text, message):
    (run.folder / "run.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_run(run.folder)


def test_plan_is_missing(run):
    (run.folder / "plan.json").unlink()
    with pytest.raises(ConfigError, match=r"not a run folder's description \(.*plan\.json'\)"):
        read_run(run.folder)


def test_weights_round_trip(run):
    torch.manual_seed(1)
    network = network_of(run.plan)
    network = network.to(memory_format=torch.channels_last_3d)
    write_weights(run.folder, network, 0.625)
    assert read_best_score(run.folder) == 0.625
    found = read_network(run)
    assert found.training is False
    state = found.state_dict()
    assert list(state) == list(network.state_dict())
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(state[name].numpy(), tensor.numpy())


def test_dice_of_the_weights(run):
    assert read_best_score(run.folder) is None
    write_weights(run.folder, network_of(run.plan), None)
    assert read_best_score(run.folder) is None
    write_weights(run.folder, network_of(run.plan), 0.0)
    assert read_best_score(run.folder) == 0.0


def test_no_weights_yet(run):
    message = (
        r"run: no weights\.safetensors: the run ended before its first validation\.\n"
        r"A run writes its weights .*\n"
        r"Go on with it: volunet train /data/blobs -o .*run --resume"
    )
    with pytest.raises(ConfigError, match=message):
        read_network(run)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.6])
def test_damaged_weights(run, share):
    write_weights(run.folder, network_of(run.plan), 0.5)
    file = run.folder / "weights.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    message = (
        r"weights\.safetensors: not the weights of the plan's network \(.+\)\.\n"
        r"weights\.safetensors and plan\.json are of one run\.\nRestore the run folder, or train"
    )
    with pytest.raises(ConfigError, match=message):
        read_network(run)
    with pytest.raises(ConfigError, match=message):
        read_best_score(run.folder)


def test_weights_of_another_network(run, blob_plan):
    wider = blob_plan.network.model_copy(update={"features": (5, 8)})
    write_weights(run.folder, network_of(blob_plan.model_copy(update={"network": wider})), 0.5)
    with pytest.raises(ConfigError, match="not the weights of the plan's network"):
        read_network(run)


@pytest.fixture
def bagged(run):
    """A run of three members, the second of which has no weights yet."""
    torch.manual_seed(2)
    outer = replace(run, plan=run.plan.model_copy(update={"members": 3}))
    write_run(outer)
    for number in (1, 2, 3):
        folder = member_folder(outer.folder, number)
        folder.mkdir()
        write_run(replace(run, folder=folder))
        if number != 2:
            write_weights(folder, network_of(run.plan), 0.5)
    return outer


def test_members_are_read_as_an_ensemble(bagged):
    folder = member_folder(bagged.folder, 2)
    assert folder.name == "fold_2"
    write_weights(folder, network_of(read_run(folder).plan), 0.25)
    found = read_network(read_run(bagged.folder))
    assert isinstance(found, Ensemble)
    assert not any(module.training for module in found.modules())
    assert len(found.members) == 3
    for number, member in enumerate(found.members, start=1):
        alone = read_network(read_run(member_folder(bagged.folder, number))).state_dict()
        for name, tensor in member.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), alone[name].numpy())
    first, second, _ = (member.head.weight for member in found.members)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("began", [True, False])
def test_a_member_without_weights_yet(bagged, began):
    folder = member_folder(bagged.folder, 2)
    if not began:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    message = (
        r"run/fold_2: no weights\.safetensors: the run of fold 2 ended before its first "
        r"validation\.\nA run writes its weights .*\n"
        r"Go on with it: volunet train /data/blobs -o .*/run --resume"
    )
    with pytest.raises(ConfigError, match=message):
        read_network(bagged)


def test_a_member_of_another_network(bagged):
    wider = bagged.plan.network.model_copy(update={"features": (5, 8)})
    other = network_of(bagged.plan.model_copy(update={"network": wider, "members": 1}))
    write_weights(member_folder(bagged.folder, 2), other, 0.5)
    message = r"fold_2/weights\.safetensors: not the weights of the plan's network"
    with pytest.raises(ConfigError, match=message):
        read_network(bagged)


def test_descriptions_that_are_no_text_or_no_number(blob_run, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    description = json.loads((blob_run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(description | {"prepared_s": "long"}))
    (run / "plan.json").write_bytes((blob_run / "plan.json").read_bytes())
    message = r"run\.json: not a run folder's description \(could not convert string to float"
    with pytest.raises(ConfigError, match=message):
        read_run(run)
    (run / "run.json").write_text(json.dumps(description))
    assert read_run(run).plan == read_run(blob_run).plan
    (run / "plan.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"plan\.json: not a run folder's description \('utf-8'"):
        read_run(run)
