"""Statistics of slices are those of the whole volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from volunet.inference.engines.torch_graph import TorchGraph
from volunet.inference.streaming.fixed import constant_values, copy_of, fix_graph, value_of
from volunet.inference.streaming.lowering import lower

SIZE = (9, 7, 8)
EPSILON = 2.0**-10
"""A float32 whose decimals PyTorch's source shows to the last."""


def lowered(made: Any, axis: int = 2) -> Any:
    return lower(fix_graph(ir.from_proto(made.model()), "m.onnx", SIZE), axis)


def answer(fixed: Any, x: Any, names: list[str]) -> list[Any]:
    """Tensors of a graph in float64."""
    nodes = [copy_of(step.node) for step in fixed.steps]
    read = [v.name for node in nodes for v in node.inputs if v is not None]
    source = value_of(fixed.source, x.shape, ir.DataType.FLOAT)
    values = [value_of(name, fixed.shapes[name], fixed.dtypes[name]) for name in names]
    constants = constant_values(fixed.constants, read)
    model = fixed.model_of(nodes, [source], values, constants)
    return TorchGraph(model, "m", torch.float64).run([x])


def inputs_of(fixed: Any, op_type: str, place: int = 0) -> list[str]:
    """Inputs of a node of some kind."""
    steps = [step for step in fixed.steps if step.rule.op_type == op_type]
    return [tensor.name for tensor in steps[place].rule.inputs if tensor is not None]


@pytest.mark.parametrize("axis", [2, 3, 4], ids=["D", "H", "W"])
@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 1.0), (1e4, 1e-2)], ids=["usual", "far"])
def test_mean_and_variance_of_slices_are_numpys(
    mean: float, deviation: float, axis: int, net: Any
) -> None:
    made = net(SIZE)
    weights = made.weight(np.ones(2, np.float32)), made.weight(np.zeros(2, np.float32))
    made.add("InstanceNormalization", made.x, *weights, epsilon=EPSILON)
    fixed = lowered(made, axis)
    x = np.random.default_rng(0).normal(mean, deviation, (1, 2, *SIZE))
    (root,) = inputs_of(fixed, "Sqrt")
    product = inputs_of(fixed, "Mul", -2)[0]  # mean · factor, before it is taken off
    raised, middle = answer(fixed, x, [root, product])
    assert raised.shape == middle.shape == (1, 2, 1, 1, 1)
    exact = x.astype(np.longdouble)
    # Means of 500 numbers and of their squares, in float64: 1e-15 of the mean, and 1e-13 of a
    # variance, of which the rounding of ε takes most.
    assert np.abs(middle.ravel() - exact.mean((0, 2, 3, 4))).max() <= 1e-15 * mean + 1e-15
    variance = raised.ravel() - EPSILON
    assert np.abs(variance - exact.var((0, 2, 3, 4))).max() <= 1e-12 * deviation
    one_pass = (x**2).mean((0, 2, 3, 4)) - x.mean((0, 2, 3, 4)) ** 2
    if mean > 1:  # what the formula of two means would have made of it
        assert np.abs(one_pass - exact.var((0, 2, 3, 4))).max() > 1e-12


@pytest.mark.parametrize("form", ["instance", "group", "reshaped", "old"])
def test_norms_are_pytorchs(form: str, net: Any) -> None:
    made = net(SIZE, 6, {"old": 18}.get(form, 21))
    count = {"instance": 6, "group": 6, "reshaped": 2, "old": 2}[form]
    scale, bias = made.normal(count, mean=1), made.normal(count)
    if form == "instance":
        made.add("InstanceNormalization", made.x, scale, bias, epsilon=EPSILON)
    elif form == "reshaped":
        made.add("Reshape", made.x, made.weight(np.array([1, 2, -1])))
        made.add("InstanceNormalization", made.x, scale, bias, epsilon=EPSILON)
        made.add("Reshape", made.x, made.weight(np.array([1, 6, *SIZE])))
    else:
        made.add("GroupNormalization", made.x, scale, bias, num_groups=2, epsilon=EPSILON)
    fixed = lowered(made)
    kinds = {step.rule.op_type for step in fixed.steps}
    assert not kinds & {"InstanceNormalization", "GroupNormalization"}
    x = np.random.default_rng(0).normal(3, 2, (1, 6, *SIZE))
    (got,) = answer(fixed, x, [fixed.target])
    weights = [fixed_array(made, name) for name in (scale, bias)]
    groups = 6 if form == "instance" else 2
    plain = torch.nn.functional.group_norm(torch.from_numpy(x), groups, eps=EPSILON).numpy()
    scales, biases = (np.repeat(w, 6 // count).reshape(1, 6, 1, 1, 1) for w in weights)
    # Float64 sums in another order.
    assert np.abs(got - (plain * scales + biases)).max() <= 1e-13


def fixed_array(made: Any, name: str) -> Any:
    from onnx import numpy_helper

    return numpy_helper.to_array(made.weights[name]).astype(np.float64)


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("keep", [0, 1], ids=["dropped", "kept"])
@pytest.mark.parametrize("kind", ["Mean", "Max", "Min", "Sum"])
def test_reductions_are_those_of_all_slices(kind: str, keep: int, opset: int, net: Any) -> None:
    made = net(SIZE, opset=opset)
    if opset >= (13 if kind == "Sum" else 18):
        axes = made.weight(np.array([2, -1]))
        made.add(f"Reduce{kind}", made.x, axes, keepdims=keep)
    else:
        made.add(f"Reduce{kind}", axes=[2, 4], keepdims=keep)
    fixed = lowered(made)
    # The last axis slice by slice, then the slices.
    assert [s.rule.op_type for s in fixed.steps][:2] == [f"Reduce{kind}", "Cast"]
    x = np.random.default_rng(0).normal(0.3, 1, (1, 2, *SIZE))
    (got,) = answer(fixed, x, [fixed.target])
    want = getattr(np, kind.lower())(x, axis=(2, 4), keepdims=bool(keep))
    assert got.shape == want.shape == ((1, 2, 1, 7, 1) if keep else (1, 2, 7))
    assert np.abs(got - want).max() <= 1e-13  # 72 float64 numbers in another order


def test_what_does_not_cross_the_axis_is_left_alone(net: Any) -> None:
    made = net(SIZE)
    made.add("ReduceMean", made.x, made.weight(np.array([3])), keepdims=1)
    fixed = fix_graph(ir.from_proto(made.model()), "m.onnx", SIZE)
    assert lower(fixed, 2) is fixed
    assert lower(fixed, 3) is not fixed
