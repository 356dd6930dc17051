"""Giving a band an update in a dock session."""

from collections.abc import Callable
from typing import Protocol

from zoneband.dock.greeting import Refused
from zoneband.dock.link import LinkLost
from zoneband.release import Bundle
from zoneband.wire import messages, updates

# Checking the signature, and the whole file at its end, take the band seconds.
_CHECK_S = 20.0
_ANSWER_S = 2.0


class Asks(Protocol):
    """What it needs of a BandSession."""

    def ask(self, message: bytes, wanted: int, timeout_s: float = ...) -> bytes:
        """Send until an answer of the wanted type comes; that answer."""
        ...


def offer(
    session: Asks, bundle: Bundle, report: Callable[[float], None] = lambda share: None
) -> bool:
    """Send an update, from where an earlier dock left it. report: called with the share that is
    there. True: the band has it whole and starts it after the session; False: it will not have
    this one (any more). Raises LinkLost, and Refused for what is worth telling."""
    try:
        return _send(session, bundle, report)
    except Refused as refused:
        if refused.reason in (messages.OLD_UPDATE, messages.BAD_STATE, messages.UNKNOWN_TYPE):
            # It was undone there, another is on trial, or the band is of before updates.
            return False
        raise


def _send(session: Asks, bundle: Bundle, report: Callable[[float], None]) -> bool:
    signed = bundle.manifest + bundle.signature
    what, at = updates.OF_MANIFEST, 0
    # Twice over, should the first copy be damaged on its way into flash.
    for _n in range(2 * (len(signed) + len(bundle.app)) // updates.PIECE_BYTES + 20):
        source = signed if what == updates.OF_MANIFEST else bundle.app
        data = source[at : at + updates.PIECE_BYTES]
        last = at + len(data) == len(source)
        if not data:
            raise LinkLost("the band wants what there is not")
        if what == updates.OF_MANIFEST:
            message = updates.manifest(at, len(signed), data)
        else:
            message = updates.piece(at, data)
            report(at / len(source))
        answer = session.ask(message, messages.WANTED, _CHECK_S if last else _ANSWER_S)
        what, at = updates.read_wanted(answer)
        if what == updates.NOTHING:
            report(1.0)
            return True
    raise LinkLost("the update does not get whole")
