"""`select` whose time-outs are the air's: a poll ends when bytes came or its time is up."""

import _air
import uselect
from micropython import const
from uselect import POLLERR, POLLHUP, POLLIN, POLLOUT  # noqa: F401

_FOREVER_US = const(1 << 62)


class poll:
    def __init__(self):
        self._poll = uselect.poll()

    def register(self, obj, flags=POLLIN | POLLOUT):
        self._poll.register(getattr(obj, "stream", obj), flags)

    def unregister(self, obj):
        self._poll.unregister(getattr(obj, "stream", obj))

    def modify(self, obj, flags):
        self._poll.modify(getattr(obj, "stream", obj), flags)

    def poll(self, timeout=-1):
        ready = self._poll.poll(0)
        if ready or timeout == 0:
            return ready
        until = _FOREVER_US if timeout < 0 else _air.now_us + int(timeout) * 1000
        while True:
            stdin = _air.wait(until, _air.STDIN)
            ready = self._poll.poll(0)
            if ready or not stdin:
                return ready

    def ipoll(self, timeout=-1, flags=0):
        return iter(self.poll(timeout))
