"""One case: its contacts in order, timeline and graph, one contact with its evidence, and what a
tracer notes there."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Form, Query, Request
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from zoneband import serials
from zoneband.i18n import _
from zoneband.server import calls as call_states
from zoneband.server.cases import WITHDRAWN
from zoneband.server.ledger import Unknown
from zoneband.server.moments import today
from zoneband.server.pages import graph, timeline, words
from zoneband.server.pages.door import Seen, Sent, Visitor
from zoneband.server.pages.one_case import Asked, Choice, Number, names, refusal, traced, view
from zoneband.server.pages.templates import query
from zoneband.server.refused import Refused
from zoneband.server.tracing_server import TracingServer

# More boxes than this and nobody finds anything in the graph.
_MOST_BOXES = 400


def add(pages: FastAPI, server: TracingServer) -> None:
    """Add the pages of one case."""
    calls = server.calls

    def contacts_page(
        request: Request, who: Visitor, number: int, asked: Asked, error: str = ""
    ) -> Response:
        case, answer = traced(server, number, asked)
        found = answer["contacts"]
        due = [c for c in found if c["must_call"] and c["role"] != "venue"]
        noted = calls.last(number)
        done = [noted.get((c["serial"], c["holder"] or 0), {}) for c in due]
        return view(
            server,
            request,
            who,
            "case.html",
            "contacts",
            case,
            answer,
            asked,
            status=422 if error else 200,
            here=f"/tracer/cases/{number}" if error else None,
            due=due,
            places=[c for c in found if c["role"] == "venue"],
            others=[c for c in found if not c["must_call"] and c["role"] != "venue"],
            calls=noted,
            told=_told(server, noted) if case["state"] == WITHDRAWN else [],
            call_states=call_states.STATES,
            reached=sum(each.get("state") == call_states.REACHED for each in done),
            via=lambda contact: " → ".join(names(answer, contact)[:-1]),
            days=_span_days(answer),
            error=error,
        )

    @pages.get("/cases/{number}")
    def show(request: Request, number: Number, who: Seen, asked: Choice) -> Response:  # pyright: ignore[reportUnusedFunction]
        return contacts_page(request, who, number, asked)

    @pages.get("/cases/{number}/timeline")
    def show_timeline(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        number: Number,
        who: Seen,
        asked: Choice,
        every: Annotated[str, Query(alias="all")] = "",
    ) -> Response:
        case, answer = traced(server, number, asked)
        kept = _kept(answer, bool(every))
        found = timeline.days(kept, answer["rule"]["window_s"])
        return view(
            server,
            request,
            who,
            "timeline.html",
            "timeline",
            case,
            answer,
            asked,
            day_list=found,
            every=bool(every),
        )

    @pages.get("/cases/{number}/graph")
    def show_graph(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        number: Number,
        who: Seen,
        asked: Choice,
        shown: Annotated[str, Query(alias="show")] = "",
        every: Annotated[str, Query(alias="all")] = "",
    ) -> Response:
        case, answer = traced(server, number, asked)
        kept = _kept(answer, bool(every))[:_MOST_BOXES]
        nodes = graph.nodes(answer | {"contacts": kept}, words.name(case))
        link = query(**asked.chosen, all=every)
        drawn = graph.picture(nodes, shown, link + ("&show=" if link else "?show="))
        boxes = [
            (node, " → ".join(nodes[each].label for each in reversed(graph.path(nodes, place))))
            for place, node in enumerate(nodes)
            if place
        ]
        return view(
            server,
            request,
            who,
            "graph.html",
            "graph",
            case,
            answer,
            asked,
            picture=drawn,
            boxes=boxes,
            every=bool(every),
        )

    @pages.get("/cases/{number}/contacts/{key}")
    def show_contact(  # pyright: ignore[reportUnusedFunction]
        request: Request, number: Number, key: str, who: Seen, asked: Choice
    ) -> Response:
        case, answer = traced(server, number, asked)
        contact = next((c for c in answer["contacts"] if words.key(c) == key), None)
        if contact is None:
            raise HTTPException(404)
        return view(
            server,
            request,
            who,
            "contact.html",
            "contacts",
            case,
            answer,
            asked,
            contact=contact,
            way=" → ".join(names(answer, contact)),
            day_list=timeline.days([contact], answer["rule"]["window_s"]),
            call=calls.last(number).get((contact["serial"], contact["holder"] or 0)),
            call_states=call_states.STATES,
        )

    @pages.post("/cases/{number}/calls")
    def note_call(  # pyright: ignore[reportUnusedFunction]
        number: Number,
        who: Sent,
        asked: Choice,
        serial: Annotated[str, Form(pattern=serials.PATTERN)],
        state: Annotated[str, Form()],
        holder: Annotated[int, Form(ge=0, lt=1 << 31)] = 0,
        back: Annotated[str, Form()] = "",
    ) -> Response:
        server.cases.get(number)
        try:
            calls.note(number, serial, holder, state, who.session.tracer)
        except ValueError:
            raise HTTPException(400) from None
        key = words.key({"serial": serial, "holder": holder})
        values = query(**asked.chosen, said="call")
        if back == "contact":
            return RedirectResponse(f"/tracer/cases/{number}/contacts/{key}{values}", 303)
        return RedirectResponse(f"/tracer/cases/{number}{values}#contact-{key}", 303)

    @pages.post("/cases/{number}/end")
    def end(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        number: Number,
        who: Sent,
        asked: Choice,
        how: Annotated[str, Form()] = "",
        reason: Annotated[str, Form()] = "",
    ) -> Response:
        if how not in ("close", "withdraw"):
            server.cases.get(number)
            text = _("Choose whether the case is closed or withdrawn.")
            return contacts_page(request, who, number, asked, text)
        try:
            act = server.cases.close if how == "close" else server.cases.withdraw
            act(number, reason)
        except Refused as error:
            return contacts_page(request, who, number, asked, refusal(error))
        said = "closed" if how == "close" else "withdrawn"
        return RedirectResponse(f"/tracer/cases/{number}?said={said}", 303)


def _kept(answer: Mapping[str, Any], every: bool) -> list[dict[str, Any]]:
    """Who is drawn: those who must be called, and places; or everybody."""
    found: list[dict[str, Any]] = answer["contacts"]
    return [c for c in found if every or c["must_call"] or c["role"] == "venue"]


def _span_days(answer: Mapping[str, Any]) -> tuple[str, str]:
    return today(answer["from_s"]).isoformat(), today(answer["to_s"] - 1).isoformat()


def _told(
    server: TracingServer, noted: Mapping[tuple[str, int], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Whom somebody called before a case was withdrawn: the band, everybody who had it, and the
    call. Which of several wearers it was only a trace would tell."""
    found: list[dict[str, Any]] = []
    for (serial, holder), call in noted.items():
        try:
            people = server.people(serial)
        except Unknown:
            people = []
        contact = {"serial": serial, "holder": holder}
        found.append({"contact": contact, "people": people, "call": call})
    return found
