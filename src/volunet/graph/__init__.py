"""The operators of a network as data, on `onnx_ir`, and what follows from them without running it.

=================== ==========================================================================
`onnx_file`         a file → `onnx_ir.Model`, its structure checked (`structure`), known branches
                    taken (`branches`)
`netron`            a picture that Netron drew → `onnx_ir.Model`
`operators`         one module an operator with its four rules, and the table of them all
`sizes`, `spans`    sizes as numbers or formulas; which input slices output slices need
`network`           the size of every tensor of a graph
`limits`            which sizes a network takes
`receptive_field`   which voxels a tensor depends on
`memory`            the peak memory of a pass
`inspection`        all of this in one report
`drawing`           the network as a picture
=================== ==========================================================================
"""

from volunet.graph.inspecting.inspection import Inspection, inspect_model
from volunet.graph.network import Network, infer_sizes
from volunet.graph.reading.onnx_file import find_plan, read_onnx

__all__ = ["Inspection", "Network", "find_plan", "infer_sizes", "inspect_model", "read_onnx"]
