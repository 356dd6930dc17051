"""The acts of handing out: each is a record sealed to the authority and a line in the inventory.

The record comes first: a power cut between the two leaves one that no band's log refers to, and
the act is done again. What takes effect on the band itself waits for its next dock here.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoneband import authority, seal
from zoneband import station as stations
from zoneband.errors import ExitCode, UserError
from zoneband.handout.person import Person
from zoneband.i18n import _
from zoneband.inventory import Inventory, State, draw_number
from zoneband.seal import Kind
from zoneband.spool import Spool
from zoneband.wire import records


@dataclass(frozen=True)
class Act:
    """What was done to a band; number: of the hand-out that it is about, 0 when this station does
    not know it; waits: it takes effect at the band's next dock; again: it was so before, and
    nothing was recorded; warning: one line, or ""."""

    serial: str
    state: str
    number: int
    waits: bool = False
    again: bool = False
    warning: str = ""

    def as_json(self) -> dict[str, object]:
        """Keys and values for a script."""
        return asdict(self)


class Handout:
    """Hands bands out at one station."""

    def __init__(self, data: Path, utc: Callable[[], float] = time.time) -> None:
        """Raises UserError while this station has no key of the authority to seal to."""
        self._key = authority.current(data)
        directory = stations.directory(data)
        self._inventory = Inventory(directory)
        self._spool = Spool(directory)
        settings = stations.load(data)
        self._station = settings.name if settings else "-"
        self._utc = utc

    # --- acts -------------------------------------------------------------------------------

    def issue(self, serial: str, person: Person) -> Act:
        """Hand a band out. Raises UserError when it may not be."""
        warning = self.may_issue(serial)
        number = draw_number()
        self._record(Kind.PERSON, serial, number, person.facts())
        self._inventory.ask(serial, records.ISSUED, number)
        return Act(serial, State.ISSUED, number, waits=True, warning=warning)

    def take_back(self, serial: str) -> Act:
        """Take a band back. Raises UserError for one that was reported lost."""
        if self._inventory.gone(serial) == State.LOST:
            raise UserError(
                _(
                    "{serial} was reported lost. If it is here, first run: "
                    "zoneband lost {serial} --found"
                ).format(serial=serial)
            )
        number = self._inventory.number(serial)
        wish = self._inventory.wish(serial)
        if wish is not None and wish.state == records.RETURNED:
            return Act(serial, State.RETURNED, number, waits=True, again=True)
        warning = self._warn_unless_issued(serial)
        self._event("returned", serial, number)
        self._inventory.ask(serial, records.RETURNED)
        return Act(serial, State.RETURNED, number, waits=True, warning=warning)

    def lose(self, serial: str) -> Act:
        """Report a band lost."""
        self._refuse_retired(serial)
        number = self._inventory.number(serial)
        if self._inventory.gone(serial) == State.LOST:
            return Act(serial, State.LOST, number, again=True)
        warning = self._warn_unless_issued(serial)
        self._event("lost", serial, number)
        self._inventory.leave(serial, State.LOST)
        return Act(serial, State.LOST, number, warning=warning)

    def find(self, serial: str) -> Act:
        """A lost band was found. One whose wearer has another by now is taken back."""
        self._refuse_retired(serial)
        before = self._inventory.row(serial)
        number = self._inventory.number(serial)
        warning = ""
        if before is None or before.state != State.LOST:
            warning = _("{serial} was not reported lost at this station.").format(serial=serial)
        self._event("found", serial, number)
        self._inventory.come_back(serial)
        if before is not None and before.successor:
            self.take_back(serial)
        after = self._inventory.row(serial)
        if after is None:
            return Act(serial, State.NEW, number, warning=warning)
        return Act(serial, after.state, number, waits=after.waits, warning=warning)

    def replace(self, old: str, new: str, returned: bool) -> tuple[Act, Act]:
        """Give the wearer of a band another; the old one is lost unless it was returned.

        This station cannot read who wears the old band: the authority carries the person over by
        the numbers of the two hand-outs. Raises UserError when the new band may not be issued."""
        if old == new:
            raise UserError(_("A band cannot replace itself."), ExitCode.USAGE)
        before = self._inventory.row(old)
        if before is not None and before.successor:
            raise UserError(
                _("{old} was replaced by {new} already: replace that one.").format(
                    old=old, new=before.successor
                )
            )
        warning = self.may_issue(new)
        left = self.take_back(old) if returned else self._leave(old)
        number = draw_number()
        self._event("replaced", old, left.number, new_serial=new, new_number=number)
        self._inventory.ask(new, records.ISSUED, number)
        if not returned:
            self._inventory.leave(old, State(left.state), new)
        return left, Act(new, State.ISSUED, number, waits=True, warning=warning)

    # --- what may be done -------------------------------------------------------------------

    def may_issue(self, serial: str) -> str:
        """A warning, or "". Raises UserError when this station knows why a band cannot be handed
        out."""
        row = self._inventory.row(serial)
        if row is None:
            return _(
                "This station has not seen {serial} before. That is well if it was made "
                "elsewhere; compare it with the label."
            ).format(serial=serial)
        reason = {
            State.ISSUED: _(
                "{serial} is handed out already. Run zoneband return {serial} first, or give its "
                "wearer another: zoneband replace."
            ),
            State.LOST: _(
                "{serial} was reported lost. If it is here, first run: "
                "zoneband lost {serial} --found"
            ),
            State.RETIRED: _("{serial} was taken out of use: hand another band out."),
            State.UNFINISHED: _("{serial} has no keys yet: flash it again."),
        }.get(State(row.state))
        if reason is not None:
            raise UserError(reason.format(serial=serial))
        return ""

    def issued_here(self, serial: str) -> bool:
        """Whether this station handed a band out, and it was not taken back since."""
        row = self._inventory.row(serial)
        return row is not None and row.state == State.ISSUED and self.number(serial) != 0

    def number(self, serial: str) -> int:
        """Number of a band's hand-out, 0 when this station does not know it."""
        return self._inventory.number(serial)

    def waits(self, serial: str) -> bool:
        """Whether something takes effect only at a band's next dock."""
        return self._inventory.wish(serial) is not None

    def _leave(self, serial: str) -> Act:
        # A band that was taken out of use stays so when its wearer gets another.
        if self._inventory.gone(serial) == State.RETIRED:
            return Act(serial, State.RETIRED, self.number(serial), again=True)
        return self.lose(serial)

    def _refuse_retired(self, serial: str) -> None:
        if self._inventory.gone(serial) == State.RETIRED:
            raise UserError(_("{serial} was taken out of use.").format(serial=serial))

    def _warn_unless_issued(self, serial: str) -> str:
        row = self._inventory.row(serial)
        if row is not None and row.state == State.ISSUED:
            return ""
        return _("As far as this station knows {serial} was not handed out.").format(serial=serial)

    # --- records ----------------------------------------------------------------------------

    def _event(self, event: str, serial: str, number: int, **more: object) -> None:
        self._record(Kind.EVENT, serial, number, {"event": event, **more})

    def _record(self, kind: Kind, serial: str, number: int, facts: dict[str, Any]) -> None:
        common: dict[str, Any] = {
            "serial": serial,
            "number": number,
            "utc_s": int(self._utc()),
            "station": self._station,
        }
        self._spool.add_sealed(kind, serial, seal.seal(self._key, kind, common | facts))
