"""Reading an ONNX file as an `onnx_ir.Model`, and the plan that it carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from volunet.errors import ConfigError
from volunet.graph.reading.structure import check_structure
from volunet.plan import METADATA_KEY, Plan, read_plan


def read_onnx(path: str | Path) -> ir.Model:
    """Read an ONNX file; its weights stay on disk until they are asked for.

    Its nodes come in an order in which they can run.

    Raises:
        ConfigError: There is no such file, it is not a whole ONNX file, or its structure is not
            sound (`volunet.graph.reading.structure`).
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            path,
            "a folder" if path.is_dir() else "no such file",
            "A model is an ONNX file or a run folder of volunet train.",
            "Check the path.",
        )
    try:
        model = ir.load(path)
    except (DecodeError, ValueError, ir.serde.SerdeError) as error:
        raise _not_an_onnx(path, str(error.__cause__ or error)) from error
    weights = model.graph.initializers
    if all(value.name in weights for value in model.graph.inputs) or not model.graph.outputs:
        raise _not_an_onnx(path, "no graph with an input and an output in it")
    check_structure(model, path)
    return model


def parse_onnx(data: bytes) -> ir.Model:
    """Read an ONNX model from its bytes.

    Raises:
        DecodeError: They are not a whole protobuf.
    """
    return ir.from_proto(onnx.load_model_from_string(data))


def _not_an_onnx(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        path,
        f"not a whole ONNX file ({reason.strip().rstrip('.')})",
        "A model file is an ONNX protobuf.",
        "Copy or export it again; it may be truncated.",
    )


def find_plan(model: ir.Model, where: str | Path) -> Plan | None:
    """The plan that volunet's export put into a model, None where there is none.

    Args:
        model: The model.
        where: The file that it came from, for messages.

    Raises:
        ConfigError: There is a plan, but not one of this version.
    """
    text = model.metadata_props.get(METADATA_KEY)
    return None if text is None else read_plan(text, where)


def weights_of(model: ir.Model, where: str | Path) -> dict[str, NDArray[Any]]:
    """The weights of a model by name.

    Raises:
        ConfigError: An initializer has a name but no value.
    """
    weights = {}
    for name, value in model.graph.initializers.items():
        if value.const_value is None:
            raise ConfigError(
                where,
                f"initializer {name} has no value",
                "Every weight of a model file is in the file.",
                "Export the model again, as one file.",
            )
        weights[name] = value.const_value.numpy()
    return weights
