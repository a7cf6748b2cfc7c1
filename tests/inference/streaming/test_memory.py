"""What engines hold besides the slices, counted by hand for networks of one layer or two."""

from __future__ import annotations

from typing import Any

import pytest

from volunet.inference.streaming.memory import engine_bytes

WEIGHTS = 4 * (3 * 2 * 27 + 3)
# Two slices of the input's (2, D, 5, 4) and one beside them at either end, two of the output's.
WINDOW, OUTPUT = 4 * 2 * 4 * 5 * 4, 4 * 3 * 2 * 5 * 4


@pytest.mark.parametrize(
    ("engine", "wanted"),
    [
        ("openvino", 30_000_000 + 1_000_000 + 3.1 * WEIGHTS),
        ("onnxruntime", 30_000_000 + 1_000_000 + 3.1 * WEIGHTS + WINDOW + OUTPUT),
        ("torch", 60_000_000 + 100_000 + 2.1 * WEIGHTS + WINDOW + OUTPUT),
    ],
)
@pytest.mark.parametrize("activation", [False, True])
def test_one_convolution(
    net: Any, build: Any, engine: str, wanted: float, activation: bool
) -> None:
    made = net((8, 5, 4))
    made.conv(3, (3, 3, 3), pads=[1] * 6)
    if activation:  # fused: nothing is held in between
        made.add("Relu")
    program = build(made.model(), (8, 5, 4), 2, 2).program
    assert len(program.calls) == 1
    assert engine_bytes(program, engine) == int(wanted)


def test_tensors_within_a_sub_model(net: Any, build: Any) -> None:
    """A second, pointwise layer is in the same sub-model: what it reads is held in between."""

    def bytes_of(engine: str, *, pointwise: bool) -> int:
        made = net((8, 5, 4))
        made.conv(3, (3, 3, 3), pads=[1] * 6)
        made.add("Relu")
        if pointwise:
            made.conv(3, (1, 1, 1))
        program = build(made.model(), (8, 5, 4), 2, 2).program
        assert len(program.calls) == 1
        return engine_bytes(program, engine)

    weights = 4 * (3 * 3 + 3)
    for engine, copies in (("openvino", 3.1), ("onnxruntime", 3.1), ("torch", 2.1)):
        more = bytes_of(engine, pointwise=True) - bytes_of(engine, pointwise=False)
        assert more == pytest.approx(OUTPUT + copies * weights, abs=1)


def test_a_kernel_of_several_calls_counts_once(net: Any, build: Any) -> None:
    made = net((12, 5, 4))
    made.conv(3, (3, 3, 3), pads=[1] * 6)
    skip = made.add("Relu")
    for _ in range(3):
        made.conv(3, (3, 3, 3), pads=[1] * 6)
    made.add("Concat", made.x, skip, axis=1)
    made.conv(2, (1, 1, 1))
    plain = build(made.model(), (12, 5, 4), 2, 2).program
    twice = build(made.model(), (12, 5, 4), 2, 2, list).program
    assert len(twice.calls) > len(plain.calls)
    assert {id(call.kernel) for call in twice.calls} != set()
    for engine in ("openvino", "onnxruntime", "torch"):
        kernels = [len({id(c.kernel) for c in p.calls}) for p in (plain, twice)]
        if kernels[0] == kernels[1]:
            assert engine_bytes(twice, engine) == engine_bytes(plain, engine)
        else:
            assert engine_bytes(twice, engine) > engine_bytes(plain, engine)


def test_more_slices_a_run_take_more(net: Any, build: Any) -> None:
    made = net((32, 5, 4))
    made.conv(3, (3, 3, 3), pads=[1] * 6)
    made.add("Relu")
    made.conv(3, (1, 1, 1))
    for engine in ("openvino", "onnxruntime", "torch"):
        taken = [
            engine_bytes(build(made.model(), (32, 5, 4), 2, c).program, engine) for c in (1, 4)
        ]
        assert taken[0] < taken[1]
