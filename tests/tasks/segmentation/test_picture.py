"""Slices through the right place, the right way round, in the right proportions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from volunet.errors import ConfigError, OutputError, ShapeError
from volunet.tasks.picture import write_picture
from volunet.tasks.segmentation.picture import draw_slices
from volunet.volumes import Volume

SHAPE = (6, 8, 10)
SPACING_MM = (4.0, 2.0, 1.0)
CLASSES = ("background", "femur", "hip bone")
COLOURS = ((0, 0, 0), (255, 0, 0), (0, 0, 255))


def scan(marked: tuple[int, int, int] | None = None) -> Volume:
    array = np.zeros(SHAPE)
    if marked is not None:
        array[marked] = 1.0
    return Volume.of_array(array, SPACING_MM)


def labels(value: int = 1, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.int64]:
    """A bar that is longest in slices 4 (D), 5 (H) and 7 (W) of a RAS volume."""
    array = np.zeros(shape, dtype=np.int64)
    array[4, 2:7, 3:9] = value
    array[2:5, 5, 3:9] = value
    array[2:5, 2:7, 7] = value
    return array


def draw(image: Volume, reference: object = None, prediction: object = None) -> Figure:
    return draw_slices(image, reference, prediction, CLASSES, COLOURS, "case 1")  # type: ignore[arg-type]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def grey(ax: Axes) -> NDArray[np.float64]:
    return np.asarray(ax.images[0].get_array())


def outlines(ax: Axes) -> list[QuadContourSet | PathCollection]:
    return [one for one in ax.collections if isinstance(one, QuadContourSet)]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def test_slices_go_through_the_largest_areas() -> None:
    axial, coronal, sagittal = draw(scan(), labels()).axes
    assert texts(axial)[-1] == "axial, slice 5 of 6"
    assert texts(coronal)[-1] == "coronal, slice 6 of 8"
    assert texts(sagittal)[-1] == "sagittal, slice 8 of 10"


@pytest.mark.parametrize("empty", [None, np.zeros(SHAPE, int)], ids=["none", "no foreground"])
def test_without_a_reference_the_prediction_decides(empty: NDArray[np.int64] | None) -> None:
    assert texts(draw(scan(), empty, labels()).axes[0])[-1] == "axial, slice 5 of 6"


def test_without_labels_the_middle() -> None:
    figure = draw(scan())
    captions = [texts(ax)[-1].split("slice ")[1] for ax in figure.axes]
    assert captions == ["4 of 6", "5 of 8", "6 of 10"]
    assert figure.legends == []


def test_the_letters_at_the_borders() -> None:
    axial, coronal, sagittal = draw(scan()).axes
    # left, right, top, bottom
    assert texts(axial)[:4] == ["R", "L", "A", "P"]
    assert texts(coronal)[:4] == ["R", "L", "S", "I"]
    assert texts(sagittal)[:4] == ["A", "P", "S", "I"]


def corner_of(ax: Axes) -> tuple[int, int]:
    ((row, column),) = np.argwhere(grey(ax) == 1.0).tolist()
    return row, column


def test_the_letters_are_true() -> None:
    # RAS: the last voxel of an axis is the most superior, anterior or right one. It must be
    # drawn beside the letters S, A and R.
    size_d, size_h, size_w = SHAPE
    middle_d, middle_h, middle_w = size_d // 2, size_h // 2, size_w // 2
    axial = draw(scan((middle_d, size_h - 1, size_w - 1))).axes[0]
    assert corner_of(axial) == (0, 0)
    coronal = draw(scan((size_d - 1, middle_h, size_w - 1))).axes[1]
    assert corner_of(coronal) == (0, 0)
    sagittal = draw(scan((size_d - 1, size_h - 1, middle_w))).axes[2]
    assert corner_of(sagittal) == (0, 0)
    posterior_left = draw(scan((middle_d, 0, 0))).axes[0]
    assert corner_of(posterior_left) == (size_h - 1, size_w - 1)


def test_a_volume_in_another_orientation_gives_the_same_picture() -> None:
    random = np.random.default_rng(0)
    image = Volume.of_array(random.random(SHAPE), SPACING_MM)
    expected = draw(image, labels(), labels(2))
    # The same voxels stored as (i, j, k) = (S, L, P): i grows along superior, j along left, …
    stored = image.array[0].transpose(1, 2, 0)[::-1, ::-1, :]
    other = labels().transpose(1, 2, 0)[::-1, ::-1, :]
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 4.0, -1.0, -2.0, 1.0
    affine[:3, 3] = (9.0, 14.0, 0.0)
    turned = Volume(np.ascontiguousarray(stored), affine)
    assert turned.orientation == "SLP"
    found = draw(turned, other, other * 2)
    for ax, expected_ax in zip(found.axes, expected.axes, strict=True):
        np.testing.assert_array_equal(grey(ax), grey(expected_ax))
        np.testing.assert_array_equal(ax.images[1].get_array(), expected_ax.images[1].get_array())
        assert texts(ax) == texts(expected_ax)
        assert ax.get_xlim() == pytest.approx(expected_ax.get_xlim())


def test_millimetres_are_square() -> None:
    figure = draw(scan())
    for ax, (height_mm, width_mm) in zip(figure.axes, [(16, 10), (24, 10), (24, 16)], strict=True):
        assert ax.get_xlim() == pytest.approx((0, width_mm))
        assert ax.get_ylim() == pytest.approx((height_mm, 0))
        assert ax.get_aspect() == 1.0
    # One scale for all three: inches a millimetre.
    width_in, height_in = figure.get_size_inches()
    scales = [
        (ax.get_position().width * width_in / w, ax.get_position().height * height_in / h)
        for ax, (h, w) in zip(figure.axes, [(16, 10), (24, 10), (24, 16)], strict=True)
    ]
    assert np.ptp(scales) == pytest.approx(0.0, abs=1e-9)


def test_reference_is_an_outline_and_prediction_a_fill() -> None:
    figure = draw(scan(), labels(), labels(2))
    axial = figure.axes[0]
    (contour,) = outlines(axial)
    np.testing.assert_allclose(contour.get_edgecolor()[0][:3], (1.0, 0.0, 0.0))
    # Rows 2…6 of 8 and columns 3…8 of 10, flipped: rows 1…5, columns 1…6, in mm edge to edge.
    points = np.concatenate([path.vertices for path in contour.get_paths()])
    np.testing.assert_allclose(points.min(axis=0), (1.0, 2.0))
    np.testing.assert_allclose(points.max(axis=0), (7.0, 12.0))
    fill = np.asarray(axial.images[1].get_array())
    assert fill.shape == (8, 10, 4)
    np.testing.assert_array_equal(np.argwhere(fill[..., 3]).min(axis=0), (1, 1))
    np.testing.assert_array_equal(np.argwhere(fill[..., 3]).max(axis=0), (5, 6))
    np.testing.assert_allclose(fill[3, 3], (0.0, 0.0, 1.0, 0.45))
    assert legend(figure) == ["femur", "hip bone", "outline: reference", "fill: prediction"]


def test_only_what_is_there_is_in_the_legend() -> None:
    assert legend(draw(scan(), labels())) == ["femur", "outline: reference"]
    assert legend(draw(scan(), None, labels())) == ["femur", "fill: prediction"]


def test_an_outline_closes_at_the_border() -> None:
    (contour,) = outlines(draw(scan(), np.ones(SHAPE, int)).axes[0])
    (path,) = contour.get_paths()
    np.testing.assert_allclose(path.vertices[0], path.vertices[-1])
    np.testing.assert_allclose(path.vertices.max(axis=0), (10.0, 16.0))


def test_label_values_need_not_be_consecutive() -> None:
    figure = draw_slices(
        scan(), labels(205), None, CLASSES, COLOURS, "case 1", label_values=(0, 500, 205)
    )
    assert legend(figure) == ["hip bone", "outline: reference"]


def test_the_window() -> None:
    array = np.linspace(0.0, 1000.0, 6 * 8 * 10).reshape(SHAPE)
    array[0, 0, 0] = np.nan
    image = Volume.of_array(array, SPACING_MM)
    # The 0.5 and 99.5 percentiles of a ramp; the NaN moves them by one step, 2.1, at the most.
    assert draw(image).axes[0].images[0].get_clim() == pytest.approx((5.0, 995.0), abs=2.2)
    given = draw_slices(image, None, None, CLASSES, COLOURS, "case 1", window=(-100.0, 300.0))
    assert given.axes[0].images[0].get_clim() == (-100.0, 300.0)


@pytest.mark.parametrize("value", [7.0, np.nan], ids=["constant", "NaN"])
def test_a_scan_without_contrast(value: float) -> None:
    low, high = (
        draw(Volume.of_array(np.full(SHAPE, value), SPACING_MM)).axes[0].images[0].get_clim()
    )
    assert high == low + 1.0


def test_several_channels_draw_the_first() -> None:
    array = np.zeros((2, *SHAPE))
    array[0, 3, 7, 9] = 1.0
    axial = draw(Volume.of_array(array, SPACING_MM)).axes[0]
    assert corner_of(axial) == (0, 0)


def test_a_label_map_of_another_size() -> None:
    with pytest.raises(ShapeError, match=r"prediction of the image: size \(6, 8, 11\)"):
        draw(scan(), labels(), labels(shape=(6, 8, 11)))


def test_as_many_colours_as_classes() -> None:
    with pytest.raises(ConfigError, match="3 classes, 2 colours and 3 label values"):
        draw_slices(scan(), None, None, CLASSES, COLOURS[:2], "case 1")


def test_the_picture_is_a_png_with_every_part(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "case.png"
    write_picture(draw(scan(), labels(), labels(2)), path)
    picture = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")).astype(int)
    assert picture.shape[1] == 11 * 120
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    assert np.count_nonzero((red > 150) & (green < 60) & (blue < 120)) > 200, "the outline"
    # 0.45 of blue on black is 115.
    assert np.count_nonzero((red == 0) & (abs(blue - 115) <= 2)) > 2000, "the fill"
    assert np.count_nonzero((red > 200) & (green > 200) & (blue > 200)) > 200, "the title"


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        write_picture(draw(scan()), tmp_path)


def test_a_single_slice_and_one_voxel() -> None:
    for shape in ((1, 30, 40), (1, 1, 1)):
        volume = Volume.of_array(np.zeros(shape), (1.0, 1.0, 1.0))
        figure = draw(volume, np.ones(shape, int))
        assert texts(figure.axes[0])[-1] == "axial, slice 1 of 1"
        assert figure.get_figheight() < 12
