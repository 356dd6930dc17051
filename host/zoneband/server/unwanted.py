"""Which encounters the server must not keep, whoever brings them, and however often: those of days
that retention has dropped."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, select

from zoneband.retention import DAY_S
from zoneband.server import ledger, store

UNPLACED_DAY = 0  # 1970-01-01: encounters whose boot has no clock point yet


@dataclass(frozen=True)
class Unwanted:
    """first_day: the first UTC day that is kept. Not by the clock of the moment: one that is wrong
    would have new records refused for good."""

    first_day: int

    def rows(self, columns: store.Columns) -> npt.NDArray[np.bool_]:
        """Which of some rows, whose times and contacts are known as far as they can be, must not be
        kept."""
        days = columns["start_s"] // DAY_S
        return (days != UNPLACED_DAY) & (days < self.first_day)


def load(db: Connection) -> Unwanted:
    """As the ledger has it."""
    day = db.execute(select(ledger.retention.c.first_day)).scalar()
    return Unwanted(0 if day is None else day)
