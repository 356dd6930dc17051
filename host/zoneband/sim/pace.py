"""When virtual time keeps to the wall clock: while a host has a port open, or always on request."""

import time

_STAYS_S = 2.0
LATE_S = 0.05


class Pace:
    """Ties virtual time to the wall clock for as long as `touch` is called now and then."""

    def __init__(self, always: bool) -> None:
        self._always = always
        self._until = 0.0
        self._tied: tuple[float, int] | None = None

    def touch(self) -> None:
        """A host is there."""
        self._until = time.monotonic() + _STAYS_S

    def left_s(self, due_us: int, now_us: int) -> float:
        """Seconds of the wall clock until virtual time may reach `due_us`; 0 or less: now."""
        wall = time.monotonic()
        if not self._always and wall > self._until:
            self._tied = None
            return 0.0
        if self._tied is None:
            self._tied = (wall, now_us)
        begun, from_us = self._tied
        return (due_us - from_us) / 1e6 - (wall - begun)

    def now_us(self, now_us: int, due_us: int) -> int:
        """Virtual time that the wall clock has come to, from now_us and not beyond due_us."""
        if self._tied is None:
            return now_us
        begun, from_us = self._tied
        moved_us = from_us + int((time.monotonic() - begun) * 1e6)
        return max(now_us, min(moved_us, due_us))

    def is_late(self, now_us: int) -> bool:
        """Whether virtual time hangs back 50 ms and more where it should keep the pace."""
        return self._tied is not None and self.left_s(now_us, now_us) < -LATE_S
