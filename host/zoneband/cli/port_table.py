"""The live table of docking and flashing: a line a port, whatever the size of the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from zoneband.cli.columns import GAP, Column, choose, cut, join, short_names, wrap
from zoneband.i18n import _

_BAR = 5
_SHORT_NOTE = 24  # such as "Handed out.": said beside each band that it is about
_FEW = 3  # ports that a note names; more are counted


class Kind(IntEnum):
    """What a port is to whoever stands before it; the lowest is shown first where room is short."""

    TROUBLE = 0
    DONE = 1
    BUSY = 2
    EMPTY = 3


@dataclass(frozen=True)
class PortRow:
    """One port. figure: battery or seconds; share: of the work, 0..1, None for no bar; notes: what
    to know beside the state."""

    port: str
    band: Text
    state: Text
    kind: Kind
    figure: str = ""
    share: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortTable:
    """A line a port, what to know of several once below, and the totals, which are always there.
    heads: of port, band, figure, bar and state; whole: no row is left out, even where the terminal
    has too few lines."""

    heads: tuple[str, str, str, str, str]
    rows: Sequence[PortRow]
    foot: str
    whole: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = console.size.height - 1 if console.is_terminal else None
        yield from self.lines(options.max_width, height)

    def lines(self, width: int, height: int | None) -> list[Text]:
        """The picture on a terminal of such a size; height None: as many lines as it takes."""
        frame = _Frame(self.heads, self.rows, width)
        beside, below = frame.sort_notes()
        foot = [Text(line, "bold") for line in wrap(self.foot, width)]
        head = frame.head()
        room = None if height is None else max(1, height - len(head) - len(foot))
        if self.whole:
            rows = self.rows
            if room is not None and len(rows) > room:
                # The red ones last, or they would have left the screen.
                rows = sorted(rows, key=lambda row: row.kind == Kind.TROUBLE)
            blocks = [frame.row(row, beside, None) for row in rows]
            notes = _note_lines(below, width, None)
        else:
            wanted = sum(len(frame.row(row, beside, None)) for row in self.rows)
            free = None if room is None else max(room // 3, room - wanted, 1)
            notes = _note_lines(below, width, free)
            left = None if room is None else max(1, room - len(notes))
            blocks = _fit(frame, self.rows, beside, left)
        return [*head, *(line for block in blocks for line in block), *notes, *foot]


class _Frame:
    """The columns of a table, as wide as its rows need."""

    def __init__(self, heads: Sequence[str], rows: Sequence[PortRow], width: int) -> None:
        self._rows = rows
        self._width = width
        self._names = short_names([row.port for row in rows], max(8, width // 5))
        done = "✓ " + _("Done – take the band off") + " !"
        columns = [
            Column(heads[0]),
            Column(heads[1]),
            Column(heads[2], leaves=2),
            Column(heads[3], leaves=1),
            Column(heads[4], wrap=len(done)),
        ]
        natural = [
            max(map(len, self._names.values()), default=0),
            max((row.band.cell_len for row in rows), default=0),
            max((len(row.figure) for row in rows), default=0),
            _BAR + len(" 100 %"),
            max(width, len(done)),
        ]
        self._widths = choose(columns, natural, width)
        self._heads = heads

    def head(self) -> list[Text]:
        """The names of the columns."""
        cells = [Text(cut(self._heads[n], wide), "bold") for n, wide in self._widths.items()]
        return [join(cells, list(self._widths.values())), Text("─" * self._width, "dim")]

    def name(self, row: PortRow) -> str:
        """A port's name, as short as it must be here."""
        return self._names[row.port]

    def sort_notes(self) -> tuple[dict[str, str], list[str]]:
        """What is said beside a port, and what is said below, of one port or several."""
        about: dict[str, list[PortRow]] = {}
        for row in self._rows:
            for note in row.notes:
                about.setdefault(note, []).append(row)
        beside: dict[str, str] = {}
        below: list[str] = []
        # What concerns fewest comes first: it is what somebody must do something about.
        for note, rows in sorted(about.items(), key=lambda each: len(each[1])):
            short = len(rows) == 1 or len(note) <= _SHORT_NOTE
            if short and all(self._room(row, beside) > len(note) for row in rows):
                for row in rows:
                    beside[row.port] = f"{beside.get(row.port, '')} {note}"
                continue
            if len(rows) <= _FEW:
                whom = ", ".join(map(self.name, rows))
                for row in rows:
                    if self._room(row, beside) >= 2:
                        beside[row.port] = beside.get(row.port, "") + " !"
            else:
                whom = _("{n} bands").format(n=len(rows))
            below.append(f"{whom}: {note}")
        return beside, below

    def _room(self, row: PortRow, beside: dict[str, str]) -> int:
        return self._widths[4] - row.state.cell_len - len(beside.get(row.port, ""))

    def row(self, row: PortRow, beside: dict[str, str], most: int | None) -> list[Text]:
        """The lines of a port, at most so many: the first has the columns, further ones go on with
        the state over the whole width."""
        bar = _bar(row.share) if row.share is not None else ""
        cells = [Text(self.name(row)), row.band, Text(row.figure), Text(bar)]
        before, lines = self._state(row, 4)
        if row.kind == Kind.TROUBLE:
            # Why it went wrong takes the bar's place, and that of a figure that is in the way.
            before, lines = self._state(row, 3)
            if not row.figure or len(lines) > 1:
                before, lines = self._state(row, 2)
        if most is not None and len(lines) > most:
            room = self._width - (self._start(before) if most == 1 else 2)
            lines = [*lines[: most - 1], cut(" ".join(lines[most - 1 :]), room)]
        state = Text(lines[0], row.state.style)
        state.append(beside.get(row.port, ""), "yellow")
        first = join([*(cells[n] for n in before), state], [*(self._widths[n] for n in before), 0])
        more = [Text("  ").append(line, row.state.style) for line in lines[1:]]
        return [first, *more]

    def _state(self, row: PortRow, end: int) -> tuple[list[int], list[str]]:
        # The columns before number `end` that are there, and the state's lines behind them.
        before = [n for n in self._widths if n < end]
        first = self._width - self._start(before)
        return before, wrap(row.state.plain, self._width - 2, first)

    def _start(self, before: Sequence[int]) -> int:
        return sum(self._widths[n] + GAP for n in before)


def _fit(
    frame: _Frame, rows: Sequence[PortRow], beside: dict[str, str], room: int | None
) -> list[list[Text]]:
    # All rows, however short; else those that matter most, and how many more there are.
    for most in (None, 2, 1):
        blocks = [frame.row(row, beside, most) for row in rows]
        if room is None or sum(map(len, blocks)) <= room:
            return blocks
    assert room is not None
    red = [frame.row(row, beside, 2) for row in rows if row.kind == Kind.TROUBLE]
    most = 2 if sum(map(len, red)) < room else 1
    blocks = [frame.row(row, beside, most) for row in rows]
    kept: set[int] = set()
    free = room - 1
    for at in sorted(range(len(rows)), key=lambda at: rows[at].kind):
        if len(blocks[at]) > free:
            break
        kept.add(at)
        free -= len(blocks[at])
    left = [row for at, row in enumerate(rows) if at not in kept]
    bad = sum(row.kind == Kind.TROUBLE for row in left)
    text = _("… {n} more ports, {bad} of them failed") if bad else _("… {n} more ports")
    said = Text(text.format(n=len(left), bad=bad), "bold red" if bad else "dim")
    return [*(blocks[at] for at in sorted(kept)), [said]]


def _note_lines(notes: Sequence[str], width: int, room: int | None) -> list[Text]:
    lines: list[str] = []
    for at, note in enumerate(notes):
        made = wrap("! " + note, width, indent="  ")
        last = at == len(notes) - 1
        if room is not None and len(lines) + len(made) > room - (0 if last else 1):
            lines.append(_("… {n} more notes").format(n=len(notes) - at))
            break
        lines += made
    return [Text(line, "yellow") for line in lines]


def _bar(share: float) -> str:
    full = min(_BAR, int(share * _BAR))
    return "█" * full + "░" * (_BAR - full) + f" {share * 100:3.0f} %"
