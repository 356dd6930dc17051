"""Layout of the band log: a ring of 4 KiB flash sectors, each 128 slots of 32 bytes.

Slot 0 is the sector's header. A key group fills three slots, one right behind the header
and one more after each power loss. All other slots hold one record: 24 bytes and an 8-byte
tag. A slot is programmed once and never again. Numbers are little-endian.

Format 0 leaves the key group's sealed secret at zeros, and a tag is a CRC-32 and four zero
bytes. Format 1 seals the secret, hides the records and makes the tag an HMAC: wire/sealing.py.
"""

import binascii
import struct

from .compat import const

SECTOR_BYTES = const(4096)
SLOT_BYTES = const(32)
SLOTS = const(128)
RECORD_BYTES = const(24)
TAG_BYTES = const(8)
GROUP_SLOTS = const(3)
FIRST_RECORD = const(4)
RECORDS_PER_SECTOR = const(124)

FORMAT_OPEN = const(0)
FORMAT_SEALED = const(1)

_HEADER_MAGIC = b"ZBLG"
_GROUP_MAGIC = b"ZBKG"
ERASED = b"\xff" * 32
_ZERO4 = b"\x00\x00\x00\x00"


def _crc(data: bytes) -> int:
    return binascii.crc32(data) & 0xFFFFFFFF


def cursor(sector: int, slot: int) -> int:
    """Place of a slot in the life of a log; sector numbers are never used twice."""
    return sector * SLOTS + slot


def pack_header(fmt: int, key_id: int, log_id: int, sector: int, lived: int = 0) -> bytes:
    """Header slot (32 bytes); key_id names the authority key of a sealed log, lived is the band's
    run time over all its boots, in quarter hours, as the sector was begun."""
    body = struct.pack("<4sBBHIII8s", _HEADER_MAGIC, fmt, key_id, 0, log_id, sector, lived, b"")
    return body + struct.pack("<I", _crc(body))


def unpack_header(slot: bytes) -> "tuple[int, int, int, int, int] | None":
    """(format, key_id, log_id, sector, lived), or None when it is no whole header."""
    if bytes(slot[:4]) != _HEADER_MAGIC or len(slot) != SLOT_BYTES:
        return None
    if struct.unpack("<I", slot[28:32])[0] != _crc(slot[:28]):
        return None
    _, fmt, key_id, _, log_id, sector, lived, _ = struct.unpack("<4sBBHIII8s", slot[:28])
    return fmt, key_id, log_id, sector, lived


def group_head(boot_id: int, base_s: int) -> bytes:
    """The first 12 bytes of a key group; base_s is the run time that records' times count from."""
    return struct.pack("<4sII", _GROUP_MAGIC, boot_id, base_s)


def pack_group(head: bytes, sealed: bytes) -> bytes:
    """Key group (96 bytes) of its head and the 80 bytes of its sealed secret."""
    body = bytes(head) + bytes(sealed)
    return body + struct.pack("<I", _crc(body))


def unpack_group(group: bytes) -> "tuple[int, int, bytes] | None":
    """(boot_id, base_s, sealed), or None when it is no whole key group."""
    if bytes(group[:4]) != _GROUP_MAGIC or len(group) != GROUP_SLOTS * SLOT_BYTES:
        return None
    if struct.unpack("<I", group[92:96])[0] != _crc(group[:92]):
        return None
    _, boot_id, base_s, sealed = struct.unpack("<4sII80s", group[:92])
    return boot_id, base_s, sealed


def starts_group(slot: bytes) -> bool:
    """Whether a slot may be the first of a key group."""
    return bytes(slot[:4]) == _GROUP_MAGIC


def tag_open(log_id: int, sector: int, slot: int, record: bytes) -> bytes:
    """Format 0 tag (8 bytes): binds a record to its place."""
    return (
        struct.pack("<I", _crc(struct.pack("<IIH", log_id, sector, slot) + bytes(record))) + _ZERO4
    )
