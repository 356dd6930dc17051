"""Times, minutes, phones and names as the pages show them."""

import re
from collections.abc import Mapping
from typing import Any

from zoneband import i18n
from zoneband.i18n import _
from zoneband.localtime import local
from zoneband.server import calls
from zoneband.tracing import case_words

Contact = Mapping[str, Any]


def day(utc_s: float) -> str:
    """Such as 03/11/2026, in Vietnam."""
    return f"{local(utc_s):%d/%m/%Y}"


def clock(utc_s: float) -> str:
    """Such as 09:30, in Vietnam."""
    return f"{local(utc_s):%H:%M}"


def moment(utc_s: float) -> str:
    """Such as 03/11/2026 09:30, in Vietnam."""
    return f"{local(utc_s):%d/%m/%Y %H:%M}"


def span(from_s: float, to_s: float) -> str:
    """From one moment to another, the day once when it is the same."""
    if day(from_s) == day(to_s):
        return f"{moment(from_s)}–{clock(to_s)}"
    return f"{moment(from_s)} – {moment(to_s)}"


def days(from_s: float, to_s: float) -> str:
    """Whole days from one to the last before to_s."""
    return f"{day(from_s)} – {day(to_s - 1)}"


def iso_day(text: str | None) -> str:
    """A date as people write it: 2026-11-03 is 03/11/2026."""
    return case_words.day(text) if text else ""


def weekday(utc_s: float) -> str:
    """Day of the week and date, in Vietnam."""
    names = (
        _("Monday"),
        _("Tuesday"),
        _("Wednesday"),
        _("Thursday"),
        _("Friday"),
        _("Saturday"),
        _("Sunday"),
    )
    return f"{names[local(utc_s).weekday()]} {day(utc_s)}"


def number(value: float, digits: int = 0) -> str:
    """A number with the decimal sign of the reader's language."""
    return i18n.number(value, digits)


def minutes(value: float) -> str:
    """Whole minutes, or with one digit below ten: 4.5 is not 5."""
    return number(value, 0 if value >= 10 or value == int(value) else 1)


def phone(value: str | None) -> str:
    """+84912345678 as 0912 345 678, a house's +842438225566 as 024 3822 5566."""
    if not value:
        return ""
    house = re.fullmatch(r"\+84(2[48]|2\d\d)(\d{4})(\d+)", value)
    found = house or re.fullmatch(r"\+84(\d{3})(\d{3})(\d+)", value)
    return value if found is None else f"0{' '.join(found.groups())}"


def name(contact: Contact) -> str:
    """The wearer's name, "" while it is not known."""
    return str((contact.get("person") or {}).get("name") or "")


def who(contact: Contact) -> str:
    """The wearer's name, else the band's serial."""
    return name(contact) or band(contact)


def band(contact: Contact) -> str:
    """The band's serial, with the wearer in turn when there were several."""
    holder = contact.get("holder") or 0
    return f"{contact['serial']} #{holder}" if holder > 1 else str(contact["serial"])


def degree(value: int) -> str:
    """Such as F1."""
    return f"F{value}"


def call_state(state: str) -> str:
    """What came of a call."""
    return {
        calls.TO_CALL: _("not called yet"),
        calls.NO_ANSWER: _("no answer"),
        calls.CALL_BACK: _("to be called back"),
        calls.REACHED: _("reached"),
        calls.WRONG_NUMBER: _("wrong number"),
    }[state]


def case_state(state: str) -> str:
    """What became of a case."""
    return case_words.state(state)


def key(contact: Contact) -> str:
    """What names a contact in an address: serial, and the wearer in turn."""
    return f"{contact['serial']}-{contact.get('holder') or 0}"
