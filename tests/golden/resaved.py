"""Pictures as other programs save them: made from real ones, for the tests and `make_pictures`."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET


def without_ids(text: str) -> str:
    """As an editor that drops ids and classes."""
    return re.sub(r' (id|class)="[^"]*"', "", text)


_SVG = "http://www.w3.org/2000/svg"


def as_by_an_editor(text: str) -> str:
    """As a drawing program saves it: absolute coordinates, no groups, boxes as plain paths.

    Texts stand in spans with places of their own, as Inkscape writes them.
    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(text)  # noqa: S314 (our own picture)
    flat = ET.Element(f"{{{_SVG}}}svg", {"viewBox": "0 0 2000 5000"})
    sheet = ET.SubElement(flat, f"{{{_SVG}}}g", {"style": "fill:none"})

    def move(element: ET.Element, dx: float, dy: float) -> None:
        tag = element.tag.rpartition("}")[2]
        shift = re.match(r"translate\(([-\d.e]+),\s*([-\d.e]+)\)", element.get("transform", ""))
        if shift:
            dx, dy = dx + float(shift[1]), dy + float(shift[2])
        style = element.get("style", "")
        if tag in ("defs", "title"):
            return
        if tag == "text":
            x, y = float(element.get("x", 0)) + dx, float(element.get("y", 0)) + dy
            new = ET.SubElement(sheet, f"{{{_SVG}}}text", {"x": f"{x:.3f}", "y": f"{y:.3f}"})
            new.set("style", style)
            span = ET.SubElement(new, f"{{{_SVG}}}tspan", {"x": f"{x:.3f}", "y": f"{y:.3f}"})
            span.text = "".join(
                piece for part in element.iter() if not part.tag.endswith("title")
                for piece in [part.text or ""]
            )  # fmt: skip
        elif tag == "rect":
            numbers = [float(element.get(name, 0)) for name in ("x", "y", "width", "height")]
            x, y, w, h = numbers
            data = f"M{x + dx:.3f} {y + dy:.3f}h{w:.3f}v{h:.3f}h{-w:.3f}z"
            ET.SubElement(sheet, f"{{{_SVG}}}path", {"d": data, "style": style})
        elif tag == "path":
            data = element.get("d", "")
            data = f"M{dx:.3f} {dy:.3f}m" + data[1:] if data else data
            if "C" in data or "L" in data:  # an edge: every number is absolute
                data = re.sub(
                    r"([-\d.e]+),([-\d.e]+)",
                    lambda m: f"{float(m[1]) + dx:.3f},{float(m[2]) + dy:.3f}",
                    element.get("d", ""),
                )
            ET.SubElement(sheet, f"{{{_SVG}}}path", {"d": data, "style": style})
        for child in element if tag != "text" else ():
            move(child, dx, dy)

    move(root, 0.0, 0.0)
    return ET.tostring(flat, encoding="unicode")


def as_of_2022(text: str) -> str:
    """With the names of groups and markers, and the letters, that Netron 5.9 writes."""
    text = text.replace("node node-border", "node border").replace("arrowhead", "arrowhead-vee")
    text = text.replace("node-argument-list", "node-attribute")
    text = re.sub(r'<rect rx="3"[^>]*/>', "", text)
    text = re.sub(r'<g class="node-argument">(.*?)</g>', r"\1", text)
    text = re.sub(r'(<text) x="7"', r'\1 x="6"', text)
    return text.replace('style=""', 'style="opacity: 1;"')
