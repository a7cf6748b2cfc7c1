"""What ONNX's own definitions say of an operator: its inputs and attributes by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import onnx
import onnx_ir as ir
from onnx import defs

OPSETS: Final = (18, 20, 21, 22, 17, 15, 13, 11, 9, 7)
"""Versions of the operator set in which a picture is read, the first that fits: 18 where it can."""

AttrType: Final = defs.OpSchema.AttrType


@dataclass(frozen=True)
class Definition:
    """One operator in one version.

    Attributes:
        inputs: Names of its inputs.
        is_variadic: Whether its last input stands for any number of them.
        least_inputs: Inputs that it has at least.
        most_outputs: Outputs that it has at most.
        attributes: Names of its attributes, with their types.
        defaults: Values of those that may be left out and then have one.
        whole: Inputs that are int64 and nothing else.
    """

    inputs: tuple[str, ...]
    is_variadic: bool
    least_inputs: int
    most_outputs: int
    attributes: Mapping[str, defs.OpSchema.AttrType]
    defaults: Mapping[str, Any]
    whole: frozenset[str]


@lru_cache(maxsize=1)
def operator_names() -> frozenset[str]:
    """Names of all operators of ONNX, those of former versions included."""
    return frozenset(
        schema.name for schema in defs.get_all_schemas_with_history() if not schema.domain
    )


@lru_cache(maxsize=1000)
def definition_of(op_type: str, opset: int) -> Definition | None:
    """What an operator is in a version; None where there is none of that name."""
    try:
        schema = defs.get_schema(op_type, opset, "")
    except defs.SchemaError:
        return None
    if schema.deprecated:
        return None
    option = defs.OpSchema.FormalParameterOption.Variadic
    types = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
    return Definition(
        tuple(parameter.name for parameter in schema.inputs),
        bool(schema.inputs) and schema.inputs[-1].option == option,
        schema.min_input,
        schema.max_output,
        {name: attribute.type for name, attribute in schema.attributes.items()},
        {
            name: onnx.helper.get_attribute_value(attribute.default_value)
            for name, attribute in schema.attributes.items()
            if attribute.default_value.type
        },
        frozenset(
            parameter.name
            for parameter in schema.inputs
            if types.get(parameter.type_str, {parameter.type_str})
            <= {"tensor(int64)", "tensor(int32)"}
        ),
    )


DTYPES: Final[Mapping[str, ir.DataType]] = {
    "float16": ir.DataType.FLOAT16,
    "bfloat16": ir.DataType.BFLOAT16,
    "float32": ir.DataType.FLOAT,
    "float64": ir.DataType.DOUBLE,
    "int8": ir.DataType.INT8,
    "uint8": ir.DataType.UINT8,
    "int32": ir.DataType.INT32,
    "int64": ir.DataType.INT64,
    "boolean": ir.DataType.BOOL,
}
"""Netron's names of element types."""
