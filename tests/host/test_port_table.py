"""The live table of docking and flashing is readable on a terminal of 80 columns and 24 lines."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from zoneband import i18n
from zoneband.cli import dock, flash
from zoneband.cli.port_table import Kind, PortRow, PortTable
from zoneband.dock.job import DockResult, left_clock

HEADS = ("port", "band", "battery", "progress", "state")
FOOT = "5 good, 3 failed · waiting to be sent: 12"
WHY = (
    "✗ The band has a newer key of its group than this station: connect this station to the "
    "network, then dock the band again."
)
NOTE = "The band's clock is far from this computer's: only an order of the authority changes it."


def serial(n: int) -> str:
    return f"ZB-WGJK-{n:04d}"


def good(n: int, *notes: str, port: str = "/dev/ttyUSB") -> PortRow:
    state = Text("✓ Done – take the band off")
    return PortRow(f"{port}{n}", Text(serial(n)), state, Kind.DONE, "3.90 V", 1.0, notes)


def bad(n: int, port: str = "/dev/ttyUSB") -> PortRow:
    return PortRow(f"{port}{n}", Text(serial(n)), Text(WHY), Kind.TROUBLE, "3.90 V")


def shown(
    rows: list[PortRow], width: int = 80, height: int | None = 23, whole: bool = False
) -> list[str]:
    lines = PortTable(HEADS, rows, FOOT, whole).lines(width, height)
    assert all(line.cell_len <= width for line in lines), lines
    assert height is None or whole or len(lines) <= height
    return [line.plain for line in lines]


def test_a_port_is_a_line_and_a_note_of_all_is_said_once() -> None:
    lines = shown([good(n, NOTE) for n in range(8)])
    assert len([line for line in lines if "Done – take the band off" in line]) == 8
    assert "".join(lines).count("far from this computer's") == 1
    assert any("8 bands: The band's clock" in line for line in lines)
    # Head, rule, ports, two lines of the note, totals.
    assert len(lines) == 2 + 8 + 2 + 1 and lines[-1] == FOOT


def test_a_note_of_one_band_names_its_port_and_a_short_one_stands_beside_it() -> None:
    lines = shown([good(1), good(2, NOTE), *(good(n, "Taken back.") for n in (3, 4))], width=100)
    assert any(line.startswith("! /dev/ttyUSB2: The band's clock") for line in lines)
    assert [line.endswith("off !") for line in lines[2:6]] == [False, True, False, False]
    assert [line.endswith("off Taken back.") for line in lines[2:6]] == [False, False, True, True]


def test_trouble_takes_two_lines_at_most_and_says_all_of_what_to_do() -> None:
    lines = shown([good(1), bad(2), good(3)])
    assert len(lines) == 2 + 4 + 1
    assert " ".join(f"{lines[3]} {lines[4]}".split()).endswith(WHY)


@pytest.mark.parametrize("height", [8, 16, 23])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_with_too_few_lines_red_ones_and_totals_stay(width: int, height: int) -> None:
    rows = [bad(n) if n in (17, 25, 39) else good(n, NOTE) for n in range(40)]
    lines = shown(rows, width, height)
    for n in (17, 25, 39):
        assert any(serial(n) in line and "✗" in line for line in lines), n
    ports = [line for line in lines if "ZB-" in line]
    assert f"… {40 - len(ports)} more ports" in lines
    assert lines[-1].endswith(FOOT[-10:])


def test_more_red_lines_than_there_is_room_for_are_counted() -> None:
    lines = shown([good(0), *(bad(n) for n in range(1, 40))], height=12)
    ports = [line for line in lines if "ZB-" in line]
    assert len(ports) == 8 and all("✗" in line for line in ports)
    assert "… 32 more ports, 31 of them failed" in lines


def test_at_the_end_nothing_is_left_out_and_red_is_what_stays_on_the_screen() -> None:
    rows = [bad(3), *(good(n) for n in range(40) if n != 3)]
    lines = shown(rows, whole=True)
    assert sum("ZB-" in line for line in lines) == 40
    assert serial(3) in lines[-3] and lines[-1] == FOOT


def test_long_names_of_ports_can_be_told_apart() -> None:
    path = "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1.{}:1.0-port0"
    rows = [
        PortRow(path.format(n), Text(serial(n)), Text("empty"), Kind.EMPTY) for n in range(1, 9)
    ]
    for width in (60, 80):
        names = [line.split()[0] for line in shown(rows, width)[2:-1]]
        assert len(set(names)) == 8
        assert all(f"{n}:1.0" in name for n, name in enumerate(names, 1))


def test_a_terminal_of_80_by_24_shows_no_more_than_it_holds() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    console.print(PortTable(HEADS, [good(n, NOTE) for n in range(64)], FOOT))
    assert out.getvalue().count("\n") == 23 and FOOT in out.getvalue()


class _Station(dock.Station):
    """A station that has docked, without a data directory."""

    class _Spool:
        def counts(self) -> tuple[int, int]:
            return 1, 0

    def __init__(self, results: list[DockResult], vouched: bool = True) -> None:
        self.spool = self._Spool()  # pyright: ignore[reportAttributeAccessIssue]
        self.problem, self.vouched = "", vouched
        self.lines = {each.port: dock._Line(each.port, result=each) for each in results}


def picture(station: dock.Station) -> str:
    return "\n".join(line.plain for line in station.table().lines(80, 23))


def done(n: int, *notes: str) -> DockResult:
    text = "Done – take the band off"
    return DockResult(f"/dev/ttyUSB{n}", "done", text, list(notes), serial(n), 3900)


def test_the_clock_that_nobody_vouches_for_is_said_once_for_all_bands() -> None:
    for lang, said in (("en", "not vouched for"), ("vi", "chưa được xác nhận")):
        with i18n.reading(lang):
            drawn = picture(_Station([done(n, left_clock()) for n in range(8)], vouched=False))
            assert drawn.replace("\n", " ").count(said) == 1, drawn
            assert drawn.count("\n") < 13


def test_a_port_without_a_band_shows_no_full_bar() -> None:
    none = DockResult("/dev/ttyUSB9", "no_band", "No band answers here. Is this the right device?")
    drawn = picture(_Station([done(1), none]))
    assert drawn.count("100 %") == 1 and "Is this the right device?" in drawn
    assert "1 good, 1 failed · waiting to be sent: 1" in drawn


class _Idle:
    """A tray with nothing in work, or with some."""

    def __init__(self, busy: bool) -> None:
        self.busy, self.stopped = busy, False
        self.slots, self.results = {}, []

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize("busy", [False, True])
def test_who_stops_a_tray_is_told_of_unfinished_boards_only_if_there_are(
    busy: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> bool:
        raise KeyboardInterrupt

    tray: Any = _Idle(busy)
    run: Any = SimpleNamespace(began=0.0)
    flash._watch(run, tray, False, stopped)
    assert tray.stopped and ("unfinished" in capsys.readouterr().out) == busy
