"""How wide columns are on a terminal, and what goes into a line of theirs."""

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

GAP = 2  # between two columns


@dataclass(frozen=True)
class Column:
    """wrap: its texts may be wrapped, down to so many letters; 0: no line of it is ever broken.
    leaves: on a narrow terminal it is left out, the highest number first; 0: never."""

    head: str
    wrap: int = 0
    leaves: int = 0
    right: bool = False


def widest(texts: Sequence[str]) -> int:
    """The longest line of some texts."""
    return max((cell_len(line) for text in texts for line in text.split("\n")), default=0)


def choose(columns: Sequence[Column], natural: Sequence[int], width: int) -> dict[int, int]:
    """The columns that there is room for, by number, and how wide each is. natural: of each, the
    longest line that it holds."""
    word = [widest(column.head.split()) for column in columns]
    full = [max(pair) for pair in zip(natural, word, strict=True)]
    least = [
        max(min(full[n], column.wrap), word[n]) if column.wrap else full[n]
        for n, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    while _total([least[n] for n in shown]) > width:
        gone = max(shown, key=lambda n: columns[n].leaves)
        if not columns[gone].leaves:
            break
        shown.remove(gone)
    widths = {n: least[n] for n in shown}
    spare = width - _total(list(widths.values()))
    # Whoever needs least comes first, so that nothing is left that another could use.
    needy = sorted((n for n in shown if full[n] > widths[n]), key=lambda n: full[n] - widths[n])
    for at, n in enumerate(needy):
        more = max(0, min(full[n] - widths[n], spare // (len(needy) - at)))
        widths[n] += more
        spare -= more
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * max(0, len(widths) - 1)


def join(cells: Sequence[Text], widths: Sequence[int], right: Sequence[bool] = ()) -> Text:
    """One line of cells, each as wide as its column."""
    line = Text(no_wrap=True, overflow="ignore")
    for at, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        pad = " " * max(0, width - cell.cell_len)
        before = pad if at < len(right) and right[at] else ""
        line.append(before).append_text(cell).append(pad if not before else "")
        line.append(" " * GAP)
    line.rstrip()
    return line


def wrap(text: str, width: int, first: int | None = None, indent: str = "") -> list[str]:
    """Lines of whole words. first: letters of the first line, where it has less room; indent: of
    all others."""
    room = max(len(indent) + 1, width)
    taken = 0 if first is None else max(0, room - first)
    lines = textwrap.wrap(
        text, room, initial_indent=" " * taken, subsequent_indent=indent, break_on_hyphens=False
    )
    return [line[taken:] if at == 0 else line for at, line in enumerate(lines)] or [""]


def cut(text: str, width: int) -> str:
    """The text, or its beginning where there is no room for the end."""
    return text if cell_len(text) <= width else text[: max(0, width - 1)].rstrip() + "…"


def short_names(names: Sequence[str], width: int) -> dict[str, str]:
    """Names of files for a column, so short that they fit, and still different: their end tells
    them apart, or what stands before an end that all have in common."""
    common = os.path.commonprefix([name[::-1] for name in names])[::-1] if len(names) > 1 else ""
    stems = [name[: len(name) - len(common)] for name in names]
    tries = [
        list(names),
        [name.rsplit("/", 1)[-1] for name in names],
        [_tail(name, width) for name in names],
        [_tail(stem, width - 1) + "…" for stem in stems],
    ]
    for made in tries:
        if widest(made) <= width and len(set(made)) == len(set(names)):
            return dict(zip(names, made, strict=True))
    return {name: _tail(name, width) for name in names}


def _tail(name: str, width: int) -> str:
    return name if len(name) <= width else "…" + name[len(name) - max(1, width - 1) :]
