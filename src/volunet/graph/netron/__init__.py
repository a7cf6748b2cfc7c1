"""A network from the picture that Netron exported of it (File > Export as SVG).

==================== ==========================================================================
`svg_file`           a file → elements, safely
`ink`                elements → texts, areas and lines in one system of coordinates
`drawing`, `labels`  those → boxes that are nodes, lines that are edges, labels of edges
`sketch`, `lines`    those → operators, values and what is written of them
`draft`              those → inputs in their slots, attributes with values
`completion`         what is not shown, inferred from what the network does
`model`              the `onnx_ir.Model`
==================== ==========================================================================
"""

from volunet.graph.netron.picture import Picture, read_netron

__all__ = ["Picture", "read_netron"]
