"""Asks for what a hand-out still lacks, at the door: questions and answers go over the terminal.

Questions are written to stderr, so that stdout stays a script's.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from zoneband.errors import ExitCode, UserError
from zoneband.handout import consent, person
from zoneband.handout.person import Person
from zoneband.i18n import _, language
from zoneband.say import say

T = TypeVar("T")


@dataclass
class Given:
    """What was given with the call; None: not given."""

    name: str | None
    birth_year: str | None
    phone: str | None
    relative: bool
    commune: str | None
    read_by: str | None
    consents: str | None
    language: str | None


def complete(given: Given) -> Person:
    """A person: at a terminal what is missing is asked for, else a UserError names it."""
    spoken = person.read_language(given.language or language())
    if not sys.stdin.isatty():
        _complain(given)
    reader = given.read_by or _until_right(_("Who reads the consent out?"), person.read_name)
    agreed = _agreed(given, spoken)
    # Said before a person has told more than is needed.
    consent.answers(agreed, spoken, reader)
    relative, phone = given.relative, given.phone
    name = given.name or _until_right(_("Name of the wearer?"), person.read_name)
    year = given.birth_year or str(_until_right(_("Year of birth?"), person.read_birth_year))
    if consent.CALL in agreed and phone is None:
        phone = _until_right(
            _("Phone number, the wearer's own or a relative's?"), person.read_phone
        )
        relative = relative or yes(_("Is it a relative's?"))
    commune = given.commune or _until_right(_("Code of the commune?"), person.read_commune)
    return person.read(
        name=name,
        birth_year=year,
        phone=phone or "",
        relative=relative,
        commune=commune,
        given=agreed,
        language=spoken,
        read_by=reader,
    )


def _complain(given: Given) -> None:
    wanted = {
        "--name": given.name,
        "--birth-year": given.birth_year,
        "--commune": given.commune,
        "--read-by": given.read_by,
        "--consent": given.consents,
    }
    if consent.CALL in _words(given.consents or ""):
        wanted["--phone"] = given.phone
    missing = [option for option, value in wanted.items() if value is None]
    if missing:
        raise UserError(
            _("Missing: {options}. At a terminal they are asked for.").format(
                options=", ".join(missing)
            ),
            ExitCode.USAGE,
        )


def _agreed(given: Given, spoken: str) -> list[str]:
    if given.consents is not None:
        return _words(given.consents)
    console = Console(stderr=True)
    console.print(_("Read each text aloud, and write down the answer."))
    agreed: list[str] = []
    for purpose in consent.PURPOSES:
        text = consent.TEXTS[spoken][purpose]
        title = f"{consent.TITLES[spoken][purpose]} · {consent.VERSION}"
        console.print(Panel(Text(text, "bold"), title=title))
        if yes(_("The answer?")):
            agreed.append(purpose)
        elif purpose == consent.TRACE:
            break
    return agreed


def _words(text: str) -> list[str]:
    return text.replace(",", " ").lower().split()


def yes(question: str) -> bool:
    """Ask until somebody says yes or no. Raises UserError where nobody can answer."""
    return _until_right(question + " " + _("(yes/no)"), person.read_yes)


def _until_right(question: str, read: Callable[[str], T]) -> T:
    while True:
        print(question, end=" ", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise UserError(_("Broken off: nothing was recorded."))
        try:
            return read(line)
        except UserError as error:
            say(error.message, error=True)
