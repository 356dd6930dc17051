"""A band that was handed out lets nobody to its REPL: is one at the port, and what opens it.

An order of the authority unlocks it; a signed update needs no unlocking. Each goes over the dock.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from zoneband import release, station, updates
from zoneband.dock.greeting import Greeting, NoBand, Refused
from zoneband.dock.link import Link, LinkLost
from zoneband.dock.orders import carry
from zoneband.dock.refusals import refusal
from zoneband.dock.session import BandSession
from zoneband.dock.update import offer
from zoneband.errors import UserError
from zoneband.groups import GroupKeys
from zoneband.i18n import _
from zoneband.release import Version
from zoneband.spool import Spool
from zoneband.upload import Uploader
from zoneband.wire import messages, status

# A band answers within a tenth of a second; every blank board waits as long as this.
LOOK_S = 0.25
_CLOCK_ERROR_MS = 100


class Locked(Exception):
    """The band is locked, and nothing here opens it."""

    def __init__(self, serial: str) -> None:
        super().__init__(serial)
        self.serial = serial

    @property
    def message(self) -> str:
        """What it is and what to do, for the user."""
        return _(
            "Band {serial} is handed out and locked. Take it back and ask the authority for an "
            "unlock order (zoneband order unlock {serial}), or give it a signed update."
        ).format(serial=self.serial)


class Updated(Exception):
    """The band is locked and took an update over the dock instead."""

    def __init__(self, serial: str, version: Version) -> None:
        super().__init__(serial, version)
        self.serial = serial
        self.version = release.name_of(version)


class Gate:
    """The ways past a lock that one station has: its group keys, its orders, its updates."""

    def __init__(self, data: Path, groups: GroupKeys, spool: Spool) -> None:
        self._data = data
        self._groups = groups
        self._spool = spool

    def unlock(self, port: str, wait_s: float) -> str | None:
        """The serial of a locked band that an order has just unlocked; None when no locked band
        answers in wait_s. Raises Locked, UserError, LinkLost, and what BandSession.greet names."""
        return self._meet(port, wait_s, None)

    def unlock_or_update(
        self, port: str, wait_s: float, report: Callable[[float], None]
    ) -> str | None:
        """As `unlock`, but a band that no order unlocks gets an update that fits: Updated then.
        report: called with the share of it that the band has."""
        return self._meet(port, wait_s, report)

    def _meet(self, port: str, wait_s: float, report: Callable[[float], None] | None) -> str | None:
        try:
            link = Link(port)
        except LinkLost:
            return None  # whoever opens it next tells why it cannot be opened
        try:
            session = BandSession(link, self._groups.of_band)
            if not _is_locked(session, wait_s):
                return None
            band = _greet(session)
            try:
                self._carry_orders(session, band)
                if not _locked(session.greet()):
                    return band.serial
                if report is not None:
                    self._update(session, band, report)
                raise Locked(band.serial)
            finally:
                with contextlib.suppress(LinkLost, Refused):
                    session.bye()
        finally:
            link.close()

    def _carry_orders(self, session: BandSession, band: Greeting) -> None:
        # What the band refuses here it is told again at its docks.
        settings = station.load(self._data)
        if settings is not None:
            uploader = Uploader(self._data, self._spool, settings)
            uploader.fetch_orders(band.serial, band.order)
        set_clock = partial(_set_clock, session) if station.clock_vouched(self._data) else None
        orders = self._spool.orders(band.serial, band.order)
        _done, reason = carry(session, orders, set_clock)
        if reason in (messages.LOW_BATTERY, messages.NO_MEMORY):
            raise UserError(refusal(reason))

    def _update(
        self, session: BandSession, band: Greeting, report: Callable[[float], None]
    ) -> None:
        bundle = updates.find(self._data, band.board, band.firmware, band.signer)
        if bundle is None:
            return
        try:
            taken = offer(session, bundle, report)
        except Refused as refused:
            if refused.reason == messages.NO_MEMORY:
                raise UserError(refusal(refused.reason)) from refused
            raise UserError(
                _("The band refused the update to {version}: tell the engineers.").format(
                    version=release.name_of(bundle.version)
                )
            ) from refused
        if taken:
            session.cue(status.CUE_DONE)
            raise Updated(band.serial, bundle.version)


def _is_locked(session: BandSession, wait_s: float) -> bool:
    try:
        return session.hello(wait_s).locked
    except (NoBand, Refused, LinkLost):
        # A blank board, or a band of another version of the dock.
        return False


def _greet(session: BandSession) -> Greeting:
    try:
        return session.greet()
    except Refused as refused:
        if refused.reason != messages.BAD_PROOF:
            raise
        raise UserError(refusal(refused.reason)) from refused


def _set_clock(session: BandSession) -> bool:
    try:
        session.set_clock(_CLOCK_ERROR_MS)
    except Refused:
        return False
    return True


def _locked(band: Greeting) -> bool:
    return bool(band.flags & status.LOCKED)
