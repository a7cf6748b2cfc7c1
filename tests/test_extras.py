"""The one message for a missing extra."""

from __future__ import annotations

import importlib.util

import pytest

from volunet.errors import ConfigError
from volunet.extras import check_train_extra


def test_nothing_happens_where_pytorch_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    check_train_extra("evaluate")


def test_the_message_names_the_feature_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        check_train_extra("evaluate")
    assert str(caught.value) == (
        "evaluate: PyTorch is not installed.\n"
        "This feature needs the packages of the extra 'train'.\n"
        'Run: pip install "volunet[train]".'
    )
