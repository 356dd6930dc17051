# A new version on trial, and what became of the last one. How a start is chosen: loader.py.

import machine

from wire import records
from wire.compat import const

_HEALTHY_S = const(60)
# Running, and still not healthy: another start, until none is left.
_GIVE_UP_S = const(600)
_FIRST = const(2)  # starts that are left in a new version's first
_VERSION = const(0xFFFFFF)


def running():
    # The place that this file lies in.
    return "b" if ("//" + __file__).split("/")[-3] == "b" else "a"


def restart(band):
    # Into what the loader chooses next.
    band.silence()
    band.flush()
    band.save(1)
    band.radio.off()
    machine.reset()


class Trial:
    def __init__(self, store, journal):
        self._store = store
        self._journal = journal
        choice = store.get("place", 0)
        self.version = choice >> 3  # 0: none is on trial
        self._begun = choice >> 1 & 3 == _FIRST
        undone = store.get("undone", 0)
        self._undone = undone & _VERSION if undone > _VERSION else 0
        self._since_s = -1

    def watch(self, band, now_s):
        # Each burst; False when there is nothing to watch any more.
        if self._since_s < 0:
            self._since_s = now_s
            self._tell()
        run_s = now_s - self._since_s
        if run_s < _HEALTHY_S:
            return True
        if not self.version:
            return False
        if band.provisioned and not band.log.fault:
            self._settle()
            return False
        if run_s > _GIVE_UP_S:
            restart(band)
        return True

    def _tell(self):
        if self._undone:
            self._journal.mark(records.UPDATE, records.UPDATE_UNDONE, self._undone)
            self._store.put("undone", self._undone)
        if self.version and self._begun:
            self._journal.mark(records.UPDATE, records.UPDATE_BEGUN, self.version)

    def _settle(self):
        version = self.version
        self._store.put("place", self._store.get("place", 0) & 1)
        self.version = 0
        self._journal.mark(records.UPDATE, records.UPDATE_KEPT, version)
