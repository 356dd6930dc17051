"""Reading the records that wire/records.py lays out: on the host; a band never does."""

import struct

from .records import (
    BOOT,
    CHARGE,
    CLOCK,
    DOCK,
    ENCOUNTER,
    HEALTH,
    LOSS,
    NEW_KEY,
    ORDER,
    REFUSAL,
    STATE,
    UPDATE,
)


def _get3(record: bytes, at: int) -> int:
    return record[at] | record[at + 1] << 8 | record[at + 2] << 16


def _check(record: bytes, kind: int) -> None:
    if len(record) != 24 or record[0] != kind:
        raise ValueError("not this record type")


def read_encounter(record: bytes) -> "tuple[bytes, int, int, int, int, int, int, int]":
    """The arguments of `records.encounter`. Raises ValueError for another type."""
    _check(record, ENCOUNTER)
    _, rid, _, dur, count, mean, top, tail = struct.unpack("<B12s3sHHbbH", record)
    return rid, _get3(record, 13), dur, count, mean, top, tail & 0xFFF, tail >> 12


def read_clock(record: bytes) -> "tuple[int, int, int, int, int, int, int, int]":
    """The arguments of `records.clock`. Raises ValueError for another type."""
    _check(record, CLOCK)
    _, _, ms, source, flags, utc, utc_ms, error, was, _ = struct.unpack("<B3sHBBIHHI4s", record)
    return _get3(record, 1), ms, source, flags, utc, utc_ms, error, was


def read_boot(record: bytes) -> "tuple[int, int, int, int, int]":
    """The arguments of `records.boot`. Raises ValueError for another type."""
    _check(record, BOOT)
    _, _, cause, clean, firmware, resets, _ = struct.unpack("<B3sBBIH12s", record)
    return _get3(record, 1), cause, clean, firmware, resets


def read_health(record: bytes) -> "tuple[int, int, int, int, int, int, int, int, int]":
    """The arguments of `records.health`. Raises ValueError for another type."""
    _check(record, HEALTH)
    _, _, a, b, c, d, e, mv, heap, seen = struct.unpack("<B3sHHHHHHII", record)
    return _get3(record, 1), a, b, c, d, e, mv, heap, seen


def read_mark(record: bytes) -> "tuple[int, int, int, int]":
    """The arguments of `records.mark`. Raises ValueError for another type."""
    if len(record) != 24 or record[0] not in (DOCK, STATE, CHARGE, ORDER, REFUSAL, UPDATE):
        raise ValueError("not this record type")
    kind, _, value, number, _ = struct.unpack("<B3sBI15s", record)
    return kind, _get3(record, 1), value, number


def read_loss(record: bytes) -> "tuple[int, int, int, int]":
    """The arguments of `records.loss`. Raises ValueError for another type."""
    _check(record, LOSS)
    _, _, reason, first, end, _ = struct.unpack("<B3sBII11s", record)
    return _get3(record, 1), reason, first, end


def read_new_key(record: bytes) -> "tuple[int, int, int, bytes]":
    """The arguments of `records.new_key`. Raises ValueError for another type."""
    _check(record, NEW_KEY)
    _, _, half, day, key, _ = struct.unpack("<B3sBH16sB", record)
    return _get3(record, 1), half, day, key
