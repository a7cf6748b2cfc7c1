"""A SVG file as plain elements: no entities, nothing fetched, nothing beyond stated limits.

A picture may come from anywhere. Its XML is read by expat alone: a document type with declarations
in it, and with it every entity, is refused; a reference to another file is text like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.parsers import expat

from volunet.errors import ConfigError, ReverseError

MOST_BYTES: Final = 100 * 2**20
"""Size up to which a picture is read; Netron's of 50 operators has 0.2 MB."""

MOST_ELEMENTS: Final = 2_000_000
"""Elements up to which a picture is read."""

DEEPEST: Final = 200
"""Elements within elements up to which a picture is read; Netron's has eight."""

_GZIP: Final = b"\x1f\x8b"


@dataclass
class Element:
    """One element.

    Attributes:
        tag: Its name without a namespace.
        attributes: Its attributes, names without a namespace.
        children: What is in it, in order: elements and pieces of text.
    """

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def elements(self) -> Iterator[Element]:
        """The elements in it."""
        return (child for child in self.children if isinstance(child, Element))

    @property
    def text(self) -> str:
        """All text in it; not that of titles, which are tooltips."""
        return "".join(
            child if isinstance(child, str) else child.text
            for child in self.children
            if isinstance(child, str) or child.tag not in ("title", "desc")
        )


def read_svg(path: str | Path) -> Element:
    """Read a SVG file.

    Returns:
        Its outermost element.

    Raises:
        ConfigError: There is no such file, or it is a folder.
        ReverseError: It is empty, too large, compressed, not whole XML, not SVG, or it declares
            entities.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            path,
            "a folder" if path.is_dir() else "no such file",
            "A picture is a SVG file that Netron exported (File > Export as SVG).",
            "Check the path.",
        )
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ReverseError(
            path,
            f"{size / 2**20:.0f} MB",
            f"A picture of a network has at most {MOST_BYTES // 2**20} MB.",
            "Export the picture from Netron again, or read the ONNX file itself.",
        )
    data = path.read_bytes()
    if not data.strip():
        raise ReverseError(
            path,
            "an empty file",
            "A picture is a SVG file that Netron exported (File > Export as SVG).",
            "Export or copy it again.",
        )
    if data.startswith(_GZIP):
        raise ReverseError(
            path,
            "a compressed file (svgz)",
            "A picture is a plain SVG file.",
            f"Unpack it first: gunzip -c {path.name} > picture.svg.",
        )
    return _Reader(path).read(data)


class _Reader:
    """The elements of one file, as expat reports them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def read(self, data: bytes) -> Element:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        parser.SkippedEntityHandler = self._entity
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise self._not_whole(error) from error
        if self._root is None or self._root.tag != "svg":
            raise ReverseError(
                self._path,
                f"XML, but its outermost element is <{self._root.tag if self._root else '?'}>",
                "A picture is a SVG file that Netron exported (File > Export as SVG).",
                "Give the picture, or an ONNX file.",
            )
        return self._root

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MOST_ELEMENTS or len(self._open) >= DEEPEST:
            raise ReverseError(
                self._path,
                f"more than {MOST_ELEMENTS} elements, or more than {DEEPEST} within each other",
                "Netron's pictures have some dozen elements an operator, eight within each other.",
                "Export the picture from Netron again.",
            )
        plain = {name.rpartition(" ")[2]: value for name, value in attributes.items()}
        element = Element(tag.rpartition(" ")[2], plain)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].children.append(text)

    def _doctype(
        self, _name: str, _system: str | None, _public: str | None, has_declarations: int
    ) -> None:
        if has_declarations:
            raise self._unsafe("a document type with declarations of its own (DOCTYPE […])")

    def _entity(self, name: str, _is_parameter: bool) -> None:
        raise self._unsafe(f"the entity &{name[:40]};")

    def _unsafe(self, found: str) -> ReverseError:
        return ReverseError(
            self._path,
            found,
            "Pictures are read without entities: a small file could expand to any size.",
            "Netron writes none; save the picture as plain SVG, or export it again.",
        )

    def _not_whole(self, error: expat.ExpatError) -> ReverseError:
        reason = expat.ErrorString(error.code)
        if self._root is None:
            return ReverseError(
                self._path,
                f"not XML ({reason})",
                "A picture is a SVG file that Netron exported (File > Export as SVG).",
                "Give the picture, or an ONNX file.",
            )
        return ReverseError(
            self._path,
            f"cut off or damaged in line {error.lineno}, column {error.offset} ({reason})",
            "A SVG file is whole XML, up to its last </svg>.",
            "Export or copy it again; it may be truncated.",
        )
