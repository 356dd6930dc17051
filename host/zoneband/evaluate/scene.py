"""A scene of a public data set: who heard whom, and how far apart they were by other means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from zoneband.i18n import _

Pair = tuple[str, str]
_LONGEST_S = (1 << 24) - 3600
# Receivers write 127, and some phones 0 or more, where they have no level.
_LEVELS_DBM = range(-127, 0)


class Form(StrEnum):
    """The published forms that can be read."""

    FILMED = "dp3t"
    RANGE_ANGLE = "range-angle"


@dataclass(frozen=True)
class Sighting:
    """One beacon that a device received: Unix seconds, dBm."""

    at_s: float
    observer: str
    emitter: str
    rssi: int


@dataclass(frozen=True)
class Span:
    """A stretch of time (Unix seconds) with one known distance; metres is below 0 where a wall
    stands between the two."""

    from_s: float
    to_s: float
    metres: float


@dataclass(frozen=True)
class Scene:
    """group: a threshold is chosen among scenes of one group only, since only these share devices
    and conditions. pairs: all that could have heard each other. distance: of the pairs of which
    it is known at all. lasts_s: how long a pair was measured, where this is not the whole scene."""

    form: Form
    group: str
    name: str
    pairs: Sequence[Pair]
    sightings: Sequence[Sighting]
    distance: Mapping[Pair, Sequence[Span]]
    lasts_s: Mapping[Pair, float] = field(default_factory=dict[Pair, float])

    @property
    def length_s(self) -> float:
        """From the first sighting to the last."""
        times = [each.at_s for each in self.sightings]
        return max(times) - min(times) if times else 0.0


def pair(a: str, b: str) -> Pair:
    """The two devices in one order."""
    return (a, b) if a < b else (b, a)


def measured(rssi: int) -> bool:
    """Whether it is a level, not a receiver's mark that it has none."""
    return rssi in _LEVELS_DBM


def check_times(times_s: Sequence[float]) -> None:
    """Raises CannotRead when times lie further apart than a record's 3 bytes of seconds."""
    if times_s and max(times_s) - min(times_s) >= _LONGEST_S:
        raise CannotRead(_("the times in it are months apart"))


class CannotRead(Exception):
    """Why a file gives no scene: a few words for the user."""


class OtherForm(CannotRead):
    """The file is of no form that can be read."""
