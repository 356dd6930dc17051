"""What every view of one case has in common: its trace, notes, and words for both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from starlette.responses import Response

from zoneband.i18n import _
from zoneband.server import case_traces
from zoneband.server.cases import WITHDRAWN
from zoneband.server.pages import words
from zoneband.server.pages.door import Visitor
from zoneband.server.pages.templates import page
from zoneband.server.refused import Refused
from zoneband.server.tracing_server import TracingServer
from zoneband.tracing import case_words
from zoneband.tracing import words as trace_words
from zoneband.tracing.rules import DEFAULT, RuleSet

# A case, in an address.
Number = Annotated[int, Path(ge=1, lt=1 << 31)]


@dataclass(frozen=True)
class Asked:
    """By which rule set and how far a case is to be traced."""

    rules: str
    degrees: int

    @property
    def chosen(self) -> dict[str, Any]:
        """What addresses carry: nothing of what is the default."""
        return {
            "rules": None if self.rules == DEFAULT else self.rules,
            "degrees": None if self.degrees == 1 else self.degrees,
        }


def asked(rules: str = DEFAULT, degrees: Annotated[int, Query(ge=1, le=3)] = 1) -> Asked:
    return Asked(rules, degrees)


Choice = Annotated[Asked, Depends(asked)]


def refusal(error: Refused) -> str:
    """Why the server refused, in words."""
    return case_words.refusal(error.code, error.values) or _("The server refuses this.")


def notes_of(entries: list[dict[str, Any]]) -> list[str]:
    """Notes in words, each once."""
    return list(dict.fromkeys(trace_words.note(entry) for entry in entries))


def all_notes(case: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
    """What a trace and its case say, the trace first: what both say, it says more exactly."""
    said = {entry["code"] for entry in answer["notes"]}
    return notes_of([*answer["notes"], *(n for n in case["notes"] if n["code"] not in said)])


def why(contact: Mapping[str, Any]) -> list[str]:
    """Why a contact is in or out, in words."""
    return [trace_words.why(entry) for entry in contact["why"]]


def traced(
    server: TracingServer, number: int, asked: Asked
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the case, its contacts as zoneband.server.tracing answers). Raises NoCase and Refused."""
    case = server.cases.get(number)
    return case, case_traces.contacts(server, number, asked.rules, asked.degrees)


def view(
    server: TracingServer,
    request: Request,
    who: Visitor,
    template: str,
    tab: str,
    case: dict[str, Any],
    answer: dict[str, Any],
    asked: Asked,
    *,
    status: int = 200,
    here: str | None = None,
    **values: object,
) -> Response:
    """A view of a case as an answer; tab: which one it is."""
    return page(
        request,
        template,
        who,
        status=status,
        here=here,
        tab=tab,
        tabs=(
            ("contacts", _("Contacts"), ""),
            ("timeline", _("Timeline"), "/timeline"),
            ("graph", _("Graph"), "/graph"),
        ),
        case=case,
        answer=answer,
        withdrawn=case["state"] == WITHDRAWN,
        notes=all_notes(case, answer),
        chosen=asked.chosen,
        degrees=asked.degrees,
        rule_names=sorted(server.rules),
        rule_text=rule_text(answer["rule"]),
        why=why,
        **values,
    )


def rule_text(rule: Mapping[str, Any]) -> str:
    """A rule set (as an answer carries it) in one line."""
    return rule_words(RuleSet.from_json(dict(rule)))


def rule_words(rule: RuleSet) -> str:
    """A rule set in one line."""
    steps = "; ".join(
        _("up to {db} dB: {weight} %").format(db=words.number(db), weight=round(100 * weight))
        for db, weight in rule.steps
    )
    return _("call from {n} minutes in any {period}; minutes count by attenuation, {steps}").format(
        n=words.minutes(rule.min_minutes), period=trace_words.period(rule.period_s), steps=steps
    )


def names(answer: Mapping[str, Any], contact: Mapping[str, Any]) -> list[str]:
    """Whom a contact's path goes by, by name where it is known."""
    known = {c["serial"]: words.who(c) for c in reversed(answer["contacts"])}
    known[contact["serial"]] = words.who(contact)
    path: list[str] = contact.get("path") or [answer["case"], contact["serial"]]
    return ["F0", *(known.get(serial, serial) for serial in path[1:])]
