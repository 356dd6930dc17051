"""From the controller to the band's handler: eight buffers, each report at a cost, the rest lost.

NimBLE on an ESP32 has so many buffers for advertising reports; while flash is programmed or
erased nothing takes them out.
"""

from collections import deque

BUFFERS = 8
COST_US = 500


class ReportQueue:
    """One band's buffers; moments in microseconds, offered in order."""

    def __init__(self, buffers: int = BUFFERS, cost_us: int = COST_US) -> None:
        self._buffers = buffers
        self._cost_us = cost_us
        self._done_us: deque[int] = deque()
        self._deaf_us = (0, 0)

    def deaf(self, from_us: int, to_us: int) -> None:
        """The band handles nothing in [from_us, to_us)."""
        self._deaf_us = (from_us, to_us)

    def offer(self, at_us: int) -> bool:
        """A report at a moment: whether there was room for it."""
        while self._done_us and self._done_us[0] <= at_us:
            self._done_us.popleft()
        if len(self._done_us) >= self._buffers:
            return False
        begin = max(at_us, self._done_us[-1] if self._done_us else 0)
        if self._deaf_us[0] <= begin < self._deaf_us[1]:
            begin = self._deaf_us[1]
        self._done_us.append(begin + self._cost_us)
        return True
