"""Who is reading segments: their files are removed only when no query can still open them."""

import threading
from collections.abc import Generator
from contextlib import contextmanager


class Readers:
    """Counts queries from before they have their list of files until they have their answer."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._open: set[int] = set()

    @contextmanager
    def reading(self) -> Generator[None]:
        """Files that the ledger names inside stay until the end."""
        with self._changed:
            mine = self._next
            self._next += 1
            self._open.add(mine)
        try:
            yield
        finally:
            with self._changed:
                self._open.discard(mine)
                self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until whoever reads now has ended; False when that takes too long. Who begins later
        is not waited for: what the ledger names no more is not in their lists."""
        with self._changed:
            before = self._next
            return self._changed.wait_for(
                lambda: all(number >= before for number in self._open), timeout_s
            )
