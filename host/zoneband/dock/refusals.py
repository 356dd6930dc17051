"""Why a band refused, or cannot be spoken to: what staff read."""

from zoneband.dock.greeting import NoKey
from zoneband.i18n import _
from zoneband.wire import messages


def refusal(reason: int) -> str:
    """What a reason of wire.messages means, and what to do."""
    texts = {
        messages.BAD_MESSAGE: _(
            "The band speaks another version. Update this program or the band."
        ),
        messages.UNKNOWN_TYPE: _(
            "The band speaks another version. Update this program or the band."
        ),
        messages.OTHER_LOG: _("The band has begun another log meanwhile. Plug it in again."),
        messages.CLOCK_JUMP: _(
            "The band's clock is far from this computer's: it was left as it is. Only an order "
            "of the authority changes it."
        ),
        messages.BAD_RECEIPT: _("The band did not take the server's receipt: tell the authority."),
        messages.NOT_PROVISIONED: _("This band has no keys yet. Flash it again."),
        messages.BAD_STATE: _(
            "The band cannot do this in the state that it is in. Plug it in again; if that does "
            "not help, put it aside and tell the engineers."
        ),
        messages.FLASH_FAULT: _(
            "The band's memory is faulty. Take it out of use and issue another."
        ),
        messages.BAD_SPEED: _("The band does not know this speed: leave out --baud."),
        messages.BAD_PROOF: _(
            "The band has another key of its group than this station: it was made for another "
            "server. Dock it where it was made, or flash it with ./flash.sh --erase"
        ),
        messages.BAD_ORDER: _("The band refused an order of the server: tell the authority."),
        messages.OLD_ORDER: _("The band refused an order of the server: tell the authority."),
        messages.BAD_UPDATE: _("The band takes no update with this signature: tell the engineers."),
        messages.OLD_UPDATE: _("The band has this version or a later one."),
        messages.LOW_BATTERY: _(
            "The band's battery is too low. Charge it for some minutes, then dock it again."
        ),
        messages.NO_MEMORY: _("The band had no room for this, and starts anew. Plug it in again."),
    }
    unknown = _("The band refused (reason {reason}). Plug it in again.")
    return texts.get(reason, unknown.format(reason=reason))


def no_key(error: NoKey, newest: int) -> str:
    """Why this station has no key for a band. newest: generation of the newest key that is here of
    the band's group, 0 for none."""
    if 0 < newest < error.generation:
        return _(
            "The band has a newer key of its group than this station: connect this station to the "
            "network, then dock the band again."
        )
    return _(
        "This band belongs to another group (number {group}): this station has no key for it. Ask "
        "the authority to add the group here."
    ).format(group=error.group)
