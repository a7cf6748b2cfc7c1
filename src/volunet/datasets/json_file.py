"""Read a JSON file of a data set, with an error that says which file and which line is wrong."""

from __future__ import annotations

import json
from pathlib import Path

from volunet.errors import DatasetError


def read_json(path: Path) -> object:
    """Read a JSON file.

    Args:
        path: The file; UTF-8, with or without a byte order mark.

    Raises:
        DatasetError: The file cannot be opened or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DatasetError(
            path,
            f"it cannot be opened ({error.strerror or error})",
            "The file must be there and readable.",
            "Check the path and the file's permissions.",
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            path,
            f"byte {error.start} is not UTF-8 text",
            "The file must be JSON in UTF-8.",
            "Save it again as UTF-8, or restore the original file.",
        ) from error
    except json.JSONDecodeError as error:
        raise DatasetError(
            path,
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            "The file must be JSON.",
            "Mend that line (a missing comma or quote is the usual cause).",
        ) from error
