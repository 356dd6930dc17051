"""The lines of the audit log in words: what happened, of what, and why something was refused.

Who reads JSON gets the log's own words; a word that is not known here is shown as it is.
"""

from collections.abc import Callable
from typing import Any

from zoneband.i18n import _
from zoneband.localtime import local
from zoneband.server import roles


def event(code: str) -> str:
    """What happened."""
    words = {
        "done": _("done"),
        "refused": _("refused"),
        "login": _("logged in"),
        "mended": _("torn line mended"),
        "audit": _("read the audit log"),
        # Cases.
        "case_code": _("gave a code for a case"),
        "declare": _("declared a case"),
        "confirm": _("confirmed a case"),
        "close": _("closed a case"),
        "withdraw": _("withdrew a case"),
        "end": _("ended a case"),
        "cases": _("looked at all cases"),
        "case": _("looked at a case"),
        "contacts": _("looked at contacts"),
        "trace": _("traced a band"),
        "visits": _("looked at a place's visitors"),
        "people": _("looked at a band's wearers"),
        "download": _("downloaded a call list"),
        "call": _("noted a call"),
        # Bands.
        "group_add": _("made a group"),
        "group_renew": _("renewed a group's key"),
        "order": _("ordered something of a band"),
        "swaps": _("looked at swapped bands"),
        "swap": _("noted swapped bands"),
        "swap_undo": _("took a swap back"),
        # Persons.
        "retention": _("dropped what is too old"),
        "erase": _("erased a person"),
        "erasures": _("looked at erasures"),
        "erase_again": _("erased again after a backup"),
        "right_add": _("noted a person's request"),
        "rights": _("looked at persons' requests"),
        "right_answer": _("answered a person's request"),
        "right_done": _("finished a person's request"),
        # Who may come in.
        "account_add": _("added an account"),
        "account_remove": _("removed an account"),
        "account_password": _("set an account's password"),
        "account_role": _("set an account's roles"),
        "station": _("a station registered"),
        "station_invite": _("invited a station"),
        "station_revoke": _("shut a station out"),
    }
    return words.get(code, code)


def facts(found: dict[str, Any]) -> str:
    """Of what, and why."""
    return ", ".join(filter(None, (_fact(name, value) for name, value in found.items())))


def why(code: str) -> str:
    """Why something was refused."""
    words = {
        "role": _("the account has not the role"),
        "session": _("not logged in"),
        "login": _("wrong name, password or code"),
        "login_rate": _("too many wrong tries"),
        "rate": _("too many requests"),
        "quota": _("the station brought too much"),
        # Stations: zoneband.server.signed.
        "revoked": _("the station was revoked"),
        "unsigned": _("not signed"),
        "token": _("a token instead of a signature"),
        "key": _("nobody's key"),
        "signature": _("the signature is not genuine"),
        "clock": _("signed at another time"),
        "replay": _("the request came before"),
        "digest": _("not what was signed"),
        "slow": _("came too slowly"),
        "station": _("another station's"),
        "code": _("wrong code"),
        "code-used": _("code used before"),
        "code-expired": _("code expired"),
        "code-name": _("another station's code"),
        "code-key": _("the station's key was used before"),
        "unreadable": _("not readable"),
        "no_band": _("no such band"),
        "no_case": _("no such case"),
        "no_right": _("no such request"),
        "confirm_own": _("own case"),
        "unconfirmed": _("not confirmed"),
        "withdrawn": _("the case was withdrawn"),
        "code_missing": _("code missing"),
        "code_wrong": _("wrong code"),
        "code_used": _("code used before"),
        "code_expired": _("code expired"),
        "code_tries": _("too many wrong codes"),
        "no_holder": _("no such wearer"),
        "choose_holder": _("several wearers"),
        "venue": _("the band stands for a place"),
        "not_venue": _("the band stands for no place"),
        # What else zoneband.tracing.case_words has whole lines for.
        "case_before": _("already a case"),
        "no_case_of": _("no wearer of the band is a case"),
        "no_confirmed_case": _("no wearer of the band is a confirmed case"),
        "no_open_case": _("no open case"),
        "several_cases": _("several open cases"),
        "case_of_other": _("another band's case"),
        "one_date": _("not one date"),
        "day_ahead": _("the day has not come yet"),
        "day_behind": _("the day is long past"),
        "isolated_before": _("isolated before being infectious"),
        "reason": _("no fit reason given"),
        "span_backwards": _("ends before it begins"),
        "swap_itself": _("swapped with itself"),
        "swap_ahead": _("the time has not come yet"),
        "swap_overlaps": _("swapped in that time already"),
        "no_swap": _("no such swap"),
        "erase_holder": _("several wearers"),
        "erase_undocked": _("the band's log has not told its wearers"),
        "erase_case": _("the wearer is an open case"),
        "erase_ahead": _("the time has not come yet"),
        "erase_not_worn": _("no band was worn then"),
        "engine_url": _("no such engine"),
        "engine_other": _("not the server's engine"),
        "engine_missing": _("the engine is not installed"),
        "engine_silent": _("the engine does not answer"),
        "engine_path": _("the engine does not see the encounters"),
        "engine_failed": _("the engine gave up"),
        "no_rules": _("no such rule set"),
    }
    if code.isdecimal():
        return _("answer {code}").format(code=code)
    return words.get(code, code)


def _fact(name: str, value: Any) -> str:
    words: dict[str, Callable[[Any], str]] = {
        "endpoint": str,
        "name": str,
        "serial": str,
        "serials": lambda v: " ".join(map(str, v)),
        "why": lambda v: why(str(v)),
        "case": lambda v: _("case {number}").format(number=v),
        "right": lambda v: _("request {number}").format(number=v),
        "of": lambda v: _("of line {number}").format(number=v),
        "more": lambda v: _("{n} more like it").format(n=v),
        "station": lambda v: _("station {name}").format(name=v),
        "kind": lambda v: _("kind {kind}").format(kind=v),
        "roles": lambda v: ", ".join(map(roles.name, v)),
        "degrees": lambda v: _("up to F{degree}").format(degree=v),
        "from": lambda v: _("from {day}").format(day=v),
        "to": lambda v: _("to {day}").format(day=v),
        "from_s": lambda v: _("from {day}").format(day=_time(v)),
        "to_s": lambda v: _("to {day}").format(day=_time(v)),
        "new": lambda v: _("new") if v else _("known before"),
        "new_app": lambda v: _("authenticator app set up anew") if v else "",
        "bytes": lambda v: _("{n} bytes").format(n=v),
    }
    if name in words and value is not None:
        return words[name](value)
    return f"{name}: {value}"


def _time(utc_s: int) -> str:
    return f"{local(utc_s):%d/%m/%Y %H:%M}"
