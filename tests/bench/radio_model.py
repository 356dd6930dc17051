"""How well bands find each other in the modelled air."""

import tempfile
from pathlib import Path

from bench.rows import rows

_START = 1_793_682_000


@rows(("virtual_hours_per_min_7_bands", "h/min", None, None))
def speed() -> dict[str, float]:
    """Virtual hours that seven bands live in a minute of the wall clock."""
    import time

    from zoneband.sim.simulation import Provision, Simulation

    with tempfile.TemporaryDirectory() as folder, Simulation(Path(folder), 1, _START) as sim:
        for n in range(7):
            facts = Provision(
                f"ZB-000{n}-0000", _START // 86400, bytes([n] * 32), bytes(32), bytes(32),
                issued_utc_s=_START,
            )  # fmt: skip
            sim.add_band(facts.serial, float(n), 0.0, facts)
        sim.run_until(60)
        began = time.monotonic()
        sim.run_until(60 + 1800)
        spent = time.monotonic() - began
    return {"virtual_hours_per_min_7_bands": 0.5 / (spent / 60)}
