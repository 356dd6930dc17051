"""The partition table: what lies where in a band's flash.

Stock MicroPython's nvs, phy_init and program, then the ID keys, a scratch sector for the
self-test, the band log in all that is left, and the file system at the end. `vfs` must be listed:
MicroPython makes one up behind the last partition otherwise. Binary form: ESP-IDF's, entries of 32
bytes and an MD5 row.
"""

import hashlib
import struct
from dataclasses import dataclass

from zoneband.flash.board import Board

TABLE_AT = 0x8000
TABLE_BYTES = 0xC00
APP_AT = 0x10000
_APP, _DATA = 0, 1


@dataclass(frozen=True)
class Partition:
    """One row; offset and size in bytes."""

    label: str
    kind: int
    subtype: int
    offset: int
    size: int


def layout(board: Board) -> list[Partition]:
    """All partitions of a board, in the order of their places."""
    app, vfs = board.layout.app * 1024, board.layout.vfs * 1024
    keys_at = APP_AT + app
    log_at = keys_at + 0x3000
    vfs_at = board.flash_kib * 1024 - vfs
    return [
        Partition("nvs", _DATA, 0x02, 0x9000, 0x6000),
        Partition("phy_init", _DATA, 0x01, 0xF000, 0x1000),
        Partition("factory", _APP, 0x00, APP_AT, app),
        Partition("bandkeys", _DATA, 0x41, keys_at, 0x2000),
        Partition("scratch", _DATA, 0x42, keys_at + 0x2000, 0x1000),
        Partition("bandlog", _DATA, 0x40, log_at, vfs_at - log_at),
        Partition("vfs", _DATA, 0x81, vfs_at, vfs),
    ]


def find(rows: list[Partition], label: str) -> Partition:
    """The row of a label."""
    return next(row for row in rows if row.label == label)


def pack(rows: list[Partition]) -> bytes:
    """The table as it goes to flash at TABLE_AT."""
    table = b"".join(
        struct.pack(
            "<2sBBLL16sL", b"\xaaP", row.kind, row.subtype, row.offset, row.size,
            row.label.encode(), 0,
        )
        for row in rows
    )  # fmt: skip
    table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()
    return table.ljust(TABLE_BYTES, b"\xff")


def unpack(table: bytes) -> list[Partition]:
    """The rows of a table. Raises ValueError when it is none, or damaged."""
    rows: list[Partition] = []
    for at in range(0, len(table) - 31, 32):
        entry = table[at : at + 32]
        if entry[:2] == b"\xeb\xeb":
            if entry[16:] != hashlib.md5(table[:at]).digest():
                raise ValueError("damaged partition table")
            return rows
        magic, kind, subtype, offset, size, label, _ = struct.unpack("<2sBBLL16sL", entry)
        if magic != b"\xaaP":
            break
        rows.append(Partition(label.rstrip(b"\x00").decode("ascii"), kind, subtype, offset, size))
    raise ValueError("no partition table")
