"""Handing a band the orders that wait for it. A station cannot read what they order."""

from collections.abc import Callable, Iterable

from zoneband.dock.greeting import Refused
from zoneband.dock.session import BandSession
from zoneband.wire import messages


def carry(
    session: BandSession, orders: Iterable[bytes], set_clock: Callable[[], bool] | None
) -> tuple[int, int]:
    """Hand over orders that the band has not carried out, oldest first. set_clock: sets the band's
    clock, False when the band refuses; None when this computer's clock is not vouched for.

    Returns how many the band has carried out, and the reason of the refusal that ended it (0: none
    did). Raises LinkLost."""
    done = 0
    for order in orders:
        try:
            waits = session.order(order)
        except Refused as refused:
            if refused.reason != messages.OLD_ORDER:
                return done, refused.reason
            # It was newer than the band's last: carried out, and the answer lost.
            waits = False
        if waits:
            if set_clock is None:
                # A later order would make this one void.
                break
            if not set_clock():
                continue  # it does not fit: the band has dropped it
        done += 1
    return done, 0
