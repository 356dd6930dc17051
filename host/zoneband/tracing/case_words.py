"""What the server says about cases, in words: why it refused, and what to know of a case.

Command line and page share them; the server itself names codes only.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from zoneband.i18n import _
from zoneband.localtime import day_and_time

Values = Mapping[str, Any]


def refusal(code: str, values: Values) -> str | None:
    """One line for a refusal (zoneband.server.refused); None for a code that is not known here."""
    return fill(_REFUSALS, code, values)


def refusals() -> list[str]:
    """The codes of refusals that there are words for."""
    return list(_REFUSALS)


def note(entry: Values) -> str | None:
    """One line for a note of a case (zoneband.server.cases); None for a code that is not known
    here."""
    return fill(_NOTES, str(entry.get("code")), entry)


def day(text: str) -> str:
    """A day (YYYY-MM-DD) as people in Vietnam write it."""
    return date.fromisoformat(text).strftime("%d/%m/%Y")


def state(code: str) -> str:
    """What became of a case (zoneband.server.cases), in a word; the code itself where it is not
    known here."""
    return {"open": _("open"), "closed": _("closed"), "withdrawn": _("withdrawn")}.get(code, code)


def holders(entries: list[dict[str, Any]]) -> str:
    """Wearers of a band in turn, such as #1 Lan (03/11 09:00 – 05/11 10:00), #2 …"""
    return ", ".join(map(_holder, entries))


def _holder(turn: Values) -> str:
    name = f" {turn['name']}" if turn["name"] else ""
    until = "…" if turn["to_s"] is None else day_and_time(turn["to_s"])
    return f"#{turn['holder']}{name} ({day_and_time(turn['from_s'])} – {until})"


def fill(texts: Mapping[str, Callable[[Values], str]], code: str, values: Values) -> str | None:
    """The text of a code, filled in; None for a code or values that are not known here."""
    made = texts.get(code)
    try:
        return None if made is None else made(values)
    except (KeyError, TypeError, ValueError):
        return None  # a server of another version fills in other values


def _choose(v: Values) -> str:
    return _(
        "{serial} had several wearers since {day}: say which one, by --holder. They are {holders}"
    ).format(serial=v["serial"], day=day(v["day"]), holders=holders(v["holders"]))


def _swap(v: Values) -> str:
    return _("The wearers of {a} and {b} had each other's band from {begin} to {end}.").format(
        a=v["bands"][0],
        b=v["bands"][1],
        begin=day_and_time(v["from_s"]),
        end=day_and_time(v["to_s"]),
    )


_REFUSALS: dict[str, Callable[[Values], str]] = {
    "venue": lambda v: _("{serial} stands for a place: nobody wears it.").format(
        serial=v["serial"]
    ),
    "not_venue": lambda v: _("{serial} is worn by a person: it stands for no place.").format(
        serial=v["serial"]
    ),
    "one_date": lambda v: _("Give the first day of illness or the day of the test: one of them."),
    "day_ahead": lambda v: _("{day} has not come yet: check the dates.").format(day=day(v["day"])),
    "day_behind": lambda v: _("{day} is long before there were bands: check the dates.").format(
        day=day(v["day"])
    ),
    "isolated_before": lambda v: _(
        "Isolated since {isolated}, and infectious only from {day}: nobody can have been infected. "
        "Check the dates."
    ).format(isolated=day(v["isolated"]), day=day(v["day"])),
    "no_holder": lambda v: _(
        "{serial} has no wearer #{holder}: its log tells of {holders} so far."
    ).format(serial=v["serial"], holder=v["holder"], holders=v["holders"]),
    "choose_holder": _choose,
    "case_before": lambda v: _(
        "The wearer of {serial} is case {number} since {day}: close or withdraw that one first."
    ).format(serial=v["serial"], number=v["number"], day=day(v["day"])),
    "code_missing": lambda v: _(
        "A case is declared with a code of the health staff (zoneband case code)."
    ),
    "code_wrong": lambda v: _("There is no such code: ask the health staff for it again."),
    "code_used": lambda v: _("This code has declared a case already: each is good once."),
    "code_expired": lambda v: _("This code has expired: ask the health staff for a new one."),
    "code_tries": lambda v: _(
        "Too many codes were tried. Wait {n} seconds, then try again."
    ).format(n=v["n"]),
    "confirm_own": lambda v: _(
        "You declared case {number} yourself: somebody else must confirm it."
    ).format(number=v["number"]),
    "unconfirmed": lambda v: _(
        "Case {number} waits for a second person: health staff confirm it by zoneband case confirm "
        "{number}."
    ).format(number=v["number"]),
    "no_case_of": lambda v: _(
        "No wearer of {serial} is a case: a band is traced only for one."
    ).format(serial=v["serial"]),
    "no_confirmed_case": lambda v: _(
        "No wearer of {serial} is a confirmed case: a band is traced only for one."
    ).format(serial=v["serial"]),
    "withdrawn": lambda v: _("Case {number} was withdrawn: {reason}").format(
        number=v["number"], reason=v["reason"]
    ),
    "reason": lambda v: _("Give a reason of 1 to {n} characters.").format(n=v["n"]),
    "no_case": lambda v: _("There is no case {number}.").format(number=v["number"]),
    "no_open_case": lambda v: _(
        "The wearer of {serial} is no open case: declare one (zoneband case add), or give --from "
        "and --to."
    ).format(serial=v["serial"]),
    "several_cases": lambda v: _(
        "Several cases of {serial} are open: choose one by --case. They are {numbers}"
    ).format(serial=v["serial"], numbers=", ".join(map(str, v["numbers"]))),
    "case_of_other": lambda v: _("Case {number} is of {serial}.").format(
        number=v["number"], serial=v["serial"]
    ),
    "swap_itself": lambda v: _("A band cannot be swapped with itself."),
    "swap_ahead": lambda v: _("{time} has not come yet: check the dates.").format(
        time=day_and_time(v["from_s"])
    ),
    "swap_overlaps": lambda v: _(
        "One of these was swapped in that time already ({a} and {b}, {begin} – {end}): take that "
        "back first (--undo)."
    ).format(
        a=v["bands"][0],
        b=v["bands"][1],
        begin=day_and_time(v["from_s"]),
        end=day_and_time(v["to_s"]),
    ),
    "no_swap": lambda v: _("No swap of {a} and {b} was noted for just that time.").format(
        a=v["a"], b=v["b"]
    ),
    "span_backwards": lambda v: _("The span ends before it begins."),
    "erase_holder": lambda v: _(
        "{serial} had several wearers: say who is erased, by --holder, or which days, by --from "
        "and --until. They are {holders}"
    ).format(
        serial=v["serial"], holders=holders([{"name": None, **turn} for turn in v["holders"]])
    ),
    "erase_undocked": lambda v: _(
        "{serial} was handed out to {n} persons, and its log has not told when: dock it first."
    ).format(serial=v["serial"], n=v["n"]),
    "erase_case": lambda v: _(
        "The wearer of {serial} is case {number}, which is open: close it first."
    ).format(serial=v["serial"], number=v["number"]),
    "erase_ahead": lambda v: _("{time} has not come yet: check the dates.").format(
        time=day_and_time(v["from_s"])
    ),
    "no_right": lambda v: _("There is no request {number}.").format(number=v["number"]),
    "erase_not_worn": lambda v: _("The wearer of {serial} had no band on in these days.").format(
        serial=v["serial"]
    ),
    "engine_url": lambda v: _("{engine} is no engine: give duckdb, or sc://HOST:PORT.").format(
        engine=v["engine"]
    ),
    "engine_other": lambda v: _(
        "This server asks {own}, not {engine}: start it by zoneband serve --engine {engine}."
    ).format(engine=v["engine"], own=v["own"]),
    "engine_missing": lambda v: _(
        "{engine} needs PySpark, which the server lacks: .venv/bin/python -m pip install -r "
        "requirements/spark.txt"
    ).format(engine=v["engine"]),
    "engine_silent": lambda v: _(
        "No Spark Connect server answers at {engine}: start it, or check host and port."
    ).format(engine=v["engine"]),
    "engine_path": lambda v: _(
        "Spark at {engine} does not see {folder}: every machine of it needs the server's "
        "encounters at the same path."
    ).format(engine=v["engine"], folder=v["folder"]),
    "engine_failed": lambda v: _("Spark at {engine} gave up: {said}").format(
        engine=v["engine"], said=v["said"]
    ),
    "no_rules": lambda v: _("There is no rule set {name}. Rule sets are: {names}").format(
        name=v["name"], names=", ".join(v["names"])
    ),
}
_NOTES: dict[str, Callable[[Values], str]] = {
    "never_docked": lambda v: _(
        "{serial} was never docked: what it heard comes with its first dock. Until then only what "
        "others heard of it is known."
    ).format(serial=v["serial"]),
    "long_ago": lambda v: _(
        "{day} is more than {n} days ago: what was not docked since then is no longer in the bands."
    ).format(day=day(v["day"]), n=v["n"]),
    "choose_holder": lambda v: _(
        "{serial} had several wearers since {day}: declare the case again, and say which one it "
        "is. They are {holders}"
    ).format(serial=v["serial"], day=day(v["day"]), holders=holders(v["holders"])),
    "unconfirmed": lambda v: _(
        "It waits for a second person to confirm it: until then it is not traced."
    ),
    "swapped": _swap,
    "isolated_first": lambda v: _(
        "The wearer was isolated (since {day}) before this rule set calls a case infectious."
    ).format(day=day(v["isolated"])),
    "not_worn": lambda v: _(
        "The wearer had no band on in these days: {serial} was handed out earlier or later."
    ).format(serial=v["serial"]),
}
