"""The tables of PyTorch's modules say what PyTorch says."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from volunet.reversing.reading.pytorch import DEFAULTS, POSITIONAL, STATELESS, without_dimensions

torch = pytest.importorskip("torch", reason="needs the extra 'train'")


def classes(kind: str) -> list[Any]:
    names = [f"{kind.removeprefix('nn.')}{end}" for end in ("", "1d", "2d", "3d")]
    return [getattr(torch.nn, name) for name in names if hasattr(torch.nn, name)]


def signature(module: Any) -> dict[str, Any]:
    parameters = list(inspect.signature(module).parameters.values())
    return {parameter.name: parameter.default for parameter in parameters}


@pytest.mark.parametrize("kind", list(POSITIONAL))
def test_arguments_without_names_are_the_first_ones(kind: str) -> None:
    found = classes(kind)
    assert found
    for module in found:
        names = tuple(signature(module))
        assert names[: len(POSITIONAL[kind])] == POSITIONAL[kind]


@pytest.mark.parametrize("kind", list(DEFAULTS))
def test_what_is_left_out_has_the_value_that_pytorch_gives_it(kind: str) -> None:
    found = [module for module in classes(kind) if "Lazy" not in module.__name__]
    assert found
    for module in found:
        given = signature(module)
        for name, value in DEFAULTS[kind].items():
            assert given[name] == value, (module, name)


SLOTS: dict[str, Any] = {
    "negative_slope": 0.2, "alpha": 0.7, "threshold": 0.1, "value": -3.0, "dim": 2, "start_dim": 2,
    "scale_factor": 2,
}  # fmt: skip


CALLS = [call for call in STATELESS if '"nearest", align' not in call]
"""A nearest neighbour has no corners to align: no file comes to that."""


@pytest.mark.parametrize("call", CALLS)
def test_a_module_computes_what_its_function_does(call: str) -> None:
    name, arguments, words = STATELESS[call]
    axes = {'"linear"': 1, '"nearest"': 2, '"bilinear"': 2, '"bicubic"': 2, '"trilinear"': 3}
    dimensions = next((count for mode, count in axes.items() if mode in call), 3)
    values = [SLOTS[argument] for argument in arguments]
    x = torch.randn((2, 3, 4, 5, 6)[: dimensions + 2], generator=torch.Generator().manual_seed(0))
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "x": x}
    keywords = [f"{a}={v}" for a, v in zip(arguments, values, strict=True)]
    text = call.replace("{0}", "x")
    for index, value in enumerate(values):
        text = text.replace(f"{{={index}}}", str(value))
    given = [words, *keywords] if words == "0" else [*keywords, words]
    module = eval(f"{name}({', '.join(filter(None, given))})", names)  # noqa: S307 - our own table
    assert torch.equal(module(x), eval(text, names))  # noqa: S307 - our own table
    assert not list(module.parameters())


@pytest.mark.parametrize(
    ("module", "kind"),
    [("nn.Conv3d", "nn.Conv"), ("nn.ReLU6", "nn.ReLU6"), ("nn.Linear", "nn.Linear"),
     ("nn.AdaptiveAvgPool2d", "nn.AdaptiveAvgPool"), ("nn.Conv3dx", "nn.Conv3dx")],
)  # fmt: skip
def test_dimensions_are_left_out_of_a_name(module: str, kind: str) -> None:
    assert without_dimensions(module) == kind
