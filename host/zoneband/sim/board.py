"""A virtual board: a chip whose flash the real esptool writes, and that then boots as a band.

Its flash is one file, which boot ROM and firmware share. Blank or torn, the chip says so over and
over, as the real ROM does. Differs from hardware: a pty has no control lines, so esptool's SYNC
stands for the DTR/RTS dance into download mode, and closing the port for the reset that ends it.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from zoneband.flash.chips import CHIPS
from zoneband.sim import firmware
from zoneband.sim.band import ROM_US, VirtualBand
from zoneband.sim.rom import BootRom, RomFaults

_SYNC = b"\xc0\x00\x08\x24\x00"
_TABLE = 0x8000
_APP = 0x10000
_TABLE_BYTES = 0xC00


@dataclass(frozen=True)
class Hardware:
    """What is soldered on: chip and flash size, chips on the I2C bus as STAND_IN_I2C names them,
    and whether a battery keeps it going without the cable."""

    chip: str = "esp32"
    flash_kib: int = 4096
    i2c: str = ""
    battery: bool = False


class VirtualBoard(VirtualBand):
    """A board in a virtual tray. All calls come from the simulation's thread."""

    def __init__(
        self,
        index: int,
        name: str,
        directory: Path,
        air_path: Path,
        seed: int,
        hardware: Hardware,
        faults: RomFaults | None = None,
    ) -> None:
        self.hardware = hardware
        self.flash = directory / "flash.bin"
        self.mac = (
            bytes((0x24, 0x0A, 0xC4)) + hashlib.sha256(f"{seed} {name}".encode()).digest()[:3]
        )
        directory.mkdir(parents=True, exist_ok=True)
        size = hardware.flash_kib * 1024
        self.rom = BootRom(hardware.chip, self.flash, size, self.mac, faults)
        self.downloading = False
        self._let_go = False  # another program has the port by now
        self._tail = b""
        super().__init__(index, name, directory, air_path, seed)
        self.lasts = hardware.battery
        self.deaf_s = ROM_US / 1e6

    def _install(self) -> None:
        self.root = self.directory  # the VM's own files are in flash

    def environment(self, now_us: int, cause: int) -> dict[str, str]:
        """What the stand-ins read; this computer's files are below /host there."""
        return super().environment(now_us, cause) | {
            "MICROPYPATH": f"{firmware.stand_ins()}:.frozen",
            "STAND_IN_DIR": f"/host{self.directory.resolve()}",
            "STAND_IN_FLASH": f"/host{self.flash.resolve()}",
            "STAND_IN_VM": str(firmware.stand_ins().resolve()),
            "STAND_IN_UART": f"/host{self.cable.uart.path}",
            "STAND_IN_I2C": self.hardware.i2c,
        }

    def will_boot(self) -> bytes:
        """b"" when bootloader, table and program are whole enough to start."""
        with self.flash.open("rb") as f:
            f.seek(CHIPS[self.hardware.chip].image_offset)
            if f.read(1) != b"\xe9":
                return b"invalid header: 0xffffffff\r\n" * 3
            f.seek(_TABLE)
            table = f.read(_TABLE_BYTES)
            end = table.find(b"\xeb\xeb")
            if end < 0 or hashlib.md5(table[:end]).digest() != table[end + 16 : end + 32]:
                return b"E (48) boot: Failed to verify partition table\r\n"
            f.seek(_APP)
            if f.read(1) != b"\xe9":
                return b"E (120) boot: Factory app partition is not bootable\r\n"
        return b""

    def from_host(self) -> bool:
        """Carry what the host sent, to the boot ROM while it has the line."""
        if not self.downloading:
            return super().from_host()
        if not self.cable.host_is_open():
            return False
        data = self.cable.from_host()
        if data and self._another_program(data):
            self._let_go = True
        elif data:
            self._to_rom(data)
        return bool(data)

    def _another_program(self, data: bytes) -> bool:
        # The port may be closed and opened again between two looks. Esptool sends nothing but
        # frames; and at no other speed than the chip's.
        if self.rom.baud != self.cable.host_baud():
            return True
        return self.rom.between_frames and b"\xc0" not in data

    def heard(self, data: bytes) -> bool:
        """Whether the host asks for download mode with these bytes."""
        window = self._tail + data
        self._tail = window[-len(_SYNC) + 1 :]
        return _SYNC in window

    def download(self, data: bytes) -> None:
        """Into download mode, as EN and GPIO0 bring it about; data: what the host sent for it."""
        self.rom.reset()
        self.downloading = True
        self._tail = b""
        self._to_rom(data)

    def _to_rom(self, data: bytes) -> None:
        for frame, baud in self.rom.feed(data):
            self.cable.answer(frame, baud)
        self.cable.download(self.rom.baud)

    def leaves_download(self) -> bool:
        """Whether the port was closed or the host asked for a reset; the mode is then over."""
        there = self.cable.host_is_open() and not self._let_go
        if not self.downloading or (there and not self.rom.wants_boot):
            return False
        self.downloading = self._let_go = False
        self.cable.download(0)
        return True

    def restore(self, image: bytes) -> None:
        """Put these bytes into the flash, as if they had been there all along."""
        fd = os.open(self.flash, os.O_WRONLY)
        with os.fdopen(fd, "wb") as f:
            f.write(image)
