"""The call list of a case, to save."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from zoneband.i18n import _
from zoneband.server import calls as call_states
from zoneband.server import report
from zoneband.server.pages import words
from zoneband.server.pages.door import Seen, Visitor
from zoneband.server.pages.one_case import (
    Asked,
    Choice,
    Number,
    all_notes,
    names,
    rule_text,
    traced,
    why,
)
from zoneband.server.tracing_server import TracingServer


def add(pages: FastAPI, server: TracingServer, utc: Callable[[], float]) -> None:
    """Add the call lists. utc: Unix seconds now."""

    def call_list(number: int, who: Visitor, asked: Asked) -> report.CallList:
        case, answer = traced(server, number, asked)
        noted = server.calls.last(number)

        def line(place: int, contact: Mapping[str, Any]) -> report.Line:
            return _line(place, contact, answer, noted)

        head = [(_("band"), words.band(case))]
        if words.name(case):
            head.insert(0, (_("wearer"), words.name(case)))
        day = words.iso_day(case["onset"] or case["tested"])
        head.append((_("ill since") if case["onset"] else _("tested on"), day))
        head.append((_("infectious"), words.days(answer["from_s"], answer["to_s"])))
        head.append((_("Rule set"), f"{answer['rule']['name']} ({rule_text(answer['rule'])})"))
        made = _("{tracer}, {time}").format(tracer=who.session.tracer, time=words.moment(utc()))
        return report.CallList(
            title=_("Call list of case {number}").format(number=number),
            head=head,
            notes=all_notes(case, answer),
            lines=report.of_contacts(answer["contacts"], line),
            made=made,
        )

    @pages.get("/cases/{number}/calls.csv")
    def save_csv(number: Number, who: Seen, asked: Choice) -> Response:  # pyright: ignore[reportUnusedFunction]
        made = report.as_csv(call_list(number, who, asked))
        return _download(made, "text/csv; charset=utf-8", f"case-{number}-calls.csv")

    @pages.get("/cases/{number}/calls.pdf")
    def save_pdf(number: Number, who: Seen, asked: Choice) -> Response:  # pyright: ignore[reportUnusedFunction]
        # ReportLab is only read by whoever prints.
        from zoneband.server import report_pdf

        made = report_pdf.as_pdf(call_list(number, who, asked))
        return _download(made, "application/pdf", f"case-{number}-calls.pdf")


def _line(
    place: int,
    contact: Mapping[str, Any],
    answer: Mapping[str, Any],
    noted: Mapping[tuple[str, int], Mapping[str, Any]],
) -> report.Line:
    person = contact.get("person") or {}
    call = noted.get((contact["serial"], contact["holder"] or 0))
    far = contact["degree"] > 1
    return report.Line(
        place=place,
        name=words.name(contact),
        birth_year=str(person.get("birth_year") or ""),
        phone=words.phone(person.get("phone")),
        phone_of=_("a relative's") if person.get("phone_of") == "relative" else "",
        band=words.band(contact),
        degree=words.degree(contact["degree"]),
        path=" → ".join(names(answer, contact)[:-1]) if far else "",
        counted=words.minutes(contact["weighted_min"]),
        near=words.minutes(contact["near_min"]),
        first=words.moment(contact["first_s"]),
        last=words.moment(contact["last_s"]),
        why=" ".join(why(contact)),
        state=words.call_state(call["state"] if call else call_states.TO_CALL),
    )


def _download(content: bytes, kind: str, name: str) -> Response:
    named = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=named)
