"""The story as a picture: an HTML page with inline SVG, and a compact one for the terminal.

Both show, for each person, what was true (how far from the case, per 5 minutes) above what
the tracing server answered (heard, near), so that a reader can compare them by eye.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich.text import Text

from zoneband.demo.story import Story
from zoneband.i18n import _
from zoneband.localtime import local

WINDOW_S = 300
_LEFT, _TOP, _ROW, _WIDE = 250, 70, 58, 820


@dataclass(frozen=True)
class Row:
    """One person against the case: metres (None: docked) and answer per 5-minute window.

    An answer is 0 (not heard), 1 (heard) or 2 (near)."""

    name: str
    part: str
    metres: tuple[float | None, ...]
    answers: tuple[int, ...]
    near_min: float
    total_min: float
    words: str
    call: bool


def local_time(utc_s: int) -> str:
    """Clock time in Vietnam, as HH:MM."""
    return local(utc_s).strftime("%H:%M")


def _shade(metres: float | None) -> str:
    if metres is None:
        return "#d8d8e8"
    if metres <= 2:
        return "#c0392b"
    if metres <= 5:
        return "#e59866"
    if metres <= 12:
        return "#f5d7b0"
    return "#f4f4f4"


_ANSWER_FILL = ("#f4f4f4", "#a9cce3", "#1f618d")
_SVG_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #222; }
.axis, .part { fill: #666; font-size: 12px; }
.name { font-weight: 600; font-size: 14px; }
.call { fill: #a93226; font-weight: 700; } .free { fill: #1e6e3a; font-weight: 600; }
line { stroke: #ddd; }
"""


def page(story: Story, rows: list[Row], path: Path) -> None:
    """Write the picture as one HTML file without any outside part, and beside it as SVG."""
    windows = story.end_s // WINDOW_S
    cell = _WIDE / windows
    height = _TOP + _ROW * len(rows) + 60
    out: list[str] = []

    def text(x: float, y: float, words: str, more: str = "") -> None:
        out.append(f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>')

    def box(x: float, y: float, w: float, h: float, fill: str, title: str) -> None:
        out.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{fill}" '
            f'stroke="#fff"><title>{escape(title)}</title></rect>'
        )

    for i in range(0, windows + 1, 3):
        x = _LEFT + i * cell
        clock = local_time(story.start_utc_s + i * WINDOW_S)
        text(x, _TOP - 14, clock, 'class="axis" text-anchor="middle"')
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{height - 60}" />')
    for n, row in enumerate(rows):
        y = _TOP + n * _ROW
        text(12, y + 18, row.name, 'class="name"')
        text(12, y + 35, row.part, 'class="part"')
        for i in range(windows):
            at = local_time(story.start_utc_s + i * WINDOW_S)
            metres = row.metres[i]
            truth = _("in the dock") if metres is None else _("{m} m").format(m=round(metres, 1))
            box(_LEFT + i * cell, y + 4, cell, 18, _shade(metres), f"{at} {truth}")
            heard = (_("not heard"), _("heard"), _("near"))[row.answers[i]]
            box(_LEFT + i * cell, y + 24, cell, 18, _ANSWER_FILL[row.answers[i]], f"{at} {heard}")
        mark = "call" if row.call else "free"
        text(_LEFT + _WIDE + 14, y + 18, row.words, f'class="{mark}"')
        minutes = _("{near} of {total} min near").format(
            near=round(row.near_min), total=round(row.total_min)
        )
        text(_LEFT + _WIDE + 14, y + 35, minutes, 'class="part"')
    legend = [
        (_shade(1), _("true: within 2 m")),
        (_shade(4), _("true: within 5 m")),
        (_shade(10), _("true: within 12 m")),
        (_shade(None), _("in the dock")),
        (_ANSWER_FILL[2], _("trace: near")),
        (_ANSWER_FILL[1], _("trace: heard")),
    ]
    for i, (fill, words) in enumerate(legend):
        x = 12 + i * 195
        box(x, height - 40, 16, 16, fill, words)
        text(x + 22, height - 27, words, 'class="part"')
    title = _("Who met {name}?").format(name=story.case.name)
    date = local(story.start_utc_s)
    head = f"{title} – {date.strftime('%d/%m/%Y')}"
    intro = _("Upper bar: what happened. Lower bar: what the bands' logs say.")
    wide = _LEFT + _WIDE + 240
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {height}" role="img" '
        f'aria-label="{escape(title)}">\n<style>{_SVG_STYLE}</style>\n'
        + "\n".join(out)
        + "\n</svg>"
    )
    path.write_text(
        f"""<!doctype html>
<html><head><meta charset="utf-8"><title>{escape(head)}</title><style>
body {{ font-family: system-ui, sans-serif; margin: 24px; color: #222; }}
svg {{ max-width: 100%; height: auto; }}
</style></head><body><h1>{escape(head)}</h1>
<p>{escape(intro)}</p>
{drawing}</body></html>
""",
        encoding="utf-8",
    )
    path.with_suffix(".svg").write_text(drawing, encoding="utf-8")


def terminal(story: Story, rows: list[Row]) -> list[Text]:
    """Two lines a person: the truth above the answer, one character per 5 minutes."""
    lines: list[Text] = []
    windows = story.end_s // WINDOW_S
    axis = Text(" " * 22)
    for i in range(0, windows, 6):
        axis.append(f"{local_time(story.start_utc_s + i * WINDOW_S):<6}", "dim")
    lines.append(axis)
    for row in rows:
        truth = Text(f"{row.name[:20]:<22}", "bold")
        for metres in row.metres:
            if metres is None:
                truth.append("·", "dim")
            elif metres <= 2:
                truth.append("█", "red")
            elif metres <= 5:
                truth.append("▓", "yellow")
            elif metres <= 12:
                truth.append("▒", "bright_black")
            else:
                truth.append(" ")
        answer = Text(" " * 22)
        for heard in row.answers:
            answer.append((" ", "▒", "█")[heard], ("dim", "cyan", "blue")[heard])
        answer.append(f" {row.words}", "bold red" if row.call else "green")
        lines += [truth, answer]
    return lines
