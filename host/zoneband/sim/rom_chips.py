"""What a virtual boot ROM knows of each chip: registers, eFuse words, its SPI flash's answers.

The eFuse words are those of an ESP32-D0WD-V3 v3.1, an ESP32-S3 v0.2 and an ESP32-C3 v0.4, all with
a Winbond flash. Differs from hardware: any other address reads as what was last written there, 0
at first; of the flash's own commands only those that identify it do anything.
"""

from collections.abc import Callable
from dataclasses import dataclass

CRYSTAL_HZ = 40_000_000
_MAGIC = 0x40001000  # in every chip's mask ROM: where esptool looks when it knows nothing yet
_SPI_START = 1 << 18
_SFDP = b"SFDP\x06\x01\x00\xff".ljust(16, b"\x00") + b"\xef"
_WATCHDOG_LOCK = 0x18  # from the watchdog's first register to the one that locks it
_C3_FLASH_CAP = {4 << 20: 1, 2 << 20: 2, 1 << 20: 3, 8 << 20: 4}


@dataclass(frozen=True)
class Chip:
    """One chip. efuse: the block 0 words of the ESP32 (from word 3), else the block 1 words from
    word 3; watchdog: the register whose top bit starts the RTC watchdog; ram: what an upload may
    fill; security: whether GET_SECURITY_INFO exists."""

    chip_id: int
    magic: int
    uart: int
    uart_date: tuple[int, int]
    spi: int
    spi_usr2: int
    spi_miso_len: int
    spi_w0: int
    mac_at: int
    efuse_at: int
    efuse: tuple[int, ...]
    ram: tuple[tuple[int, int], ...]
    more: tuple[tuple[int, int], ...] = ()
    watchdog: int | None = None
    security: bool = True
    address_msb: bool = False


CHIPS = {
    "esp32": Chip(
        chip_id=0,
        magic=0x00F01D83,
        uart=0x3FF40000,
        uart_date=(0x60000078, 0x15122500),
        spi=0x3FF42000,
        spi_usr2=0x24,
        spi_miso_len=0x2C,
        spi_w0=0x80,
        mac_at=0x3FF5A004,
        efuse_at=0x3FF5A00C,
        # Package, rated 240 MHz and revision; the 8 MHz clock's tuning and Vref; revision v3.1
        efuse=(0xA200, 0x0532, 0x0110_0000, 0),
        ram=((0x3FFAE000, 0x4000_0000), (0x4007_0000, 0x400C_2000)),
        # The third bit of the revision; the crystal's calibration: times the tuning, 40 MHz
        more=((0x3FF6607C, 0x8000_0000), (0x3FF5F06C, 2048 << 7)),
        security=False,
        address_msb=True,
    ),
    "esp32s3": Chip(
        chip_id=9,
        magic=0x9,
        uart=0x60000000,
        uart_date=(0x60000080, 0x02101010),
        spi=0x60002000,
        spi_usr2=0x20,
        spi_miso_len=0x28,
        spi_w0=0x58,
        mac_at=0x60007044,
        efuse_at=0x60007050,
        efuse=(2 << 18, 0, 0),
        ram=((0x3FC8_8000, 0x3FD0_0000), (0x4037_0000, 0x403E_0000)),
        watchdog=0x60008098,
    ),
    "esp32c3": Chip(
        chip_id=5,
        magic=0x1B31506F,
        uart=0x60000000,
        uart_date=(0x6000007C, 0x02008270),
        spi=0x60002000,
        spi_usr2=0x20,
        spi_miso_len=0x28,
        spi_w0=0x58,
        mac_at=0x60008844,
        efuse_at=0x60008850,
        efuse=(4 << 18, 1, 0),
        ram=((0x3FC8_0000, 0x3FCE_0000), (0x4037_C000, 0x403E_0000)),
        watchdog=0x60008090,
    ),
}


class Registers:
    """The chip's address space as READ_REG and WRITE_REG see it. All values are 32 bit."""

    def __init__(self, chip: Chip, flash_bytes: int, mac: bytes, baud: Callable[[], int]) -> None:
        self.attached = False  # the flash's pins belong to the SPI
        self.watchdog = False  # the host set it off: a reset follows
        self._chip = chip
        self._capacity = flash_bytes.bit_length() - 1
        self._baud = baud
        self._written: dict[int, int] = {}
        self._fixed = {_MAGIC: chip.magic, chip.uart_date[0]: chip.uart_date[1], **dict(chip.more)}
        self._fixed[chip.mac_at] = int.from_bytes(mac[2:], "big")
        self._fixed[chip.mac_at + 4] = int.from_bytes(mac[:2], "big")
        for n, word in enumerate(chip.efuse):
            self._fixed[chip.efuse_at + 4 * n] = word
        if chip.chip_id == CHIPS["esp32c3"].chip_id:
            self._fixed[chip.efuse_at] |= _C3_FLASH_CAP.get(flash_bytes, 0) << 27

    def reset(self) -> None:
        """As after power on."""
        self.attached = self.watchdog = False
        self._written.clear()

    def read(self, address: int) -> int:
        """One word."""
        if address == self._chip.uart + 0x14:  # the divider, from which esptool gets the crystal
            return CRYSTAL_HZ // self._baud()
        return self._fixed.get(address, self._written.get(address, 0))

    def write(self, address: int, value: int, mask: int) -> None:
        """One word, its masked bits."""
        value = (value & mask) | (self.read(address) & ~mask & 0xFFFFFFFF)
        if address == self._chip.spi and value & _SPI_START:
            self._written[self._chip.spi + self._chip.spi_w0] = self._spi()
            value &= ~_SPI_START  # done at once
        self._written[address] = value
        dog = self._chip.watchdog
        if dog is not None and address == dog + _WATCHDOG_LOCK and value == 0:
            # Not before: the host waits for the answer to this write.
            self.watchdog = self.read(dog) >> 31 == 1

    def _spi(self) -> int:
        """What the flash answers to the command that the SPI's registers hold."""
        if not self.attached:
            return 0
        spi = self._chip.spi
        command = self.read(spi + self._chip.spi_usr2) & 0xFF
        address = self.read(spi + 4) >> (8 if self._chip.address_msb else 0)
        if command == 0x9F:  # RDID
            answer = 0x40EF | self._capacity << 16
        elif command == 0x5A:  # SFDP
            answer = int.from_bytes(_SFDP[address : address + 4].ljust(4, b"\xff"), "little")
        else:
            return 0
        bits = self.read(spi + self._chip.spi_miso_len) % 32 + 1
        return answer & ((1 << bits) - 1)
