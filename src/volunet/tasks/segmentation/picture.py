"""Three slices of a scan with its labels: the picture by which a person judges a segmentation.

Pictures follow radiology's habits, so that no one has to guess: the patient's right is on the left
of axial and coronal slices, anterior is on the left of sagittal ones, superior is up, and letters
at the borders say so. Pixels are square millimetres in all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from volunet.errors import ConfigError, ShapeError
from volunet.plan import Plan
from volunet.tasks.segmentation.plan import segmentation_of
from volunet.volumes import Volume, reorient

Colour = tuple[int, int, int]

_WIDTH_IN: Final = 11.0
_MAX_PANEL_HEIGHT_IN: Final = 6.0
_GAP_IN: Final = 0.6
_TITLE_IN: Final = 0.75
_CAPTION_IN: Final = 0.6
_LEGEND_ROW_IN: Final = 0.23
_LEGEND_COLUMNS: Final = 6
_FILL_OPACITY: Final = 0.45
_WINDOW_PERCENTILES: Final = (0.5, 99.5)
_WINDOW_SAMPLES: Final = 1_000_000


@dataclass(frozen=True)
class _Panel:
    """One slice direction of a (D, H, W) array in RAS, and the letters at its borders."""

    name: str
    axis: int
    left: str
    right: str
    top: str
    bottom: str


_PANELS: Final = (
    _Panel("axial", 0, "R", "L", "A", "P"),
    _Panel("coronal", 1, "R", "L", "S", "I"),
    _Panel("sagittal", 2, "A", "P", "S", "I"),
)


@dataclass(frozen=True)
class _Class:
    name: str
    value: int
    colour: tuple[float, float, float]


def draw_slices(
    image: Volume,
    reference: NDArray[Any] | None,
    prediction: NDArray[Any] | None,
    plan_classes: Sequence[str],
    colours: Sequence[Colour],
    title: str,
    label_values: Sequence[int] | None = None,
    window: tuple[float, float] | None = None,
) -> Figure:
    """Draw an axial, a coronal and a sagittal slice.

    Each goes through the plane where the reference has most foreground (or the prediction, where
    there is no reference; or the middle). The reference is an outline, the prediction a
    translucent fill, so that either is seen under the other.

    Args:
        image: The scan; of several channels the first is drawn. Any orientation.
        reference: Label values, (D, H, W), on the image's grid.
        prediction: Label values, (D, H, W), on the image's grid.
        plan_classes: Name of each class, background first.
        colours: Red, green, blue (0…255) of each class.
        title: Text above the slices.
        label_values: Value of each class in the label maps; 0, 1, 2, … by default.
        window: Intensities shown as black and as white, for instance a CT plan's clipping bounds.
            By default the scan's 0.5 and 99.5 percentiles.

    Returns:
        A figure of 11 inches width that belongs to no pyplot state; see `write_picture`.

    Raises:
        ShapeError: A label map does not have the image's size.
        ConfigError: Classes, colours and label values are not as many.
    """
    classes = _classes(plan_classes, colours, label_values)
    scan = reorient(image.with_array(image.array[:1]), "RAS")
    outline = _labels_in_ras(image, reference, "reference")
    fill = _labels_in_ras(image, prediction, "prediction")
    positions = _positions(scan.shape, outline, fill)
    low, high = window or _window(scan.array)

    planes = [_plane(scan.array[0], panel, positions) for panel in _PANELS]
    pixels = [
        tuple(step for axis, step in enumerate(scan.spacing_mm) if axis != panel.axis)
        for panel in _PANELS
    ]
    sizes_mm = [
        (plane.shape[0] * pixel[0], plane.shape[1] * pixel[1])
        for plane, pixel in zip(planes, pixels, strict=True)
    ]
    seen = [
        one
        for one in classes
        if any(
            (_plane(labels, panel, positions) == one.value).any()
            for labels in (outline, fill)
            if labels is not None
            for panel in _PANELS
        )
    ]
    handles = _legend_handles(seen, outline is not None, fill is not None)
    figure, axes = _lay_out(sizes_mm, num_legend_entries=len(handles))
    figure.text(
        _GAP_IN / _WIDTH_IN,
        1 - 0.15 / figure.get_figheight(),
        title,
        color="white",
        fontsize=13,
        va="top",
    )
    for panel, ax, plane, (height_mm, width_mm), pixel in zip(
        _PANELS, axes, planes, sizes_mm, pixels, strict=True
    ):
        extent = (0.0, width_mm, height_mm, 0.0)
        ax.imshow(plane, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
        if fill is not None:
            _draw_fill(ax, _plane(fill, panel, positions), seen, extent)
        if outline is not None:
            _draw_outlines(ax, _plane(outline, panel, positions), seen, pixel)
        _frame(ax, panel, extent, f"{positions[panel.axis] + 1} of {scan.shape[panel.axis]}")
    if handles:
        figure.legend(
            handles=handles,
            loc="lower center",
            borderaxespad=0.2,
            ncol=_LEGEND_COLUMNS,
            frameon=False,
            labelcolor="white",
            fontsize=10,
        )
    return figure


def draw_case(
    plan: Plan, image: Volume, reference: Volume | None, answer: Volume | None, title: str
) -> Figure:
    """See `volunet.tasks.picture.draw_case`; reference and answer are label maps, (1, D, H, W)."""
    task, rule = segmentation_of(plan), plan.normalisation[0]
    return draw_slices(
        image,
        None if reference is None else reference.array[0],
        None if answer is None else answer.array[0],
        task.classes,
        task.colours,
        title,
        label_values=task.label_values,
        window=(rule.low, rule.high) if rule.kind == "clip_zscore" else None,
    )


def _classes(
    names: Sequence[str], colours: Sequence[Colour], label_values: Sequence[int] | None
) -> list[_Class]:
    values = range(len(names)) if label_values is None else label_values
    if not len(names) == len(colours) == len(values):
        raise ConfigError(
            "draw_slices",
            f"{len(names)} classes, {len(colours)} colours and {len(values)} label values",
            "Each class has one colour and one label value, background first.",
            "Pass the plan's classes, colours and label_values.",
        )
    return [
        _Class(name, value, (colour[0] / 255, colour[1] / 255, colour[2] / 255))
        for name, value, colour in zip(names, values, colours, strict=True)
        if value != 0
    ]


def _labels_in_ras(image: Volume, labels: NDArray[Any] | None, role: str) -> NDArray[Any] | None:
    if labels is None:
        return None
    if labels.shape != image.shape:
        raise ShapeError(
            f"{role} of {image.source or 'the image'}",
            f"size {labels.shape}, image size {image.shape}",
            "A label map has the image's size, (D, H, W).",
            "Resample it onto the image's grid first.",
        )
    array: NDArray[Any] = reorient(image.with_array(labels), "RAS").array[0]
    return array


def _positions(
    shape: tuple[int, int, int], reference: NDArray[Any] | None, prediction: NDArray[Any] | None
) -> tuple[int, ...]:
    """Index of the slice with most foreground along each axis; the middle without any."""
    for labels in (reference, prediction):
        if labels is not None and labels.any():
            foreground = labels != 0
            areas = (
                np.count_nonzero(foreground, axis=others) for others in ((1, 2), (0, 2), (0, 1))
            )
            return tuple(int(np.argmax(area)) for area in areas)
    return tuple(size // 2 for size in shape)


def _window(array: NDArray[Any]) -> tuple[float, float]:
    """Grey range from the percentiles of about a million evenly spread voxels."""
    step = max(1, round((array.size / _WINDOW_SAMPLES) ** (1 / 3)))
    values = array[:, ::step, ::step, ::step]
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, _WINDOW_PERCENTILES))
    return (low, high) if low < high else (low, low + 1.0)


def _plane(array: NDArray[Any], panel: _Panel, positions: Sequence[int]) -> NDArray[Any]:
    """A slice as it is shown: in RAS both its axes grow against the picture's rows and columns."""
    plane: NDArray[Any] = array.take(positions[panel.axis], axis=panel.axis)[::-1, ::-1]
    return plane


def _lay_out(
    sizes_mm: Sequence[tuple[float, float]], num_legend_entries: int
) -> tuple[Figure, list[Axes]]:
    """A black figure with one axes a slice, all at one scale and centred in a row."""
    inch_per_mm = min(
        (_WIDTH_IN - _GAP_IN * (len(sizes_mm) + 1)) / sum(width for _, width in sizes_mm),
        _MAX_PANEL_HEIGHT_IN / max(height for height, _ in sizes_mm),
    )
    row_in = max(height for height, _ in sizes_mm) * inch_per_mm
    legend_in = _LEGEND_ROW_IN * -(-num_legend_entries // _LEGEND_COLUMNS)
    bottom_in = _CAPTION_IN + legend_in
    height_in = bottom_in + row_in + _TITLE_IN
    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=120, facecolor="black")
    used_in = sum(width for _, width in sizes_mm) * inch_per_mm
    gap_in = (_WIDTH_IN - used_in) / (len(sizes_mm) + 1)
    axes = []
    left_in = gap_in
    for height_mm, width_mm in sizes_mm:
        panel_width_in, panel_height_in = width_mm * inch_per_mm, height_mm * inch_per_mm
        axes.append(
            figure.add_axes(
                (
                    left_in / _WIDTH_IN,
                    (bottom_in + (row_in - panel_height_in) / 2) / height_in,
                    panel_width_in / _WIDTH_IN,
                    panel_height_in / height_in,
                )
            )
        )
        left_in += panel_width_in + gap_in
    return figure, axes


def _draw_fill(
    ax: Axes,
    plane: NDArray[Any],
    classes: Sequence[_Class],
    extent: tuple[float, float, float, float],
) -> None:
    rgba = np.zeros((*plane.shape, 4))
    for one in classes:
        rgba[plane == one.value] = (*one.colour, _FILL_OPACITY)
    ax.imshow(rgba, extent=extent, interpolation="nearest")


def _draw_outlines(
    ax: Axes, plane: NDArray[Any], classes: Sequence[_Class], pixel_mm: Sequence[float]
) -> None:
    # One voxel of background around the slice closes outlines that reach the scan's border.
    padded = np.pad(plane, 1)
    rows, columns = (
        (np.arange(size) - 0.5) * step for size, step in zip(padded.shape, pixel_mm, strict=True)
    )
    for one in classes:
        mask = padded == one.value
        if mask.any():
            ax.contour(
                columns, rows, mask.astype(float), levels=[0.5], colors=[one.colour], linewidths=1.4
            )


def _frame(
    ax: Axes, panel: _Panel, extent: tuple[float, float, float, float], position: str
) -> None:
    left, right, bottom, top = extent
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color("0.35")
    _write_beside(ax, panel.left, (0.0, 0.5), (-9, 0))
    _write_beside(ax, panel.right, (1.0, 0.5), (9, 0))
    _write_beside(ax, panel.top, (0.5, 1.0), (0, 9))
    _write_beside(ax, panel.bottom, (0.5, 0.0), (0, -9))
    _write_beside(ax, f"{panel.name}, slice {position}", (0.5, 0.0), (0, -24), colour="0.6")


def _write_beside(
    ax: Axes,
    text: str,
    at: tuple[float, float],
    offset_points: tuple[int, int],
    colour: str = "0.85",
) -> None:
    """Write at a fraction of the axes, shifted outwards."""
    ax.annotate(
        text,
        at,
        xytext=offset_points,
        xycoords="axes fraction",
        textcoords="offset points",
        color=colour,
        fontsize=10,
        ha="center",
        va="center",
    )


def _legend_handles(seen: Sequence[_Class], has_outline: bool, has_fill: bool) -> list[Any]:
    handles: list[Any] = [Patch(color=one.colour, label=one.name) for one in seen]
    if seen and has_outline:
        handles.append(Line2D([], [], color="white", linewidth=1.4, label="outline: reference"))
    if seen and has_fill:
        handles.append(Patch(color="white", alpha=_FILL_OPACITY, label="fill: prediction"))
    return handles
