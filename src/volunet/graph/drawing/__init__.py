"""A network as a picture: every operator, or the U as in a paper."""

from __future__ import annotations

from typing import Literal

from volunet.graph.drawing.graph_style import draw_graph
from volunet.graph.drawing.png import svg_to_png
from volunet.graph.drawing.unet_style import draw_unet
from volunet.graph.network import Network

__all__ = ["Style", "draw_svg", "svg_to_png"]

Style = Literal["graph", "unet"]


def draw_svg(network: Network, *, style: Style, title: str, labels: Network | None = None) -> str:
    """Draw a network.

    Args:
        network: A graph whose sizes are numbers.
        style: ``graph``: every operator that works on data; ``unet``: the levels, the skips.
        title: Above the picture.
        labels: The same graph with formulas, which are written instead of the numbers.

    Returns:
        The text of an SVG, with colours for light and for dark pages; it refers to nothing outside.

    Raises:
        ConfigError: The style is ``unet``, and the network is no U or does not work at its size.
    """
    draw = draw_unet if style == "unet" else draw_graph
    return draw(network, title, labels)
