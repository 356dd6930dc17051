"""Who met whom: a tree from the case (F0) to its contacts of degree 1, 2 and 3, left to right.

Every contact is drawn once, behind the band that it was exposed to, so that no two lines cross.
Who must be called has a filled box, others a dashed outline, a place a double one.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from zoneband.i18n import _
from zoneband.server.pages import words
from zoneband.server.pages.svg import element, fit, text, title

_BOX, _HIGH, _ROW, _COLUMN, _TOP, _EDGE = 226, 50, 64, 330, 44, 8


@dataclass
class Node:
    """One box. parent: its place in the list, -1 for the case."""

    key: str
    label: str
    serial: str
    detail: str
    kind: str
    degree: int
    parent: int
    minutes: float
    y: float = 0.0


def nodes(answer: Mapping[str, Any], case_label: str) -> list[Node]:
    """The case and its contacts, each behind the one that it was exposed to. A band that its path
    names without being a contact itself is left out, with those behind it."""
    serial = str(answer["case"])
    found = [Node(serial, case_label or serial, serial, _("the case"), "case", 0, -1, 0.0)]
    places: dict[tuple[str, int], int] = {(serial, 0): 0}
    for contact in sorted(answer["contacts"], key=lambda each: each.get("degree", 1)):
        degree = int(contact.get("degree", 1))
        path = contact.get("path") or [serial, contact["serial"]]
        parent = 0 if degree == 1 else places.get((path[-2], degree - 1))
        if parent is None:
            continue
        places.setdefault((contact["serial"], degree), len(found))
        venue = contact["role"] == "venue"
        kind = "venue" if venue else "call" if contact["must_call"] else "other"
        detail = _("{n} min counted").format(n=words.minutes(contact["weighted_min"]))
        if venue:
            detail = _("a place") + ", " + detail
        found.append(
            Node(
                words.key(contact),
                words.who(contact),
                words.band(contact),
                detail,
                kind,
                degree,
                parent,
                float(contact["weighted_min"]),
            )
        )
    return found


def path(found: Sequence[Node], place: int) -> list[int]:
    """Places from a node back to the case, both included."""
    way = [place]
    while found[way[-1]].parent >= 0:
        way.append(found[way[-1]].parent)
    return way


def picture(found: Sequence[Node], shown: str = "", link: str = "?show=") -> str:
    """The tree as SVG; shown: key of the node whose path is marked; link: what a node's own
    address begins with."""
    _place(found)
    columns = max(node.degree for node in found) + 1
    wide = (columns - 1) * _COLUMN + _BOX + 2 * _EDGE
    high = max(node.y for node in found) + _HIGH / 2 + _EDGE
    marked: set[int] = set()
    for place, node in enumerate(found):
        if shown and node.key == shown:
            marked = set(path(found, place))
    parts = [
        text(
            f"F{column}",
            class_="degree",
            x=_EDGE + column * _COLUMN + _BOX / 2,
            y=24,
            text_anchor="middle",
        )
        for column in range(columns)
    ]
    # Lines first, so that boxes lie on them.
    for place in range(1, len(found)):
        parts.append(_line(found, place, place in marked))
    for place, node in enumerate(found):
        parts.append(_box(found, place, node, place in marked, link))
    about = _(
        "From the case on the left to contacts of degree 1, 2 and 3. The table below says the same."
    )
    head = title(_("Who met whom"), id="graph-title")
    return element(
        "svg",
        head + element("desc", escape(about), id="graph-desc") + "".join(parts),
        class_="graph",
        viewBox=f"0 0 {wide} {high:g}",
        width=wide,
        height=high,
        role="group",
        aria_labelledby="graph-title graph-desc",
    )


def _place(found: Sequence[Node]) -> None:
    """Leaves one below the other, each parent in the middle of its children."""
    children: dict[int, list[int]] = defaultdict(list)
    for place, node in enumerate(found):
        children[node.parent].append(place)
    row = 0

    def settle(place: int) -> float:
        nonlocal row
        mine = [settle(child) for child in children[place]]
        if mine:
            y = (mine[0] + mine[-1]) / 2
        else:
            y = _TOP + _HIGH / 2 + row * _ROW
            row += 1
        found[place].y = y
        return y

    settle(0)


def _x(node: Node) -> float:
    return _EDGE + node.degree * _COLUMN


def _line(found: Sequence[Node], place: int, on: bool) -> str:
    node = found[place]
    parent = found[node.parent]
    x1, x2 = _x(parent) + _BOX, _x(node)
    bend = (x2 - x1) / 2
    width = 1.5 + min(node.minutes, 120) / 40
    return element(
        "path",
        class_=f"line {node.kind}{' on' if on else ''}",
        data_of=place,
        d=f"M{x1:g} {parent.y:g}C{x1 + bend:g} {parent.y:g} {x2 - bend:g} {node.y:g} "
        f"{x2:g} {node.y:g}",
        stroke_width=width,
    )


def _box(found: Sequence[Node], place: int, node: Node, on: bool, link: str) -> str:
    x, y = _x(node), node.y - _HIGH / 2
    way = path(found, place)
    names = [found[each].label for each in reversed(way)]
    spoken = f"{words.degree(node.degree)}: {node.label}, {node.serial}, {node.detail}"
    if len(way) > 2:
        spoken += ". " + _("By way of {names}").format(names=" → ".join(names))
    box = element("rect", class_="box", x=x, y=y, width=_BOX, height=_HIGH, rx=8)
    if node.kind == "venue":
        box += element(
            "rect",
            class_="box inner",
            x=x + 4,
            y=y + 4,
            width=_BOX - 8,
            height=_HIGH - 8,
            rx=5,
        )
    under = node.detail if node.label == node.serial else f"{node.serial} · {node.detail}"
    if node.degree == 0:
        under = node.serial if node.label != node.serial else node.detail
    box += text(fit(node.label, _BOX - 24, 14, "SemiBold"), class_="who", x=x + 12, y=y + 21)
    box += text(fit(under, _BOX - 20, 11.5), class_="serial", x=x + 12, y=y + 38)
    return element(
        "a",
        title(spoken) + box,
        class_=f"node {node.kind}{' on' if on else ''}",
        href=f"{link}{node.key}#graph",
        id=f"node-{node.key}",
        data_path=" ".join(map(str, way)),
        data_of=place,
        aria_label=spoken,
    )
