"""How fast a band is docked, against mpremote and against the line."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.rows import rows

_START = 1_793_682_000
_COUNT = 1600
_PORTS = 12


@contextmanager
def _street(bands: int, count: int, reset_on_open: bool = False) -> Iterator[tuple[Any, ...]]:
    """(simulation, station folder, the bands) with `count` encounters in each band's log."""
    from zoneband.sim.simulation import Provision, Simulation

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Simulation(root / "sim", 1, _START) as sim:
            found = []
            for n in range(bands):
                key = bytes([n + 1] * 32)
                facts = Provision(
                    f"ZB-{n:04d}-0000", _START // 86400, key, None, key,
                    issued_utc_s=_START, filled=count, locked=False,
                )  # fmt: skip
                band = sim.add_band(facts.serial, float(n), 0.0, facts)
                band.reset_on_open = reset_on_open
                found.append(band)
            sim.run_until(10)
            yield sim, root, found


def _dock_s(bands: int) -> float:
    """Plug to the last done-cue of some bands at once."""
    from zoneband.dock.job import DockJob, DockResult
    from zoneband.dock.ports import SETTLE_S
    from zoneband.sim.keys import dock_key
    from zoneband.spool import Spool

    with _street(bands, _COUNT, reset_on_open=True) as (sim, root, found):
        spool = Spool(root / "station")
        sim.run_on()
        results: list[DockResult] = []
        began = time.monotonic()
        ports = [sim.plug(band) for band in found]

        def dock(port: str) -> None:
            time.sleep(SETTLE_S)
            results.append(DockJob(port, spool, "st", True, dock_key).run())

        threads = [threading.Thread(target=dock, args=(port,)) for port in ports]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spent = time.monotonic() - began
        assert [r.outcome for r in results] == ["done"] * bands, results
        assert all(r.slots >= _COUNT for r in results)
        assert all(band.stats.starts == 2 for band in found)
        return spent


@rows(("dock_1600_s", "s", "<=", 10), ("dock_12_ports_ratio", "ratio", "<=", 1.3))
def docks() -> dict[str, float]:
    """Plug to done-cue of 1,600 encounters at 115,200 baud, the port's opening pulling EN (a boot
    of 1.2 s is assumed); and twelve such bands at once over one alone."""
    one = _dock_s(1)
    return {"dock_1600_s": one, "dock_12_ports_ratio": _dock_s(_PORTS) / one}


def _pull(port: str, baud: int) -> tuple[int, float]:
    """(bytes of slots, seconds) of pulling all of a log at a speed."""
    from zoneband.dock.link import REPL_BAUD, Link
    from zoneband.dock.session import BandSession
    from zoneband.sim.keys import dock_key

    link = Link(port)
    try:
        session = BandSession(link, dock_key)
        hello = session.greet()
        if baud != REPL_BAUD:
            assert session.speed(baud)
        took = 0

        def take(_cursor: int, slots: bytes) -> None:
            nonlocal took
            took += len(slots)

        began = time.monotonic()
        session.pull(hello.log_id, hello.tail, take)
        spent = time.monotonic() - began
        session.bye()
    finally:
        link.close()
    return took, spent


@rows(
    ("pull_vs_mpremote", "ratio", ">=", 2.0),
    ("pull_line_share_115200", "share", ">=", 0.93),
)
def pull() -> dict[str, float]:
    """A pull of 1,600 encounters against mpremote copying as many bytes from the same VM, both
    over a line of 115,200 baud; and the pull's share of that line's 11,520 bytes a second."""
    with _street(1, _COUNT) as (sim, root, (band,)):
        port = sim.plug(band)
        sim.run_on()
        took, spent = _pull(port, 115_200)
        (band.root / "same.bin").write_bytes(bytes(took))
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", port, "fs", "cp", ":same.bin"]
            + [str(root / "copy.bin")],
            check=True,
            capture_output=True,
            timeout=120,
        )
        mpremote_s = time.monotonic() - began
        assert (root / "copy.bin").stat().st_size == took
    return {
        "pull_vs_mpremote": mpremote_s / spent,
        "pull_line_share_115200": took / spent / 11_520,
    }


@rows(("pull_line_share_921600", "share", ">=", 0.93))
def pull_fast() -> dict[str, float]:
    """A pull of 10,000 encounters through the UART at 921,600 baud, as a share of the line."""
    with _street(1, 10_000) as (sim, _, (band,)):
        port = sim.plug(band)
        sim.run_on()
        took, spent = _pull(port, 921_600)
    return {"pull_line_share_921600": took / spent / 92_160}
