"""How fast a band is docked, against mpremote and against the line."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.rows import rows

_START = 1_793_682_000
_FILL = """
from wire import records
log = BandLog(esp32.Partition.find(1, label="bandlog")[0], store, app.random_u32)
log.mount(1, 0, False)
for n in range({count}):
    base = log.ready(n)
    log.append(records.encounter(bytes(12), 0, 300, 70, -66, -51, 0, 6))
"""


def _band(sim, count: int):
    from zoneband.sim import band as bands
    from zoneband.sim.simulation import Provision

    facts = Provision(
        "ZB-0000-0000", _START // 86400, bytes(32), bytes(32), bytes(32), issued_utc_s=_START
    )
    kept = bands._HAND_OUT
    try:
        bands._HAND_OUT = kept + _FILL.format(count=count)
        return sim.add_band(facts.serial, 0.0, 0.0, facts)
    finally:
        bands._HAND_OUT = kept


@rows(
    ("pull_vs_mpremote", "ratio", ">=", 2.0),
    ("pull_line_share_115200", "share", ">=", 0.93),
    ("dock_1600_s", "s", "<=", 10),
)
def docking() -> dict[str, float]:
    """A pull of 1,600 encounters, the whole dock, and mpremote copying as many bytes.

    The band's output passes 128 bytes per 10 ms, which is 12,800 B/s; the line's share is of
    115,200 baud's 11,520 B/s, so the pull is paced to that baud here."""
    from zoneband.dock.job import DockJob
    from zoneband.dock.link import Link
    from zoneband.dock.session import BandSession
    from zoneband.sim import band as bands
    from zoneband.sim.simulation import Simulation
    from zoneband.spool import Spool

    tick = bands.STDOUT_TICK_S
    bands.STDOUT_TICK_S = bands.STDOUT_CHUNK / 11_520
    try:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            with Simulation(root / "sim", 1, _START) as sim:
                band = _band(sim, 1600)
                sim.run_until(1)
                port = sim.plug(band)
                sim.run_on()
                time.sleep(0.5)
                began = time.monotonic()
                result = DockJob(port, Spool(root / "station"), "st", True).run()
                dock_s = time.monotonic() - began
                assert result.outcome == "done", result
                link = Link(port)
                session = BandSession(link)
                hello = session.hello()
                took = 0

                def take(_cursor: int, slots: bytes) -> None:
                    nonlocal took
                    took += len(slots)

                began = time.monotonic()
                session.pull(hello.log_id, hello.tail, take)
                pull_s = time.monotonic() - began
                session.bye()
                link.close()
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
    finally:
        bands.STDOUT_TICK_S = tick
    return {
        "pull_vs_mpremote": mpremote_s / pull_s,
        "pull_line_share_115200": took / pull_s / 11_520,
        "dock_1600_s": dock_s,
    }
