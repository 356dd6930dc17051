"""What an enrolment says of a band."""

import re
from dataclasses import dataclass
from typing import Any

from zoneband import serials
from zoneband.server import chains, facts, groups
from zoneband.wire import log


@dataclass(frozen=True)
class Enrolment:
    """A band's keys (32 bytes each); base_day counts from 1970; role: "band" or "venue". The dock
    key is made of the key of a group's generation. log_format: the lowest that the band writes
    (zoneband.wire.log)."""

    serial: str
    board: str
    role: str
    base_day: int
    base_key: bytes
    dock_key: bytes
    receipt_key: bytes
    group_number: int = 1
    group_generation: int = 1
    log_format: int = log.FORMAT_OPEN


def read(opened: dict[str, Any], today: int) -> Enrolment:
    """Of an opened sealed record; today: the UTC day. Raises ValueError."""
    text, number = facts.text, facts.number
    who = text(opened, "serial"), text(opened, "board"), text(opened, "role")
    if who[2] not in ("band", "venue") or not re.match(serials.PATTERN, who[0]):
        raise ValueError("no enrolment")
    names = ("base_key", "dock_key", "receipt_key")
    base, dock, receipts = (facts.key(opened, name) for name in names)
    group = number(opened, "group", 1, groups.LAST_NUMBER, 1)
    generation = number(opened, "generation", 1, groups.LAST_GENERATION, 1)
    day = number(opened, "base_day", chains.FIRST_DAY, today + chains.AHEAD_DAYS)
    lowest = number(opened, "log_format", log.FORMAT_OPEN, log.FORMAT_SEALED, log.FORMAT_OPEN)
    return Enrolment(*who, day, base, dock, receipts, group, generation, lowest)
