"""`draw`: a network as a picture, SVG or PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from volunet.api.graph_of import graph_of
from volunet.errors import ConfigError, OutputError, ShapeError
from volunet.graph.drawing import Style, draw_svg, svg_to_png
from volunet.graph.inspecting.inspection import describe_failure, network_at
from volunet.volumes import atomic_path


def draw(
    model: str | Path,
    output: str | Path,
    *,
    size: Sequence[int] | None = None,
    style: Style = "graph",
    overwrite: bool = False,
) -> Path:
    """Draw a network.

    Args:
        model: An ONNX file (volunet's or any other), a run folder, or ``preset:notes``.
        output: The file to write, ``.svg`` or ``.png``.
        size: Spatial sizes of its input, (D, H, W) for a volume. None: sizes stand as formulas of
            the input's.
        style: ``graph``: every operator; ``unet``: the U of levels down and up.
        overwrite: Replace a file that is there.

    Returns:
        The file.

    Raises:
        ConfigError: The model cannot be read, the file has another ending, or the network is no U.
        ShapeError: The network does not take the size.
        OutputError: The file exists.
    """
    output = Path(output)
    _check_output(output, style, overwrite=overwrite)
    graph, plan = graph_of(model)
    network, symbolic = network_at(graph, str(model), plan, size)
    if network.failures:
        found, do = describe_failure(network, symbolic)
        raise ShapeError(str(model), found, "A network is drawn at a size that it takes.", do)
    svg = draw_svg(
        network, style=style, title=Path(model).name, labels=symbolic if size is None else None
    )
    content = svg_to_png(svg) if output.suffix.lower() == ".png" else svg.encode("utf-8")
    with atomic_path(output) as temporary:
        temporary.write_bytes(content)
    return output


def _check_output(output: Path, style: str, *, overwrite: bool) -> None:
    if output.suffix.lower() not in (".svg", ".png"):
        raise ConfigError(
            output,
            f"a picture called {output.suffix or 'nothing'}",
            "Pictures are .svg or .png.",
            f"For instance -o {output.stem or 'net'}.svg",
        )
    if style not in get_args(Style):
        raise ConfigError(
            f"--style {style}",
            "no such style",
            f"Styles are {', '.join(get_args(Style))}.",
            "graph shows every operator, unet the levels.",
        )
    if output.exists() and not overwrite:
        raise OutputError(
            output, "exists already", "The picture goes to a new file.", "Name another, or add "
            "--overwrite."
        )  # fmt: skip
