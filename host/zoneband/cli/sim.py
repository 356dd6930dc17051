"""`zoneband sim`: virtual bands and boards for engineers."""

import secrets
import select
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoneband import authority, serials
from zoneband.cli.options import Data, data_dir
from zoneband.groups import GroupKeys
from zoneband.i18n import _
from zoneband.wire import handshake

if TYPE_CHECKING:
    from zoneband.sim.tray import Tray

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Virtual bands for engineers."""


@app.command("up", help=_("Start bands, print their ports, and run until Ctrl-C."))
def up(
    count: Annotated[int, typer.Argument(min=1, max=100)],
    realtime: Annotated[bool, typer.Option(help=_("Keep to the wall clock."))] = False,
    seed: Annotated[int, typer.Option(help=_("Seed of radio and random bytes."))] = 1,
    data: Data = None,
) -> None:
    """Start bands a metre apart, of this station's group where it has one."""
    from zoneband.sim import keys
    from zoneband.sim.simulation import Provision, Simulation

    where = data_dir(data)
    groups = GroupKeys(where)
    if not groups.load():
        keys.give(where)
    group, generation, group_key = groups.current()
    known = authority.public_keys(where)
    start_s = int(time.time())
    with tempfile.TemporaryDirectory(prefix="zoneband-sim") as folder:
        with Simulation(Path(folder), seed, start_s, realtime) as sim:
            for n in range(count):
                base, receipt = (secrets.token_bytes(32) for _k in range(2))
                serial = serials.make()
                facts = Provision(
                    serial,
                    start_s // 86400,
                    base,
                    handshake.dock_key(group_key, serial),
                    receipt,
                    authority=known[-1] if known else keys.AUTHORITY,
                    group=group,
                    generation=generation,
                )
                band = sim.add_band(facts.serial, float(n), 0.0, facts)
                print(facts.serial, sim.plug(band), flush=True)
            sim.run_on()
            try:
                while True:
                    time.sleep(1)
            except KeyboardInterrupt:
                return


@app.command("tray", help=_("Blank boards in a tray, for flash.sh; until Ctrl-C."))
def tray(
    count: Annotated[int, typer.Argument(min=1, max=32)],
    board: Annotated[str, typer.Option(metavar="NAME", help=_("Kind of the boards."))] = "devkitc",
    faulty: Annotated[
        list[int] | None,
        typer.Option(metavar="SLOT", help=_("This slot's board has bad flash; repeatable.")),
    ] = None,
    seed: Annotated[int, typer.Option(help=_("Seed of radio and random bytes."))] = 1,
    data: Data = None,
) -> None:
    """Plug blank boards into slots; a slot's number and Enter swaps its board for a blank one."""
    from zoneband.flash import board as boards
    from zoneband.sim import keys
    from zoneband.sim.rom import RomFaults
    from zoneband.sim.simulation import Simulation
    from zoneband.sim.tray import Tray as VirtualTray

    kind = boards.find(board)
    folder = data_dir(data) / "tray"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zoneband-tray") as scratch:
        with Simulation(Path(scratch), seed, int(time.time())) as sim:
            made = VirtualTray(folder, sim, kind)
            image = made.make_image()
            keys.give(folder / "data")
            sim.run_on()
            for slot in range(1, count + 1):
                faults = RomFaults(damage_block=5) if slot in (faulty or []) else None
                made.put(slot, made.add(faults=faults))
            print(_("{n} blank boards are plugged in. In another terminal:").format(n=count))
            print(f"  export ZONEBAND_DATA={folder / 'data'} ZONEBAND_PORTS={made.ports}")
            print("  ./zoneband authority init")
            print(f"  ./zoneband boards pin {kind.name} {image}")
            print(f"  ./flash.sh --tray --board {kind.name}")
            print(_("A slot's number and Enter: the next blank board. Ctrl-C: end."), flush=True)
            try:
                _swap(made)
            except KeyboardInterrupt:
                return
            finally:
                for slot in made.slots:
                    made.pull(slot)


def _swap(tray: "Tray") -> None:
    while True:
        if not select.select([sys.stdin], [], [], 1)[0]:
            continue
        line = sys.stdin.readline()
        if not line:
            time.sleep(1)  # no terminal: until the signal
            continue
        slot = int(line) if line.strip().isdigit() else 0
        if slot not in tray.slots:
            print(_("There is no slot {slot}.").format(slot=line.strip()))
            continue
        tray.pull(slot)
        time.sleep(0.5)
        tray.put(slot, tray.add())
        print(_("A blank board is in slot {slot}.").format(slot=slot), flush=True)
