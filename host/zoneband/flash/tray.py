"""A tray: every port at once, a thread each, and the next board as soon as one is pulled."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from zoneband.dock import ports
from zoneband.flash.job import FlashJob, FlashResult, Outcome


@dataclass
class Slot:
    """One port: what is plugged in there and how far it is. share: of the step, 0..1."""

    port: str
    step: str = ""
    share: float = 0.0
    job: FlashJob | None = None
    result: FlashResult | None = None
    identity: tuple[int, int] | None = None
    thread: threading.Thread | None = field(default=None, repr=False)

    def report(self, step: str, share: float) -> None:
        """Take what a job tells of itself."""
        self.step, self.share = step, share

    @property
    def busy(self) -> bool:
        """Whether a board is being flashed here."""
        return self.thread is not None and self.thread.is_alive()


MakeJob = Callable[[str, Callable[[str, float], None]], FlashJob]


class Tray:
    """Flashes what is plugged in. make: a job for a port; ended: called with each result, in the
    thread of its port."""

    def __init__(self, make: MakeJob, ended: Callable[[FlashResult], None]) -> None:
        self._make = make
        self._ended = ended
        self.slots: dict[str, Slot] = {}
        self.results: list[FlashResult] = []
        self._lock = threading.Lock()
        self._stopped = False

    def look(self, here: list[str]) -> None:
        """Start on every board that is new since the last look."""
        for port in here:
            slot = self.slots.setdefault(port, Slot(port))
            now = ports.identity(port)
            if slot.busy:
                continue
            if now is not None and now != slot.identity:
                slot.identity = now
                self._start(slot)
        for port, slot in self.slots.items():
            if port not in here and not slot.busy:
                slot.identity = None

    def _start(self, slot: Slot) -> None:
        slot.result = None
        slot.report("", 0.0)
        slot.job = self._make(slot.port, slot.report)
        slot.thread = threading.Thread(target=self._flash, args=(slot, slot.job), daemon=True)
        slot.thread.start()

    def _flash(self, slot: Slot, job: FlashJob) -> None:
        result = job.run()
        if self._stopped and result.outcome != Outcome.DONE.value:
            result.outcome = Outcome.STOPPED.value
        with self._lock:
            self.results.append(result)
        slot.result = result
        self._ended(result)

    @property
    def busy(self) -> bool:
        """Whether any board is being flashed."""
        return any(slot.busy for slot in self.slots.values())

    def stop(self) -> None:
        """End all jobs; boards in work are unfinished, and can be begun again."""
        self._stopped = True
        for slot in self.slots.values():
            if slot.busy and slot.job is not None:
                slot.job.stop()
        for slot in self.slots.values():
            if slot.thread is not None:
                slot.thread.join(20)
