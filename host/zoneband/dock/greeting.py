"""What a station learns of a band before and after each has proved itself to the other."""

from collections.abc import Callable
from dataclasses import dataclass

from zoneband.wire import log, status


class NoBand(Exception):
    """Nothing that speaks Zoneband answered."""


class NotProvisioned(Exception):
    """The band has no keys."""


class NoKey(Exception):
    """The band is of a group (its number) whose key of this generation is not here."""

    def __init__(self, group: int, generation: int, serial: str) -> None:
        super().__init__(group, generation)
        self.group = group
        self.generation = generation
        self.serial = serial


class Impostor(Exception):
    """What answered does not have the band's dock key itself."""


class Refused(Exception):
    """The band refused; `reason` is one of wire.messages."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Hello:
    """Who a band says it is, before either side has proved anything. group, generation: whose key
    its dock key was made of."""

    serial: str
    group: int
    generation: int
    flags: int
    nonce: bytes

    @property
    def provisioned(self) -> bool:
        """Whether it has a serial and keys."""
        return bool(self.flags & status.PROVISIONED)

    @property
    def locked(self) -> bool:
        """Whether it lets nobody to its REPL."""
        return bool(self.flags & status.LOCKED)


Keys = Callable[[Hello], bytes | None]
"""The dock key (32 bytes) of a band, None when it is not known here."""


@dataclass(frozen=True)
class Greeting:
    """A band that has proved itself; cursors as in wire.hello.welcome."""

    serial: str
    board: str
    firmware: tuple[int, int, int]
    state: int
    log_id: int
    boot_id: int
    tail: int
    head: int
    receipted: int
    flags: int
    battery_mv: int
    sectors: int
    order: int
    signer: int

    @property
    def fill_percent(self) -> int:
        """Share of the ring that waits for a receipt."""
        return (self.head - self.receipted) * 100 // (self.sectors * log.SLOTS)
