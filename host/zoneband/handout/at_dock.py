"""What a dock is to the inventory: the band is seen, handed out or taken back."""

from zoneband.dock.session import BandSession, Greeting
from zoneband.i18n import _
from zoneband.inventory import Inventory, State
from zoneband.wire import records


def meet(
    inventory: Inventory, session: BandSession, band: Greeting, given: tuple[int, int] | None
) -> str:
    """Give a band the state that waits for it, and remember the band; a note for staff or "".

    given: the state that the dock itself has put the band in. One that is taken out of use takes no
    other. A dock that breaks off in between
    leaves the wish: to the band, the same state and number twice are once. Raises Refused or
    LinkLost."""
    state, note = (given[0], "") if given else _change(inventory, session, band)
    inventory.saw(
        band.serial,
        band.board,
        ".".join(map(str, band.firmware)),
        state,
        band.battery_mv,
        band.fill_percent,
    )
    return note


def _change(inventory: Inventory, session: BandSession, band: Greeting) -> tuple[int, str]:
    if band.state == records.RETIRED:
        return band.state, ""
    gone = inventory.gone(band.serial)
    if gone == State.LOST:
        return band.state, _("This band was reported lost: put it aside.")
    if gone == State.RETIRED:
        return band.state, _("This band was taken out of use: put it aside.")
    wish = inventory.wish(band.serial)
    if wish is None:
        return band.state, ""
    session.set_state(wish.state, wish.number)
    inventory.granted(wish)
    return wish.state, _("Handed out.") if wish.state == records.ISSUED else _("Taken back.")
