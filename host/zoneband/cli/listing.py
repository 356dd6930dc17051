"""Tables that stay readable on a narrow terminal: nothing is cut, words are wrapped, and the
columns that matter least are left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from zoneband.cli.columns import Column, choose, join, widest

_INDENT = 2  # of what stands below a row


@dataclass(frozen=True)
class _Row:
    cells: tuple[Text, ...]
    below: Text | None


class Listing:
    """A table. Its cells may have several lines, and below a row there may be a text over the whole
    width."""

    def __init__(self, columns: Sequence[Column], title: str = "", caption: str = "") -> None:
        self._columns = columns
        self._title = title
        self._caption = caption
        self._rows: list[_Row] = []

    def add(self, *cells: Text | str, below: Text | None = None) -> None:
        """Add a row with a cell for each column."""
        assert len(cells) == len(self._columns)
        made = tuple(cell if isinstance(cell, Text) else Text(cell) for cell in cells)
        self._rows.append(_Row(made, below))

    def show(self) -> None:
        """Print it; what is no terminal gets lines as long as they are."""
        Console(highlight=False).print(self, crop=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        natural = [
            widest([row.cells[at].plain for row in self._rows]) for at in range(len(self._columns))
        ]
        columns = self._columns
        if not console.is_terminal:
            # Into a file or to another program: all of it, however wide.
            columns = [replace(column, leaves=0) for column in columns]
        widths = choose(columns, natural, width)
        if self._title:
            yield from Text(self._title, "italic").wrap(console, width)
        heads = tuple(Text(column.head, "bold") for column in self._columns)
        yield from self._lines(console, heads, widths, bottom=True)
        yield Text("─" * width, "dim")
        for row in self._rows:
            yield from self._lines(console, row.cells, widths)
            if row.below:
                yield from _indented(console, row.below, width)
        if self._caption:
            yield from Text(self._caption, "dim italic").wrap(console, width)

    def _lines(
        self,
        console: Console,
        cells: Sequence[Text],
        widths: dict[int, int],
        bottom: bool = False,
    ) -> list[Text]:
        # The lines of one row, whose cells are wrapped and filled up to the highest.
        blocks = [list(cells[at].wrap(console, wide)) for at, wide in widths.items()]
        height = max(map(len, blocks))
        right = [self._columns[at].right for at in widths]
        filled: list[list[Text]] = []
        for block in blocks:
            gap = [Text() for _line in range(height - len(block))]
            filled.append(gap + block if bottom else block + gap)
        return [join(line, list(widths.values()), right) for line in zip(*filled, strict=True)]


def _indented(console: Console, text: Text, width: int) -> list[Text]:
    lines = text.wrap(console, max(1, width - _INDENT))
    made = [Text(" " * _INDENT).append_text(line) for line in lines]
    for line in made:
        line.rstrip()
    return made
