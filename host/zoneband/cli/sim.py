"""`zoneband sim`: virtual bands for engineers."""

import secrets
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from zoneband.i18n import _

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Virtual bands for engineers."""


@app.command("up", help=_("Start bands, print their ports, and run until Ctrl-C."))
def up(
    count: Annotated[int, typer.Argument(min=1, max=100)],
    realtime: Annotated[bool, typer.Option(help=_("Keep to the wall clock."))] = False,
    seed: Annotated[int, typer.Option(help=_("Seed of radio and random bytes."))] = 1,
) -> None:
    """Start bands a metre apart."""
    from zoneband.sim.simulation import Provision, Simulation

    start_s = int(time.time())
    with tempfile.TemporaryDirectory(prefix="zoneband-sim") as folder:
        with Simulation(Path(folder), seed, start_s, realtime) as sim:
            for n in range(count):
                base, dock, receipt = (secrets.token_bytes(32) for _k in range(3))
                facts = Provision(f"ZB-{n:04d}-0000", start_s // 86400, base, dock, receipt)
                band = sim.add_band(facts.serial, float(n), 0.0, facts)
                print(facts.serial, sim.plug(band), flush=True)
            sim.run_on()
            try:
                while True:
                    time.sleep(1)
            except KeyboardInterrupt:
                return
