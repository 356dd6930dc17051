"""A band's keys: made here by the system's generator, sealed to the authority, never on the disk.

Only the dock key is not drawn: it is made of the key of the station's group and the serial. Keys
live in this process's memory until the band has them, and reach it through a pipe.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from zoneband import serials
from zoneband.seal import Kind, PublicKey, seal
from zoneband.wire import bluezone, enrol, handshake, log


@dataclass(frozen=True)
class BandKeys:
    """What makes a band one of ours. Keys are 32 bytes; base_day counts from 1970; group and
    generation: whose key the dock key is made of."""

    serial: str
    base_day: int
    base_key: bytes = field(repr=False)
    dock_key: bytes = field(repr=False)
    receipt_key: bytes = field(repr=False)
    group: int = 1
    generation: int = 1

    @property
    def check(self) -> bytes:
        """What the band must answer once it has them."""
        return enrol.check_of(self.serial, self.base_key, self.dock_key, self.receipt_key)


def make(
    group: int,
    generation: int,
    group_key: bytes,
    random: Callable[[int], bytes] = secrets.token_bytes,
    utc_s: int | None = None,
) -> BandKeys:
    """New keys under a new serial, for a group's band; random(n): n bytes of the system's
    generator."""
    day = (int(time.time()) if utc_s is None else utc_s) // bluezone.DAY_S
    serial = serials.make()
    dock_key = handshake.dock_key(group_key, serial)
    return BandKeys(serial, day, random(32), dock_key, random(32), group, generation)


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
            "group": keys.group,
            "generation": keys.generation,
            # It seals its log: one in clear is not of its making.
            "log_format": log.FORMAT_SEALED,
        },
    )
