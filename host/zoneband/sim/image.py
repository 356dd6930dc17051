"""A stand-in for a MicroPython image: shape, size and compressibility of a real one, no program.

The real files cannot ship with this project. Bootloader, partition table and program have valid
ESP image headers, so esptool and `zoneband boards pin` treat them as real; a virtual board that
holds them starts the Unix build of MicroPython instead.
"""

import random
import struct
from collections.abc import Iterator

from zoneband.flash import partitions
from zoneband.flash.board import Board

# ESP32_GENERIC of 1.28.0 has 1.76 MB, and esptool's logs of such images show about 0.65 of them
# on the line once compressed.
PROGRAM_BYTES = 1_640_000
_BOOTLOADER_BYTES = 24_000
_WORDS = 1000
_RANDOM_SHARE = 0.3


def _filler(rng: random.Random, size: int) -> bytes:
    # Words of a small vocabulary among random ones compress about as machine code does.
    vocabulary = [rng.randbytes(4) for _n in range(_WORDS)]

    def words() -> Iterator[bytes]:
        for _n in range(size // 4):
            fresh = rng.random() < _RANDOM_SHARE
            yield rng.randbytes(4) if fresh else vocabulary[int(rng.random() ** 3 * _WORDS)]

    return b"".join(words())


def _esp_image(chip_id: int, body: bytes) -> bytes:
    # One segment; ESP-IDF's esp_image_header_t, no hash appended.
    head = struct.pack("<BBBBIB3sHBHH4sB", 0xE9, 1, 2, 0x20, 0x40080000, 0xEE, b"", chip_id, 0, 0,
                       0xFFFF, b"", 0)  # fmt: skip
    data = head + struct.pack("<II", 0x3F400020, len(body)) + body
    checksum = 0xEF
    for byte in body:
        checksum ^= byte
    return data + bytes(15 - len(data) % 16) + bytes((checksum,))


def make(board: Board, size: int = PROGRAM_BYTES, seed: int = 1) -> bytes:
    """An image for a board; size: bytes of its program."""
    rng = random.Random(f"zoneband image {seed} {board.chip}")
    chip = board.about
    version = f"v{board.image.version}".encode()
    description = struct.pack("<IIII32s32s176s", 0xABCD5432, 0, 0, 0, version, b"micropython", b"")
    boot = _esp_image(chip.image_id, _filler(rng, _BOOTLOADER_BYTES))
    program = _esp_image(chip.image_id, description + _filler(rng, size - len(description)))
    stock = [row for row in partitions.layout(board) if row.label in ("nvs", "phy_init", "factory")]
    image = boot.ljust(partitions.TABLE_AT - chip.image_offset, b"\xff")
    image += partitions.pack(stock)
    return image.ljust(partitions.APP_AT - chip.image_offset, b"\xff") + program
