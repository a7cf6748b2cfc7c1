"""Windows: MONAI's numbers on any engine, the whole pass where context does not matter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from volunet.errors import ConfigError, ShapeError, VolumeError
from volunet.inference import Model, open_engine
from volunet.inference.windows import (
    SMALLEST_WEIGHT,
    check_windows,
    gaussian_weights,
    pad_values_of,
    predict_windows,
    window_starts,
)
from volunet.plan import Normalisation, Plan
from volunet.volumes.axes import Shape3

Run = Callable[[NDArray[np.float32]], NDArray[Any]]


def scan(size: Shape3, channels: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(1, channels, *size)).astype(np.float32)


def pointwise(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores of three classes, from −1 to 1, that look at one voxel only."""
    return np.tanh(np.concatenate([x, x[:, :1] * x[:, 1:]], axis=1))


def own_minimum(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """An answer that is the same all over a window: the least voxel that it was given."""
    return np.full_like(x[:, :1], x.min())


@pytest.fixture(scope="module")
def network() -> Any:
    """Two convolutions with zero padding, whose answers near a window's faces are its own."""
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv3d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(4, 3, 3, padding=1)
    ).eval()


@pytest.fixture(scope="module")
def run(network: Any) -> Run:
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")

    def of_numpy(x: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(x)).numpy())

    return of_numpy


@pytest.fixture(scope="module")
def of_monai(network: Any) -> Callable[..., NDArray[np.float32]]:
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    inferers = pytest.importorskip("monai.inferers", reason="needs the extra 'train'")

    def predict(
        x: NDArray[np.float32], window: Shape3, overlap: float = 0.5, mode: str = "gaussian"
    ) -> NDArray[np.float32]:
        with torch.inference_mode():
            answer = inferers.sliding_window_inference(
                torch.from_numpy(x), window, 1, network, overlap, mode, sigma_scale=0.125
            )
        return np.asarray(answer.numpy())

    return predict


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.7])
@pytest.mark.parametrize(
    ("size", "window"),
    [
        pytest.param((16, 16, 16), (8, 8, 8), id="multiples"),
        pytest.param((17, 13, 19), (8, 6, 10), id="odd"),
        pytest.param((11, 9, 23), (7, 5, 9), id="odd windows"),
        pytest.param((8, 14, 15), (8, 8, 8), id="one axis is the window"),
        pytest.param((5, 13, 20), (8, 8, 8), id="one axis is smaller"),
        pytest.param((3, 4, 1), (8, 9, 8), id="all axes are smaller"),
        pytest.param((9, 9, 9), (1, 2, 3), id="tiny windows"),
    ],
)
def test_as_monai(
    run: Run,
    of_monai: Callable[..., NDArray[np.float32]],
    size: Shape3,
    window: Shape3,
    overlap: float,
) -> None:
    x = scan(size)
    blended = predict_windows(run, x, window, overlap)
    assert blended.shape == (1, 3, *size)
    assert blended.dtype == np.float32
    # Scores of about 1; the weights are rounded in another order.
    np.testing.assert_allclose(blended, of_monai(x, window, overlap), rtol=0, atol=1e-5)


def test_neither_constant_weights_nor_one_pass_give_these_numbers(
    run: Run, of_monai: Callable[..., NDArray[np.float32]]
) -> None:
    """What the test above would not see if windows were averaged plainly, or not used."""
    x = scan((17, 13, 19))
    blended = predict_windows(run, x, (8, 6, 10))
    assert np.abs(blended - of_monai(x, (8, 6, 10), mode="constant")).max() > 1e-2
    assert np.abs(blended - run(x)).max() > 1e-2


@pytest.mark.parametrize("window", [(8, 8, 8), (5, 3, 4), (30, 7, 40)], ids=str)
def test_a_pointwise_network_answers_as_in_one_pass(window: Shape3) -> None:
    x = scan((13, 10, 17))
    blended = predict_windows(pointwise, x, window)
    # Scores of at most 1, averaged in 32 bits: some roundings of 6e-8.
    np.testing.assert_allclose(blended, pointwise(x), rtol=0, atol=1e-6)


def test_on_an_engine_of_the_library(tiny_onnx: Any) -> None:
    """One window as large as the scan is the whole pass."""
    engine = open_engine(tiny_onnx, "onnxruntime")
    x = scan((16, 12, 20), channels=1) * 100
    whole = engine.run(x)
    blended = predict_windows(engine.run, x, (16, 12, 20))
    np.testing.assert_allclose(blended, whole, rtol=1e-5, atol=1e-5)


@given(
    size=st.integers(1, 400),
    window=st.integers(1, 200),
    overlap=st.floats(0, 1, exclude_max=True),
)
@example(size=10, window=10, overlap=0.5)
@example(size=110, window=64, overlap=0.5)
def test_starts_cover_every_voxel_and_stay_inside(size: int, window: int, overlap: float) -> None:
    starts = window_starts(size, window, overlap)
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    # Of a scan that is smaller, the padded size is the window's.
    assert starts[-1] + window == max(size, window)
    assert all(later - start <= window for start, later in pairwise(starts))


@pytest.mark.parametrize(
    ("size", "window", "overlap", "starts"),
    [
        (110, 64, 0.5, [0, 32, 46]),
        (128, 64, 0.5, [0, 32, 64]),
        (20, 10, 0.0, [0, 10]),
        (5, 3, 0.9, [0, 1, 2]),
        (64, 64, 0.5, [0]),
        (3, 64, 0.5, [0]),
    ],
)
def test_starts(size: int, window: int, overlap: float, starts: list[int]) -> None:
    assert window_starts(size, window, overlap) == starts


def test_weights() -> None:
    weights = gaussian_weights((9, 8, 1))
    assert weights.shape == (9, 8, 1)
    assert weights.dtype == np.float32
    # The corner, 4 and 3.5 voxels from the middle: sigmas are 9/8 and 1 voxel.
    assert weights.min() == np.float32(SMALLEST_WEIGHT)
    assert weights[4, 3, 0] == pytest.approx(np.exp(-(0.5**2) / 2))
    assert weights[3, 2, 0] == pytest.approx(np.exp(-((8 / 9) ** 2) / 2 - 1.5**2 / 2))
    np.testing.assert_array_equal(weights, weights[::-1, ::-1])


def test_progress() -> None:
    calls: list[tuple[int, int]] = []
    predict_windows(pointwise, scan((8, 8, 12)), (8, 8, 8), progress=lambda *n: calls.append(n))
    assert calls == [(1, 2), (2, 2)]


def test_the_scan_is_left_alone_and_windows_are_contiguous() -> None:
    x = scan((9, 9, 9))
    before = x.copy()
    given_arrays = []

    def run(part: NDArray[np.float32]) -> NDArray[np.float32]:
        given_arrays.append(part.flags["C_CONTIGUOUS"] and part.dtype == np.float32)
        return part

    predict_windows(run, x, (4, 5, 6))
    np.testing.assert_array_equal(x, before)
    assert given_arrays
    assert all(given_arrays)


def test_answers_of_half_precision_are_blended_in_single() -> None:
    x = scan((12, 12, 12))
    blended = predict_windows(lambda part: np.float16(part), x, (8, 8, 8))
    # Each answer is rounded to 11 bits, the blending is not.
    np.testing.assert_allclose(blended, x.astype(np.float16), atol=1e-6)


@pytest.mark.parametrize(
    ("pad_values", "least"), [(None, 0.0), ([-5.0, 9.0], -5.0)], ids=["zeros", "given"]
)
def test_a_small_scan_is_padded_with_a_value_a_channel(
    pad_values: list[float] | None, least: float
) -> None:
    x = np.full((1, 2, 3, 8, 8), 20, np.float32)
    blended = predict_windows(own_minimum, x, (8, 8, 8), pad_values=pad_values)
    assert blended.shape == (1, 1, 3, 8, 8)
    np.testing.assert_allclose(blended, least, atol=1e-6)


def test_labels_are_refused() -> None:
    def labels(x: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.ones((1, 1, *x.shape[2:]), np.int64)

    with pytest.raises(ConfigError, match=r"int64: labels cannot be blended\.\n.*\n.*logits"):
        predict_windows(labels, scan((8, 8, 8)), (4, 4, 4))


def test_an_answer_smaller_than_its_window_is_refused() -> None:
    with pytest.raises(
        VolumeError, match=r"shape \(1, 2, 4, 4, 3\) .* \(4, 4, 4\) voxels(.|\n)*skip alignment"
    ):
        predict_windows(lambda x: x[..., 1:], scan((8, 8, 8)), (4, 4, 4))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param({"window": (4, 0, 4)}, "window: 0 voxels along an axis", id="no voxel"),
        pytest.param({"window": (4, 4)}, "window: 2 numbers", id="two axes"),
        pytest.param({"overlap": 1.0}, r"overlap: 1\.0", id="overlap 1"),
        pytest.param({"overlap": -0.1}, r"overlap: -0\.1", id="overlap below 0"),
        pytest.param({"overlap": float("nan")}, "overlap: nan", id="overlap NaN"),
        pytest.param({"pad_values": [0.0]}, "1 values for 2 channels", id="pad values"),
    ],
)
def test_settings_that_cannot_be_used(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predict_windows(pointwise, scan((8, 8, 8)), **({"window": (4, 4, 4)} | keys))


@pytest.mark.parametrize("shape", [(2, 8, 8, 8), (2, 2, 8, 8, 8), (1, 2, 0, 8, 8)], ids=str)
def test_one_scan_with_voxels_is_wanted(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"x: shape .*\n.*\(1, C, D, H, W\)"):
        predict_windows(pointwise, np.zeros(shape, np.float32), (4, 4, 4))


class NoEngine:
    """Where only the plan is asked."""

    name = "none"

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        raise NotImplementedError


def test_models_that_windows_do_not_fit_are_refused_first(tiny_plan: Callable[..., Plan]) -> None:
    zscore = tiny_plan(normalisation=(Normalisation(kind="zscore"),))
    with pytest.raises(ConfigError, match="--answer labels: labels cannot be blended"):
        check_windows(Model(tiny_plan(answer="labels"), NoEngine()))
    with pytest.raises(ConfigError, match=r"zscore inside the model\.\n.*each window's own"):
        check_windows(Model(zscore, NoEngine()))
    check_windows(Model(zscore, NoEngine(), normalises=False))
    check_windows(Model(tiny_plan(), NoEngine()))


def test_pad_values_are_what_normalisation_makes_0(tiny_plan: Callable[..., Plan]) -> None:
    rules = (
        Normalisation(kind="clip_zscore", low=-200.0, high=400.0, mean=50.0, std=120.0),
        Normalisation(kind="none"),
    )
    plan = tiny_plan(channels=2, normalisation=rules)
    assert pad_values_of(Model(plan, NoEngine())) == [50.0, 0.0]
    assert pad_values_of(Model(plan, NoEngine(), normalises=False)) == [0.0, 0.0]
