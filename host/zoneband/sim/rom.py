"""A virtual chip in download mode: Espressif's boot ROM and, once uploaded, esptool's stub.

Spoken to by the real esptool. Differs from hardware: it runs no code, so whatever the host uploads
and starts is taken for the stub; everything is done at once, and `erased_sectors` and
`programmed_bytes` say what would have taken time; the stub never erases ahead while it waits; and
the ROM keeps to 115200 baud, where a real one finds out the host's speed. What a ROM answers to a
command that it does not know, and where a stub that is told to reset ends up, is what esptool is
written to expect, not seen on a chip.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from zoneband.sim import rom_flash
from zoneband.sim.rom_chips import CHIPS, Registers
from zoneband.sim.rom_flash import SECTOR, Download, Refused, RomFlash

ROM_BAUD = 115200
_ROM_FLASH_BYTES = 2 << 20  # what a ROM takes the flash for until it is told
_END = b"\xc0"
_BAD_ESCAPE = re.compile(rb"\xdb(?![\xdc\xdd])")
_MAX_FRAME = 2 * (8 + 0xFFFF)  # all of it escaped
_MAX_PACKET = 4096
_SLOW_READ = 64
_SYNC = b"\x07\x07\x12\x20" + 32 * b"\x55"
_SYNC_VALUE = 0x20120707  # not 0: by that esptool tells a ROM from a stub
_REPEATS = 8  # answers to SYNC, and to what a ROM does not know
_SECURITY = struct.Struct("<IB7BII")  # flags, crypt count, key purposes, chip, version


class _Op(IntEnum):
    FLASH_BEGIN = 0x02
    FLASH_DATA = 0x03
    FLASH_END = 0x04
    MEM_BEGIN = 0x05
    MEM_END = 0x06
    MEM_DATA = 0x07
    SYNC = 0x08
    WRITE_REG = 0x09
    READ_REG = 0x0A
    SPI_SET_PARAMS = 0x0B
    SPI_ATTACH = 0x0D
    READ_FLASH_SLOW = 0x0E
    CHANGE_BAUDRATE = 0x0F
    FLASH_DEFL_BEGIN = 0x10
    FLASH_DEFL_DATA = 0x11
    FLASH_DEFL_END = 0x12
    SPI_FLASH_MD5 = 0x13
    GET_SECURITY_INFO = 0x14
    ERASE_FLASH = 0xD0
    ERASE_REGION = 0xD1
    READ_FLASH = 0xD2
    RUN_USER_CODE = 0xD3


_OPS = frozenset(_Op)


@dataclass
class RomFaults:
    """What goes wrong. Flash data blocks are counted from 1, over all resets."""

    damage_block: int | None = None  # programmed with a bit flipped
    mute_after_block: int | None = None  # silent after that block's answer, until a reset
    mute: bool = False  # never answers


@dataclass
class _Reading:
    """The stub's READ_FLASH: one packet is out and waits to be acknowledged."""

    start: int
    at: int
    end: int
    packet: int


class _Slip:
    """Frames out of a stream of bytes; whatever is no frame is passed over."""

    def __init__(self) -> None:
        self._frame: bytearray | None = None

    @property
    def idle(self) -> bool:
        """Whether no frame is open."""
        return self._frame is None

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that end in this data."""
        frames: list[bytes] = []
        *ended, rest = data.split(_END)
        for piece in ended:
            if self._frame is None:
                self._frame = bytearray()
                continue
            self._frame += piece
            if self._frame:  # else an end that was taken for a start, after noise: it starts now
                if not _BAD_ESCAPE.search(self._frame):
                    body = self._frame.replace(b"\xdb\xdc", _END).replace(b"\xdb\xdd", b"\xdb")
                    frames.append(bytes(body))
                self._frame = None
        if self._frame is not None:
            self._frame += rest
            if len(self._frame) > _MAX_FRAME:
                self._frame = None
        return frames


def _framed(body: bytes) -> bytes:
    return _END + body.replace(b"\xdb", b"\xdb\xdd").replace(_END, b"\xdb\xdc") + _END


def _checksum(data: bytes) -> int:
    """All bytes xored; folded in halves, as a loop over 16 KiB would keep the simulation up."""
    state, size = int.from_bytes(data, "little"), len(data)
    while size > 1:
        size = (size + 1) // 2
        state = state >> 8 * size ^ state & (1 << 8 * size) - 1
    return state ^ 0xEF


def _words(data: bytes, *counts: int) -> tuple[int, ...]:
    """The command's arguments, of which there must be one of these numbers."""
    if len(data) not in [4 * count for count in counts]:
        raise Refused(rom_flash.BAD_LENGTH)
    return struct.unpack(f"<{len(data) // 4}I", data)


def _contents(data: bytes, checksum: int) -> bytes:
    """What a data command carries after its four words."""
    if len(data) < 16:
        raise Refused(rom_flash.TOO_LITTLE)
    contents = data[16:]
    if struct.unpack_from("<I", data)[0] != len(contents):
        raise Refused(rom_flash.TOO_MUCH)
    if _checksum(contents) != checksum:
        raise Refused(rom_flash.BAD_CHECKSUM)
    return contents


class BootRom:
    """One chip. `feed` takes what the host's line brought and gives what goes back."""

    def __init__(
        self,
        chip: str,
        flash: Path,
        flash_bytes: int,
        mac: bytes,
        faults: RomFaults | None = None,
    ) -> None:
        self.baud = ROM_BAUD
        self.in_stub = False
        self.wants_boot = False  # the host asked to leave download mode; deaf until a reset
        self.faults = faults or RomFaults()
        self._chip = CHIPS[chip]
        self._flash = RomFlash(flash, flash_bytes)
        self._registers = Registers(self._chip, flash_bytes, mac, lambda: self.baud)
        self._blocks = 0
        self._out: list[tuple[bytes, int]] = []
        self.reset()

    @property
    def erased_sectors(self) -> int:
        """Of 4 KiB, since the start."""
        return self._flash.erased_sectors

    @property
    def programmed_bytes(self) -> int:
        """Since the start."""
        return self._flash.programmed_bytes

    def reset(self) -> None:
        """Back to the ROM."""
        self.baud = ROM_BAUD
        self.in_stub = self.wants_boot = False
        self._registers.reset()
        self._flash.known = _ROM_FLASH_BYTES
        self._slip = _Slip()
        self._deaf = False
        self._download: Download | None = None
        self._reading: _Reading | None = None
        self._loading: tuple[int, int] | None = None  # where the next block goes, where all ends
        self._loaded: list[tuple[int, int]] = []
        self._late: Refused | None = None  # what went wrong after its command was answered

    @property
    def between_frames(self) -> bool:
        """Whether the next byte can only be a frame's begin, or noise."""
        return self._slip.idle

    def feed(self, data: bytes) -> list[tuple[bytes, int]]:
        """Bytes from the host in; frames to send back, each with the baud to send it at."""
        self._out = []
        for frame in self._slip.feed(data):
            if self.faults.mute or self._deaf or self.wants_boot:
                break
            if self._reading is not None:
                self._read_on(self._reading, frame)
            else:
                self._command(frame)
        return self._out

    # --- commands and answers ---------------------------------------------------------------

    def _send(self, body: bytes) -> None:
        self._out.append((_framed(body), self.baud))

    def _answer(self, op: int, value: int = 0, data: bytes = b"", status: int = 0) -> None:
        tail = struct.pack(">H", status) + (b"" if self.in_stub else b"\x00\x00")
        self._send(struct.pack("<BBHI", 1, op, len(data) + len(tail), value) + data + tail)

    def _refuse(self, op: int, refused: Refused) -> None:
        status = refused.codes[1 if self.in_stub else 0]
        if refused.codes == rom_flash.UNKNOWN and not self.in_stub:
            for _ in range(_REPEATS):
                self._answer(0, status=status)
        else:
            self._answer(op, status=status)

    def _command(self, frame: bytes) -> None:
        if len(frame) < 8:
            return
        direction, op, size, checksum = struct.unpack_from("<BBHI", frame)
        if direction != 0:
            return
        if self._late is not None:  # told in place of this command's own answer
            self._refuse(op, self._late)
            self._late = None
            return
        then: Callable[[], None] | None = None
        try:
            if size != len(frame) - 8:
                raise Refused(rom_flash.BAD_LENGTH)
            then = self._run(op, frame[8:], checksum)
        except Refused as refused:
            self._refuse(op, refused)
        if then is not None:
            try:
                then()
            except Refused as refused:
                self._late = refused

    def _run(self, op: int, data: bytes, checksum: int) -> Callable[[], None] | None:
        """Do a command and answer it; what is to be done after the answer went out."""
        match op:
            case _Op.SYNC:
                if data != _SYNC:
                    raise Refused(rom_flash.BAD_LENGTH)
                for _ in range(_REPEATS):
                    self._answer(op, 0 if self.in_stub else _SYNC_VALUE)
            case _Op.READ_REG:
                (address,) = _words(data, 1)
                self._answer(op, self._registers.read(address))
            case _Op.WRITE_REG:
                self._write_reg(data)
                self._answer(op)
            case _Op.GET_SECURITY_INFO:
                self._answer(op, data=self._security(data))
            case _Op.CHANGE_BAUDRATE:
                baud, _ = _words(data, 2)
                if baud == 0:
                    raise Refused(rom_flash.BAD_LENGTH)
                self._answer(op)
                self.baud = baud
            case _Op.SPI_ATTACH:
                _words(data, 1 if self.in_stub else 2)
                self._registers.attached = True
                self._answer(op)
            case _Op.SPI_SET_PARAMS:
                self._flash.known = _words(data, 6)[1]
                self._answer(op)
            case _Op.MEM_BEGIN | _Op.MEM_DATA | _Op.MEM_END:
                return self._run_ram(op, data, checksum)
            case _Op.RUN_USER_CODE if self.in_stub:
                self.wants_boot = True  # without an answer
            case _:
                if not self._registers.attached:
                    raise Refused(rom_flash.FAILED if op in _OPS else rom_flash.UNKNOWN)
                return self._run_flash(op, data, checksum)
        return None

    def _write_reg(self, data: bytes) -> None:
        if not data or len(data) % 16:
            raise Refused(rom_flash.TOO_LITTLE)
        for address, value, mask, _delay in struct.iter_unpack("<4I", data):
            self._registers.write(address, value, mask)
        self.wants_boot = self._registers.watchdog

    def _security(self, data: bytes) -> bytes:
        if not self._chip.security:
            raise Refused(rom_flash.NOT_IMPLEMENTED if self.in_stub else rom_flash.UNKNOWN)
        if data:
            raise Refused(rom_flash.BAD_LENGTH)
        return _SECURITY.pack(0, 0, *(0,) * 6, 12, self._chip.chip_id, 0)

    # --- RAM --------------------------------------------------------------------------------

    def _run_ram(self, op: int, data: bytes, checksum: int) -> Callable[[], None] | None:
        if op == _Op.MEM_BEGIN:
            size, _blocks, _block, at = _words(data, 4)
            if not any(start <= at and at + size <= end for start, end in self._chip.ram):
                raise Refused(rom_flash.FAILED)
            self._loading = (at, at + size)
        elif self._loading is None:
            raise Refused(rom_flash.NOT_BEGUN)
        elif op == _Op.MEM_DATA:
            contents = _contents(data, checksum)
            at, end = self._loading
            if at + len(contents) > end:
                raise Refused(rom_flash.TOO_MUCH)
            self._loading = (at + len(contents), end)
            self._loaded = [*self._loaded[-7:], (at, at + len(contents))]
        else:
            stay, entry = _words(data, 2)
            self._loading = None
            self._answer(op)
            return None if stay else lambda: self._start(entry)
        self._answer(op)
        return None

    def _start(self, entry: int) -> None:
        if not any(start <= entry < end for start, end in self._loaded):
            self._deaf = True  # it runs into nowhere
            return
        self.in_stub = True
        self._registers.attached = True
        self._flash.known = self._flash.size
        self._loaded = []
        self._send(b"OHAI")

    # --- flash ------------------------------------------------------------------------------

    def _run_flash(self, op: int, data: bytes, checksum: int) -> Callable[[], None] | None:
        match op:
            case _Op.FLASH_BEGIN | _Op.FLASH_DEFL_BEGIN:
                self._begin(data, op == _Op.FLASH_DEFL_BEGIN)
            case _Op.FLASH_DATA | _Op.FLASH_DEFL_DATA:
                return self._take(op, data, checksum)
            case _Op.FLASH_END | _Op.FLASH_DEFL_END:
                return self._end(op, data)
            case _Op.SPI_FLASH_MD5:
                at, size, _, _ = _words(data, 4)
                digest = self._flash.md5(at, size)
                self._answer(op, data=digest if self.in_stub else digest.hex().encode())
                return None
            case _Op.READ_FLASH_SLOW if not self.in_stub:
                at, size = _words(data, 2)
                if size > _SLOW_READ:
                    raise Refused(rom_flash.READ_TOO_LONG)
                self._answer(op, data=self._flash.read(at, size).ljust(_SLOW_READ, b"\x00"))
                return None
            case _Op.READ_FLASH if self.in_stub:
                at, size, packet, _in_flight = _words(data, 4)
                self._answer(op)
                return lambda: self._read(at, size, packet)
            case _Op.ERASE_FLASH if self.in_stub:
                self._flash.erase(0, min(self._flash.size, self._flash.known))
            case _Op.ERASE_REGION if self.in_stub:
                at, size = _words(data, 2)
                if at % SECTOR or size % SECTOR:
                    raise Refused(rom_flash.BAD_LENGTH)
                self._flash.erase(at, size)
            case _:
                raise Refused(rom_flash.UNKNOWN)
        self._answer(op)
        return None

    def _begin(self, data: bytes, inflate: bool) -> None:
        # A fifth word asks for encryption; the ESP32's own ROM does not know it.
        lengths = (4, 5) if self.in_stub else (5,) if self._chip.security else (4,)
        size, blocks, block, at = _words(data, *lengths)[:4]
        if not self.in_stub and not inflate:
            size = max(size, blocks * block)  # the last block comes padded
        self._download = Download(self._flash, size, at, inflate, self.in_stub)

    def _take(self, op: int, data: bytes, checksum: int) -> Callable[[], None] | None:
        download = self._download
        if download is None:
            raise Refused(rom_flash.NOT_BEGUN)
        contents = _contents(data, checksum)
        self._blocks += 1
        if self._blocks == self.faults.damage_block:
            self._flash.damage = True
        self._deaf = self._blocks == self.faults.mute_after_block
        if not self.in_stub:
            download.take(contents)
            self._answer(op)
            return None
        self._answer(op)  # the stub programs while the next block comes
        return lambda: download.take(contents)

    def _end(self, op: int, data: bytes) -> Callable[[], None] | None:
        (stay,) = _words(data, 1)
        if self._download is None:
            raise Refused(rom_flash.NOT_BEGUN)
        if self.in_stub and self._download.left:
            raise Refused(rom_flash.BAD_LENGTH)
        self._download = None
        self._answer(op)
        if not self.in_stub:
            self.wants_boot = True  # a ROM leaves download mode whatever the flag
        elif not stay:
            return self.reset  # the pins hold: a reset without power loss ends in the ROM again
        return None

    def _read(self, at: int, size: int, packet: int) -> None:
        if not 0 < packet <= _MAX_PACKET:
            raise Refused(rom_flash.BAD_LENGTH)
        self._send_packet(_Reading(at, at, at + size, packet))

    def _send_packet(self, reading: _Reading) -> None:
        self._reading = None
        size = min(reading.packet, reading.end - reading.at)
        if size <= 0:
            self._send(self._flash.md5(reading.start, reading.at - reading.start))
            return
        data = self._flash.read(reading.at, size)
        reading.at += size
        self._reading = reading
        self._send(data)

    def _read_on(self, reading: _Reading, frame: bytes) -> None:
        if len(frame) != 4:  # no acknowledgement: the stub gives up reading
            reading.end = reading.at
        try:
            self._send_packet(reading)
        except Refused as refused:
            self._late = refused
