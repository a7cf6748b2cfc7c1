"""The moving average of the weights: its numbers, what validations see, what is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from volunet.training.fitting.averaging import DECAY, AveragedWeights, average


class Module(pl.LightningModule):
    """A network of one weight, with a count as batch norm has it."""

    def __init__(self):
        super().__init__()
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.network.register_buffer("count", torch.tensor(0))


@pytest.fixture
def module():
    return Module()


@pytest.fixture
def averaged(module):
    callback = AveragedWeights()
    callback.setup(SimpleNamespace(), module, "fit")
    return callback


def make_step(callback, module, step, weight):
    with torch.no_grad():
        module.network.weight.fill_(weight)
        module.network.count.fill_(step)
    callback.on_train_batch_end(SimpleNamespace(global_step=step), module, None, None, 0)


def weight(network):
    return network.weight.item()


@pytest.mark.parametrize(
    ("count", "kept"), [(0, 0.1), (1, 2 / 11), (90, 0.91), (8_989, 8_990 / 8_999), (10**6, DECAY)]
)
def test_what_is_kept_of_the_average(count, kept):
    found = average(torch.zeros(3), torch.ones(3), count)
    assert found.tolist() == pytest.approx([1 - kept] * 3, rel=1e-4)
    assert float(average(torch.zeros(3), torch.ones(3), torch.tensor(count))[0]) == found[0]


def test_counts_are_not_averaged():
    found = average(torch.tensor(5), torch.tensor(9), 10**6)
    assert (found.dtype, int(found)) == (torch.int64, 9)


def test_first_weights_fade():
    value = torch.zeros(1, dtype=torch.float64)
    for count in range(1, 101):
        value = average(value, torch.ones(1, dtype=torch.float64), count)
    # Their share after n steps is 10! / n⁹ or so; a fixed decay of 0.999 would leave 90 %.
    assert 0 < 1 - float(value) < 1e-10


def test_average_over_steps(averaged, module):
    for step, value in ((1, 1.0), (2, 2.0), (3, 4.0)):
        make_step(averaged, module, step, value)
    # The first step is the average; then 9/11 of the second, 3/4 of the third.
    second = 1.0 + 9 / 11
    assert weight(averaged.network(module)) == pytest.approx(0.25 * second + 0.75 * 4.0)
    assert int(averaged.network(module).count) == 3
    assert weight(module.network) == 4.0


def test_a_batch_that_is_no_step_does_not_count(averaged, module):
    """Of accumulated batches the last alone makes a step."""
    make_step(averaged, module, 1, 1.0)
    make_step(averaged, module, 1, 5.0)
    assert weight(averaged.network(module)) == 1.0


def test_before_the_first_step_and_before_a_fit(averaged, module):
    assert weight(averaged.network(module)) == weight(module.network)
    assert AveragedWeights().network(module) is module.network


def test_validations_see_the_average(averaged, module):
    make_step(averaged, module, 1, 1.0)
    make_step(averaged, module, 2, 12.0)
    expected = 1.0 + 11.0 * 9 / 11
    averaged.on_validation_epoch_start(None, module)
    assert weight(module.network) == pytest.approx(expected)
    averaged.on_validation_epoch_end(None, module)
    assert weight(module.network) == 12.0
    assert weight(averaged.network(module)) == pytest.approx(expected)


def test_the_end_of_the_fit_leaves_the_module_its_weights(averaged, module):
    make_step(averaged, module, 1, 1.0)
    make_step(averaged, module, 2, 12.0)
    averaged.on_train_end(None, module)
    assert weight(module.network) == 12.0
    # A validation behind the fit sees the average all the same.
    averaged.on_validation_epoch_start(None, module)
    assert weight(module.network) == pytest.approx(10.0)


def test_checkpoint_round_trip(averaged, module):
    make_step(averaged, module, 1, 1.0)
    make_step(averaged, module, 2, 12.0)
    checkpoint = {"state_dict": module.state_dict()}
    averaged.on_save_checkpoint(None, module, checkpoint)
    assert float(checkpoint["state_dict"]["network.weight"]) == pytest.approx(10.0)
    assert float(checkpoint["current_model_state"]["network.weight"]) == 12.0
    other = Module()
    again = AveragedWeights()
    again.setup(SimpleNamespace(), other, "fit")
    other.load_state_dict(checkpoint["state_dict"])
    again.load_state_dict(averaged.state_dict())
    again.on_load_checkpoint(None, other, checkpoint)
    assert weight(other.network) == 12.0
    assert weight(again.network(other)) == pytest.approx(10.0)
    # The third step counts as the third: ¼ of the average is kept.
    make_step(again, other, 3, 2.0)
    assert weight(again.network(other)) == pytest.approx(0.25 * 10.0 + 0.75 * 2.0)
