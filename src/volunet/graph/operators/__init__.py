"""The operators: one module each with its four rules, and here the table of them all.

A new operator is a module and a line in `OPERATORS`; inspection, drawing, streaming and reverse
engineering then know it.
"""

from __future__ import annotations

from typing import Final

from volunet.graph.operators.arg_max import ArgMax
from volunet.graph.operators.arithmetic import ARITHMETIC
from volunet.graph.operators.batch_normalization import BatchNormalization
from volunet.graph.operators.concat import Concat
from volunet.graph.operators.constant import Constant
from volunet.graph.operators.constant_of_shape import ConstantOfShape
from volunet.graph.operators.conv import Conv
from volunet.graph.operators.conv_transpose import ConvTranspose
from volunet.graph.operators.expand import Expand
from volunet.graph.operators.flatten import Flatten
from volunet.graph.operators.gather import Gather
from volunet.graph.operators.gemm import Gemm
from volunet.graph.operators.global_pool import GlobalPool
from volunet.graph.operators.group_normalization import GroupNormalization
from volunet.graph.operators.instance_normalization import InstanceNormalization
from volunet.graph.operators.layer_normalization import LayerNormalization
from volunet.graph.operators.lrn import LocalResponseNormalization
from volunet.graph.operators.matmul import MatMul
from volunet.graph.operators.operator import Flops, Operator, Read, Role, SizeWriter, Source
from volunet.graph.operators.pad import Pad
from volunet.graph.operators.pointwise import POINTWISE
from volunet.graph.operators.pool import Pool
from volunet.graph.operators.prelu import PRelu
from volunet.graph.operators.range import Range
from volunet.graph.operators.reduce import Reduce
from volunet.graph.operators.reshape import Reshape
from volunet.graph.operators.resize import Resize
from volunet.graph.operators.shape import ShapeOf, SizeOf
from volunet.graph.operators.slice import Slice
from volunet.graph.operators.softmax import Softmax
from volunet.graph.operators.split import Split
from volunet.graph.operators.squeeze import Squeeze
from volunet.graph.operators.tile import Tile
from volunet.graph.operators.transpose import Transpose
from volunet.graph.operators.unsqueeze import Unsqueeze

__all__ = ["OPERATORS", "Flops", "Operator", "Read", "Role", "SizeWriter", "Source"]

OPERATORS: Final[dict[str, Operator]] = {
    "Conv": Conv(),
    "ConvTranspose": ConvTranspose(),
    "MaxPool": Pool("MaxPool"),
    "AveragePool": Pool("AvgPool"),
    "LpPool": Pool("LPPool"),
    "GlobalAveragePool": GlobalPool("AdaptiveAvgPool"),
    "GlobalMaxPool": GlobalPool("AdaptiveMaxPool"),
    "Resize": Resize(),
    "Upsample": Resize(),
    "Pad": Pad(),
    "Slice": Slice(),
    "Concat": Concat(),
    "Split": Split(),
    **ARITHMETIC,
    "BatchNormalization": BatchNormalization(),
    "InstanceNormalization": InstanceNormalization(),
    "GroupNormalization": GroupNormalization(),
    "LayerNormalization": LayerNormalization(),
    "LRN": LocalResponseNormalization(),
    **POINTWISE,
    "PRelu": PRelu(),
    "Softmax": Softmax("F.softmax"),
    "LogSoftmax": Softmax("F.log_softmax"),
    "Hardmax": Softmax(""),
    "Gemm": Gemm(),
    "MatMul": MatMul(),
    "ReduceMean": Reduce("torch.mean"),
    "ReduceSum": Reduce("torch.sum", axes_since=13),
    "ReduceMax": Reduce("torch.amax"),
    "ReduceMin": Reduce("torch.amin"),
    "ReduceProd": Reduce("torch.prod"),
    "ReduceL1": Reduce("torch.sum", before="torch.abs({0})"),
    "ReduceL2": Reduce("torch.sum", before="{0} * {0}"),
    "ReduceSumSquare": Reduce("torch.sum", before="{0} * {0}"),
    "ArgMax": ArgMax("torch.argmax"),
    "ArgMin": ArgMax("torch.argmin"),
    "Constant": Constant(),
    "ConstantOfShape": ConstantOfShape(),
    "Shape": ShapeOf(),
    "Size": SizeOf(),
    "Range": Range(),
    "Expand": Expand(),
    "Tile": Tile(),
    "Gather": Gather(),
    "Unsqueeze": Unsqueeze(),
    "Squeeze": Squeeze(),
    "Reshape": Reshape(),
    "Flatten": Flatten(),
    "Transpose": Transpose(),
}
"""ONNX operator → its rules."""
