"""What a trace says in codes, in words: why a contact must be called or need not, and what the
answer lacks. Command line and page share them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from zoneband.i18n import _, number
from zoneband.localtime import day_and_time, local
from zoneband.tracing import case_words
from zoneband.tracing.rules import DAY_S

Entry = Mapping[str, Any]


def why(entry: Entry) -> str:
    """One line for an entry of a contact's "why"; the code itself where it is not known here."""
    code = str(entry.get("code"))
    return case_words.fill(_WHY, code, entry) or code


def note(entry: Entry) -> str:
    """One line for an entry of an answer's "notes"; the code itself where it is not known here."""
    code = str(entry.get("code"))
    return case_words.fill(_NOTES, code, entry) or case_words.note(entry) or code


def period(seconds: int) -> str:
    """A rule set's period, such as 24 h or 14 days."""
    if seconds > DAY_S and seconds % DAY_S == 0:
        return _("{n} days").format(n=seconds // DAY_S)
    return _("{n} h").format(n=number(seconds / 3600))


def _minutes(e: Entry) -> dict[str, str]:
    return {
        "minutes": number(e["weighted_min"]),
        "period": period(e["period_s"]),
        "needed": number(e["min_minutes"]),
    }


def _too_far(e: Entry) -> str:
    if e["attenuation_db"] is None:
        return _("Never near.")
    return _("Never near: {db} dB on average at the nearest, and near is up to {limit} dB.").format(
        db=number(e["attenuation_db"]), limit=number(e["at_most_db"])
    )


def _one_sided(e: Entry) -> str:
    if e["side"] == "case":
        return _("Only the case's band recorded it.")
    return _("Only the contact's band recorded it.")


def _contradicted(e: Entry) -> str:
    minutes = number(e["minutes"])
    if e["silent"] == "contact":
        return _(
            "Contradicted: the contact's log covers {minutes} min of it, without the case."
        ).format(minutes=minutes)
    return _(
        "Contradicted: the case's log covers {minutes} min of it, without the contact."
    ).format(minutes=minutes)


_WHY: dict[str, Callable[[Entry], str]] = {
    "enough": lambda e: _(
        "{minutes} min of close contact within {period}: {needed} min are enough."
    ).format(**_minutes(e)),
    "too_short": lambda e: _(
        "Only {minutes} min of close contact within {period}: it takes {needed} min."
    ).format(**_minutes(e)),
    "too_far": _too_far,
    "dropped_short": lambda e: _("{day} does not count: {minutes} min in all are too few.").format(
        day=_day(e["day_s"]), minutes=number(e["minutes"])
    ),
    "dropped_far": lambda e: _("{day} does not count: never nearer than {db} dB.").format(
        day=_day(e["day_s"]), db=number(e["closest_db"])
    ),
    "one_sided": _one_sided,
    "contradicted": _contradicted,
    "other_never_docked": lambda e: _("The contact's band has never brought its log."),
    "by_hand_out": lambda e: _(
        "Named by the hand-out alone: the band's log has not told who wore it."
    ),
    "unconfirmed": lambda e: _(
        "Unconfirmed: it is not known yet whether the band sent these IDs at that time."
    ),
    "replay": lambda e: _(
        "Possible replay: an ID was heard at a time when its band did not send it."
    ),
    "clock_suspect": lambda e: _(
        "The times are uncertain: the band's clock was not to be trusted."
    ),
    "holder_changed": lambda e: _("The band had {n} wearers in this span: ask who wore it.").format(
        n=e["holders"]
    ),
}


def _day(utc_s: int) -> str:
    return local(utc_s).strftime("%d/%m")


def _utc_day(text: str) -> dict[str, str]:
    # A segment holds a day of UTC, which in Vietnam begins at 07:00.
    begin = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    return {"begin": day_and_time(begin), "end": day_and_time(begin + DAY_S)}


def _handed_on(e: Entry) -> str:
    turns = [
        f"#{t['holder']} ({day_and_time(t['from_s'])} – "
        f"{'…' if t['to_s'] is None else day_and_time(t['to_s'])})"
        for t in e["holders"]
    ]
    return _("{serial} had several wearers in this span: {holders}.").format(
        serial=e["serial"], holders=", ".join(turns)
    )


_NOTES: dict[str, Callable[[Entry], str]] = {
    "never_docked": lambda e: _(
        "{serial} has never brought its log: only what other bands recorded is known."
    ).format(serial=e["serial"]),
    "docked_until": lambda e: _(
        "The log of {serial} ends on {time}: later contacts are known from other bands only."
    ).format(serial=e["serial"], time=day_and_time(e["utc_s"])),
    "clock_ahead": lambda e: _(
        "The log of {serial} goes on until {time}, which is still to come: a station's clock was "
        "wrong, or the server's is. Its contacts may be missing, or at another time."
    ).format(serial=e["serial"], time=f"{local(e['utc_s']):%d/%m/%Y %H:%M}"),
    "log_locked": lambda e: _(
        "A part of the log of {serial} is sealed until the authority's passphrase is given."
    ).format(serial=e["serial"]),
    "segment_missing": lambda e: _(
        "Records from {begin} to {end} are missing: contacts of that time may be missing."
    ).format(**_utc_day(e["day"])),
    "segment_damaged": lambda e: _(
        "Records from {begin} to {end} are damaged: contacts of that time may be missing."
    ).format(**_utc_day(e["day"])),
    "handed_on": _handed_on,
    "names_sealed": lambda _e: _(
        "The authority's key is not in memory: names and phone numbers are sealed."
    ),
    "withdrawn": lambda e: _(
        "Case {number} was withdrawn ({reason}): these are no contacts of a case."
    ).format(number=e["number"], reason=e["reason"]),
}
