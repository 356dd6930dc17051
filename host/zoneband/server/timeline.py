"""True UTC from a band's run time, by the clock points of one boot.

Between two points the band's crystal is taken to run evenly (offset and rate); outside them the
offset of the nearest point holds. The best points that there are count alone: those of a station
whose clock is right, else the band's own clock, else its own clock carried over a loss of power.
"""

from bisect import bisect_right
from dataclasses import dataclass
from enum import IntEnum

# A crystal is good to tens of ppm: what implies more than this is no rate but a wrong point.
_MAX_RATE = 0.002
# Away from a point: a crystal at any temperature, and some seconds a day of deep sleep.
_DRIFT = 100e-6


class Quality(IntEnum):
    """How far a clock point is to be believed."""

    SUSPECT = 0
    RUNNING = 1
    VOUCHED = 2


@dataclass(frozen=True)
class Point:
    """Run time and UTC (both seconds) at one moment; error_s: how wrong UTC may be."""

    run_s: float
    utc_s: float
    quality: Quality
    error_s: float = 0.0


class Timeline:
    """Maps run time of one boot to UTC."""

    def __init__(self, points: list[Point]) -> None:
        self.quality = max((p.quality for p in points), default=Quality.SUSPECT)
        best = [p for p in points if p.quality == self.quality]
        chosen = sorted(best, key=lambda p: p.run_s)
        self._runs = [p.run_s for p in chosen]
        self._offsets = [p.utc_s - p.run_s for p in chosen]
        self._errors = [p.error_s for p in chosen]

    def __bool__(self) -> bool:
        return bool(self._runs)

    def utc(self, run_s: float) -> float:
        """UTC seconds. Needs at least one point."""
        i = bisect_right(self._runs, run_s)
        if i == 0:
            return run_s + self._offsets[0]
        if i == len(self._runs):
            return run_s + self._offsets[-1]
        a, b = self._runs[i - 1], self._runs[i]
        low, high = self._offsets[i - 1], self._offsets[i]
        if b - a < 1 or abs(high - low) > max(2.0, _MAX_RATE * (b - a)):
            # A step, not a rate: the nearer point's offset.
            return run_s + (low if run_s - a <= b - run_s else high)
        return run_s + low + (high - low) * (run_s - a) / (b - a)

    def error_s(self, run_s: float) -> float | None:
        """How wrong `utc` may be, in seconds; None where no station vouched for this boot's time,
        so that nobody can say."""
        if self.quality != Quality.VOUCHED or not self._runs:
            return None
        i = bisect_right(self._runs, run_s)
        near = [j for j in (i - 1, i) if 0 <= j < len(self._runs)]
        return min(self._errors[j] + _DRIFT * abs(run_s - self._runs[j]) for j in near)
