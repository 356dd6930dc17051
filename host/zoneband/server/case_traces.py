"""Traces of cases: by the case's own days and the bands its wearer had on them."""

from collections.abc import Sequence
from typing import Any

from zoneband.server.cases import WITHDRAWN
from zoneband.server.refused import Refused
from zoneband.server.tracing_server import TracingServer
from zoneband.server.wearers import Worn
from zoneband.tracing.rules import DEFAULT

# Notes of a case that bear upon its contacts; what there is to say of the span, the trace says.
_OF_THE_SPAN = ("choose_holder", "long_ago")


def contacts(
    server: TracingServer,
    number: int,
    rules: str = DEFAULT,
    degrees: int = 1,
    engine: str | None = None,
) -> dict[str, Any]:
    """The contacts of a case in its infectious window, as zoneband.server.tracing answers, with
    its "number". engine: the server's own unless given. Degrees beyond the first are followed until
    today. A withdrawn case has none, and says so. Raises NoCase and Refused."""
    rule = server.tracing.rule(rules)
    case = server.cases.get(number)
    server.cases.check_confirmed(case)
    from_s, to_s = server.cases.window(case, rule)
    notes = [entry for entry in case["notes"] if entry["code"] in _OF_THE_SPAN]
    worn: Sequence[Worn] = ()
    if case["state"] == WITHDRAWN:
        ended = {"number": number, "utc_s": case["ended_s"], "reason": case["reason"]}
        notes = [{"code": "withdrawn", **ended}]
    elif from_s == to_s:
        notes.append({"code": "isolated_first", "isolated": case["isolated"]})
    else:
        worn = server.cases.worn(case, from_s, to_s)
        if not worn:
            notes.append({"code": "not_worn", "serial": case["serial"]})
    answer: dict[str, Any] = {
        "case": case["serial"],
        "from_s": from_s,
        "to_s": to_s,
        "rule": rule.as_json(),
        "contacts": [],
        "notes": [],
    }
    if worn:
        until_s = max(to_s, server.cases.tonight_s())
        answer = server.tracing.trace(
            case["serial"], from_s, to_s, rules, degrees, until_s=until_s, worn=worn, asked=engine
        )
    return answer | {"number": number, "notes": notes + answer["notes"]}


def visits(
    server: TracingServer, venue: str, from_s: int, to_s: int, number: int | None = None
) -> dict[str, Any]:
    """Who was at a venue beacon in [from_s, to_s), and with a case's number for how long together
    with that case. Raises Unknown, NoCase and Refused."""
    if number is None:
        return server.tracing.visits(venue, from_s, to_s)
    case = server.cases.get(number)
    if case["state"] == WITHDRAWN:
        raise Refused("withdrawn", number=number, reason=case["reason"])
    server.cases.check_confirmed(case)
    worn = server.cases.worn(case, from_s, to_s)
    return server.tracing.visits(venue, from_s, to_s, case["serial"], worn=worn)
