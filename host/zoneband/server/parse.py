"""Slots of a batch to records, each with its place and its run time.

Reads what wire/log.py lays out: header, key groups, tagged records. What does not fit is
counted: torn (right before a key group, where the power went) or bad.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from zoneband.batch import Batch
from zoneband.wire import log, records


class Placed(NamedTuple):
    """One record: where it stands, and the run time its own times count from."""

    sector: int
    slot: int
    boot_id: int
    base_s: int
    record: bytes


@dataclass
class Parsed:
    """What a batch holds; bad and torn: slots by sector."""

    records: list[Placed]
    bad: dict[int, int]
    torn: int = 0


def parse(batch: Batch) -> Parsed:
    """All records of a batch whose tag is right, in order."""
    sectors: dict[int, dict[int, bytes]] = {}
    for cursor, slots in batch.chunks:
        for i in range(0, len(slots), log.SLOT_BYTES):
            at = cursor + i // log.SLOT_BYTES
            place = sectors.setdefault(at // log.SLOTS, {})
            place[at % log.SLOTS] = slots[i : i + log.SLOT_BYTES]
    out = Parsed([], {})
    for number in sorted(sectors):
        _sector(batch.header.log_id, number, sectors[number], out)
    return out


def _sector(log_id: int, number: int, slots: dict[int, bytes], out: Parsed) -> None:
    header = log.unpack_header(slots.get(0, b"\x00" * log.SLOT_BYTES))
    if header is None or header[2:] != (log_id, number) or header[0] != log.FORMAT_OPEN:
        out.bad[number] = out.bad.get(number, 0) + len(slots)
        return
    boot_id = base_s = -1
    pending_bad = 0
    at = 1
    while at < log.SLOTS:
        slot = slots.get(at)
        if slot is None or slot == log.ERASED:
            at += 1
            continue
        record = slot[: log.RECORD_BYTES]
        if boot_id >= 0 and slot[log.RECORD_BYTES :] == log.tag_open(log_id, number, at, record):
            out.records.append(Placed(number, at, boot_id, base_s, record))
        elif found := _group(slots, at):
            # A bad slot right before a key group is where the power went.
            out.torn += pending_bad
            pending_bad = 0
            boot_id, base_s = found[:2]
            at += log.GROUP_SLOTS
            continue
        else:
            _count_bad(out, number, pending_bad)
            pending_bad = 1
            at += 1
            continue
        _count_bad(out, number, pending_bad)
        pending_bad = 0
        at += 1
    _count_bad(out, number, pending_bad)


def _count_bad(out: Parsed, sector: int, count: int) -> None:
    if count:
        out.bad[sector] = out.bad.get(sector, 0) + count


def _group(slots: dict[int, bytes], at: int) -> tuple[int, int, bytes] | None:
    if at + log.GROUP_SLOTS > log.SLOTS or not log.starts_group(slots[at]):
        return None
    parts = [slots.get(at + i, b"") for i in range(log.GROUP_SLOTS)]
    return log.unpack_group(b"".join(parts))


def encounters(
    parsed: Parsed,
) -> Iterator[tuple[Placed, tuple[bytes, int, int, int, int, int, int, int]]]:
    """(place, fields of wire.records.read_encounter) of every encounter."""
    for placed in parsed.records:
        if placed.record[0] == records.ENCOUNTER:
            yield placed, records.read_encounter(placed.record)
