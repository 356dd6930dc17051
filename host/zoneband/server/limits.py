"""How much one station or one address may ask: token buckets in memory."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_MOST_BUCKETS = 10_000


@dataclass(frozen=True)
class Limits:
    """Requests per second that go on for ever, and how many may come at once beside. body_s: how
    long a body may take to come. A dock makes a handful of requests, and an upload of full
    batches some ten per second; an address may be a whole ward behind one line."""

    station_per_s: float = 50
    station_burst: float = 500
    address_per_s: float = 1000
    address_burst: float = 10_000
    body_s: float = 120


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
            now = self._clock()
            left = self._left(name, now)
            if left < 1:
                return (1 - left) / self._per_s
            if name not in self._levels and len(self._levels) >= _MOST_BUCKETS:
                self._forget(now)
            self._levels[name] = left - 1, now
            return 0

    def _left(self, name: str, now: float) -> float:
        left, at = self._levels.get(name, (self._burst, now))
        return min(self._burst, left + (now - at) * self._per_s)

    def _forget(self, now: float) -> None:
        kept = {n: v for n, v in self._levels.items() if self._left(n, now) < self._burst}
        # Should all be in use, the oldest half starts anew: memory is limited, too.
        newest = list(kept.items())[-_MOST_BUCKETS // 2 :] if len(kept) >= _MOST_BUCKETS else None
        self._levels = dict(newest) if newest is not None else kept
