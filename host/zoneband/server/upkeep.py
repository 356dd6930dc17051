"""What a running server does by itself: at its start and once a day it drops what is too old.

Dropping cannot be taken back, so it trusts no clock that may have jumped: a day must come as the
days before did, or the computer's clock must be vouched for.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from zoneband import retention, station
from zoneband.i18n import _
from zoneband.server.tracing_server import TracingServer

_LOOK_S = 600.0
# Since the last run, or since this process began to look: a clock that goes further has jumped, or
# the server was off.
_STEP_S = 2 * retention.DAY_S
_say = logging.getLogger(__name__)


class Upkeep:
    """The daily work of one server."""

    def __init__(
        self,
        server: TracingServer,
        utc: Callable[[], float] = time.time,
        vouched: Callable[[], bool] = station.clock_synchronized,
    ) -> None:
        """utc: Unix seconds now; vouched: whether NTP says that this computer's clock is right."""
        self._server = server
        self._utc = utc
        self._vouched = vouched
        self._told = False

    def look(self) -> bool:
        """Do the day's work unless it is done; whether it was done now."""
        now_s = self._utc()
        ran_s = self._server.retention.ran_s()
        if ran_s is not None and retention.first_day(now_s) <= retention.first_day(ran_s):
            return False
        if not self._may_be(now_s, ran_s):
            if not self._told:
                _say.warning(
                    _(
                        "Nothing is dropped: this computer's clock may be wrong. Check it, then "
                        "run: zoneband retention run"
                    )
                )
            self._told = True
            return False
        self._told = False
        self._server.retention.run()
        return True

    def _may_be(self, now_s: float, ran_s: int | None) -> bool:
        return (ran_s is not None and now_s - ran_s <= _STEP_S) or self._vouched()

    @contextmanager
    def running(self) -> Generator[None]:
        """Look now, and then again and again in a thread of its own, until the end."""
        self._look()
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_LOOK_S):
                self._look()

        thread = threading.Thread(target=watch, name="upkeep", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look(self) -> None:
        # A full disk or a ledger that is away holds nothing up: the next look may find it there.
        try:
            self.look()
        except Exception:
            _say.exception(_("What is too old could not be dropped; it is tried again."))
