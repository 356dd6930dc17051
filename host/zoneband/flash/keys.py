"""A band's keys: made here by the system's generator, sealed to the authority, never on the disk.

They live in this process's memory until the band has them, and reach it through a pipe.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from zoneband import serials
from zoneband.seal import Kind, PublicKey, seal
from zoneband.wire import bluezone, enrol


@dataclass(frozen=True)
class BandKeys:
    """What makes a band one of ours. Keys are 32 bytes; base_day counts from 1970."""

    serial: str
    base_day: int
    base_key: bytes = field(repr=False)
    dock_key: bytes = field(repr=False)
    receipt_key: bytes = field(repr=False)

    @property
    def check(self) -> bytes:
        """What the band must answer once it has them."""
        return enrol.check_of(self.serial, self.base_key, self.dock_key, self.receipt_key)


def make(
    random: Callable[[int], bytes] = secrets.token_bytes, utc_s: int | None = None
) -> BandKeys:
    """New keys under a new serial; random(n): n bytes of the system's generator."""
    day = (int(time.time()) if utc_s is None else utc_s) // bluezone.DAY_S
    serial = serials.make()
    return BandKeys(serial, day, random(32), random(32), random(32))


def enrolment(public: PublicKey, keys: BandKeys, board: str, role: str = "band") -> bytes:
    """The sealed record that enrols a band; role: "band" or "venue"."""
    return seal(
        public,
        Kind.ENROLMENT,
        {
            "serial": keys.serial,
            "board": board,
            "role": role,
            "base_day": keys.base_day,
            "base_key": keys.base_key.hex(),
            "dock_key": keys.dock_key.hex(),
            "receipt_key": keys.receipt_key.hex(),
        },
    )
