"""A tray of virtual boards, each in a slot whose port keeps its name when boards change.

The folder `ports` holds a link a plugged slot, as /dev/serial/by-path does; ZONEBAND_PORTS names
it to `flash` and `dock`.
"""

import itertools
import secrets
from pathlib import Path

from zoneband.flash.board import Board
from zoneband.sim import image
from zoneband.sim.rom import RomFaults
from zoneband.sim.simulation import Hardware, Simulation, VirtualBoard


def hardware_of(board: Board) -> Hardware:
    """What a board's file says is soldered on."""
    chips = [(part.chip, part.address) for part in (board.rtc, board.pmu) if part]
    return Hardware(
        board.chip,
        board.flash_kib,
        ",".join(f"{name}:{address}" for name, address in chips),
        board.battery.fitted,
    )


class Tray:
    """Boards of one kind in slots; all of it below one directory."""

    def __init__(self, directory: Path, sim: Simulation, board: Board) -> None:
        self.directory = directory
        self.ports = directory / "ports"
        self.ports.mkdir(parents=True, exist_ok=True)
        for old in self.ports.iterdir():
            old.unlink()
        self.boards: list[VirtualBoard] = []
        self._names = itertools.count(1)
        self.image = directory / board.image.file
        self._sim = sim
        self._board = board
        self._in: dict[int, VirtualBoard] = {}

    def make_image(self, size: int = image.PROGRAM_BYTES) -> Path:
        """Write the stand-in for the board's MicroPython image; its path."""
        self.image.write_bytes(image.make(self._board, size))
        return self.image

    def add(
        self, hardware: Hardware | None = None, faults: RomFaults | None = None
    ) -> VirtualBoard:
        """A blank board in the box, in no slot."""
        name = f"board-{next(self._names)}"  # slots may be filled from several threads
        made = self._sim.add_board(name, hardware or hardware_of(self._board), faults)
        self.boards.append(made)
        return made

    def put(self, slot: int, board: VirtualBoard) -> Path:
        """Plug a board into a slot (from 1); the slot's port."""
        link = self.ports / f"slot-{slot}"
        port = self._sim.plug(board)
        self._in[slot] = board
        fresh = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
        fresh.symlink_to(port)
        fresh.rename(link)
        return link

    def pull(self, slot: int) -> VirtualBoard:
        """Take the board out of a slot."""
        board = self._in.pop(slot)
        (self.ports / f"slot-{slot}").unlink()
        self._sim.unplug(board)
        return board

    @property
    def slots(self) -> dict[int, VirtualBoard]:
        """What is plugged in where."""
        return dict(self._in)
