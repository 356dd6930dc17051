# The serial cable as the band sees it: the REPL's own stdin and stdout.

import select
import sys

from wire.compat import const

_CHUNK = const(256)


class Link:
    def __init__(self):
        self._in = sys.stdin.buffer
        self._out = sys.stdout.buffer
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)
        self._buf = bytearray(_CHUNK)
        self._byte = bytearray(1)

    def wait(self, timeout_ms):
        # True when bytes wait to be read.
        for _ in self._poll.ipoll(timeout_ms):
            return True
        return False

    def read(self, timeout_ms):
        # What has come, b"" when nothing came in time. Byte by byte: a read of more would
        # wait for all of it.
        if not self.wait(timeout_ms):
            return b""
        n = 0
        while n < _CHUNK:
            if not self._in.readinto(self._byte):
                break
            self._buf[n] = self._byte[0]
            n += 1
            if not self.wait(0):
                break
        return bytes(self._buf[:n])

    def write(self, data):
        # A USB port without a reader gives up part-way: the rest is lost, and the host asks
        # again from its cursor.
        at = 0
        view = memoryview(data)
        while at < len(data):
            n = self._out.write(view[at:])
            if not n:
                return
            at += n

    def close(self):
        # The REPL stays.
        pass
