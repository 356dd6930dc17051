"""A batch: the slots of one band's log as one pull brought them, as a station uploads them.

Layout: 8 bytes magic, u32 length of the header, the header as JSON (UTF-8, sorted keys), then
chunks: u32 cursor, u16 count, count * 32 bytes. The name of a batch is the SHA-256 of its bytes.
Numbers are little-endian.
"""

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from zoneband.wire import log

MAGIC = b"ZBBATCH1"
MAX_BYTES = 256 * 1024
_MAX_HEADER = 4096


class NoBatch(ValueError):
    """Bytes that are no batch."""


@dataclass(frozen=True)
class BatchHeader:
    """Where a batch comes from. Times are Unix seconds and milliseconds, UTC.

    The clock pair says that run time `run_s`.`run_ms` of boot `boot_id` was `utc_s`.`utc_ms`
    within `error_ms`; `vouched` is false when the station's own clock was not to be trusted.
    """

    serial: str
    board: str
    firmware: str
    station: str
    log_id: int
    receipted: int  # the band's receipted cursor at the pull: where its next receipt starts
    first: int  # cursor span of the pull that this batch is a part of
    end: int
    boot_id: int
    run_s: int
    run_ms: int
    utc_s: int
    utc_ms: int
    error_ms: int
    vouched: bool
    state: int  # the band's state, records.NEW/ISSUED/RETURNED
    battery_mv: int


@dataclass(frozen=True)
class Batch:
    """A header and its chunks: (cursor of the first slot, whole slots)."""

    header: BatchHeader
    chunks: tuple[tuple[int, bytes], ...]


def pack(header: BatchHeader, chunks: Iterable[tuple[int, bytes]]) -> bytes:
    """Bytes of a batch. Raises ValueError above MAX_BYTES or on a chunk of broken slots."""
    text = _text(header)
    parts = [MAGIC, struct.pack("<I", len(text)), text]
    for cursor, slots in chunks:
        if not slots or len(slots) % log.SLOT_BYTES or len(slots) // log.SLOT_BYTES > 65535:
            raise ValueError("a chunk holds whole slots")
        parts += [struct.pack("<IH", cursor, len(slots) // log.SLOT_BYTES), slots]
    data = b"".join(parts)
    if len(data) > MAX_BYTES:
        raise ValueError("batch too large")
    return data


def _text(header: BatchHeader) -> bytes:
    return json.dumps(asdict(header), sort_keys=True, separators=(",", ":")).encode()


def unpack(data: bytes) -> Batch:
    """The batch in some bytes, which are those that `pack` makes of it: so what is left of one also
    packs. Raises NoBatch, whatever the bytes are."""
    if len(data) > MAX_BYTES or len(data) < 12 or data[:8] != MAGIC:
        raise NoBatch("not a batch")
    (size,) = struct.unpack("<I", data[8:12])
    if size > _MAX_HEADER or 12 + size > len(data):
        raise NoBatch("bad batch header")
    text = data[12 : 12 + size]
    try:
        header = BatchHeader(**json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise NoBatch("bad batch header") from error
    for name, kind in BatchHeader.__annotations__.items():
        value = getattr(header, name)
        if type(value) is not kind or (kind is int and not 0 <= value < 1 << 32):
            raise NoBatch(f"bad batch header: {name}")
        # Half a surrogate is no text.
        if kind is str and ("\0" in value or value.encode(errors="replace").decode() != value):
            raise NoBatch(f"bad batch header: {name}")
    if _text(header) != text:
        raise NoBatch("bad batch header: its form")
    chunks: list[tuple[int, bytes]] = []
    at = 12 + size
    while at < len(data):
        if at + 6 > len(data):
            raise NoBatch("cut batch")
        cursor, count = struct.unpack("<IH", data[at : at + 6])
        at += 6
        end = at + count * log.SLOT_BYTES
        if not count or end > len(data) or cursor + count > 1 << 32:
            raise NoBatch("cut batch")
        chunks.append((cursor, data[at:end]))
        at = end
    return Batch(header, tuple(chunks))


def name(data: bytes) -> str:
    """SHA-256 of a batch in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
