"""How much one station, address or account may ask, and how much a station may bring: token buckets
in memory."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

# At once: what 240 bands at their cap write in 21 days, of a station that was offline all along.
QUOTA_DAYS = 8
_MOST_BUCKETS = 10_000


@dataclass(frozen=True)
class Limits:
    """Requests per second that go on for ever, and how many may come at once beside. A dock makes a
    handful of requests, and an upload of full batches some ten per second; an address may be a
    whole ward behind one line; an account is one person who reads what is answered.

    body_s: how long a body may take to come. quota_per_day: bytes that a station may add to what
    the server keeps, and QUOTA_DAYS of it at once beside. A band writes 96 encounters a quarter of
    an hour at most, so the default is enough for 600 that always do."""

    station_per_s: float = 50
    station_burst: float = 500
    address_per_s: float = 1000
    address_burst: float = 10_000
    account_per_s: float = 5
    account_burst: float = 300
    body_s: float = 120
    quota_per_day: float = 256e6


NO_LIMITS = Limits(**{each.name: 1e15 for each in fields(Limits) if each.name != "body_s"})


class Buckets:
    """A bucket for each of many names. Those that are full again are forgotten."""

    def __init__(
        self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """clock: seconds that only grow."""
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}  # what was left, and when

    def take(self, name: str) -> float:
        """Take one: 0, or how many seconds until there is one to take."""
        with self._lock:
            wait_s = self._wait_s(name)
            if not wait_s:
                self._spend(name, 1)
            return wait_s

    def wait_s(self, name: str) -> float:
        """How many seconds until there is one to take; 0: there is."""
        with self._lock:
            return self._wait_s(name)

    def spend(self, name: str, amount: float) -> None:
        """Take what was used already, though there may be less: who comes next waits longer."""
        with self._lock:
            self._spend(name, amount)

    def _wait_s(self, name: str) -> float:
        left = self._left(name, self._clock())
        return (1 - left) / self._per_s if left < 1 else 0

    def _spend(self, name: str, amount: float) -> None:
        now = self._clock()
        left = self._left(name, now)
        if name not in self._levels and len(self._levels) >= _MOST_BUCKETS:
            self._forget(now)
        self._levels[name] = left - amount, now

    def _left(self, name: str, now: float) -> float:
        left, at = self._levels.get(name, (self._burst, now))
        return min(self._burst, left + (now - at) * self._per_s)

    def _forget(self, now: float) -> None:
        kept = {n: v for n, v in self._levels.items() if self._left(n, now) < self._burst}
        # Should all be in use, the oldest half starts anew: memory is limited, too.
        newest = list(kept.items())[-_MOST_BUCKETS // 2 :] if len(kept) >= _MOST_BUCKETS else None
        self._levels = dict(newest) if newest is not None else kept
