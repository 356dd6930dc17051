"""One trace as it is worked out: F1 from the evidence, F2 and F3 by the query over many cases, and
the evidence of these too."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from zoneband.server.cover import Cover
from zoneband.server.people import HAND_OVER_S, People
from zoneband.tracing import degrees
from zoneband.tracing.contacts import contacts, order
from zoneband.tracing.degrees import Exposed, Span, Wearer
from zoneband.tracing.engine import Session
from zoneband.tracing.query import Evidence, Pair, evidence
from zoneband.tracing.rules import RuleSet


class Answer:
    """The contacts of one case, while both connections are open."""

    def __init__(
        self,
        db: Connection,
        engine: Session,
        rule: RuleSet,
        offsets: Mapping[int, int],
        case: Span,
    ) -> None:
        """engine: with the view `encounters`; offsets: dB by band id; case: the case's usual band
        and span."""
        self._engine = engine
        self._rule = rule
        self._offsets = offsets
        self._case = case
        self.people = People(db, {case.band})
        self._logs = Cover(db, self.people)

    def first(self) -> list[dict[str, Any]]:
        """F1: everybody who was ever heard, in order."""
        case = self._case
        rows = evidence(self._engine, [Pair(case.band, -1, case.from_s, case.to_s)])[0]
        found = self._contacts(rows, case.band, case.from_s, case.to_s)
        serial = self.people.serial[case.band]
        return [{**contact, "degree": 1, "path": [serial, contact["serial"]]} for contact in found]

    def further(
        self, first: Sequence[Mapping[str, Any]], most: int, until_s: int
    ) -> list[dict[str, Any]]:
        """F2 up to the degree `most`: those who must be called, by degree and in order. until_s: to
        when they are looked for; whoever had handed his band on only to then."""
        case = self._case
        ids = {serial: band for band, serial in self.people.serial.items()}
        called = [contact for contact in first if contact["must_call"]]
        paths: dict[tuple[int, int], list[str]] = {
            (ids[c["serial"]], c["holder"]): list(c["path"]) for c in called
        }
        degrees.prepare(self._engine, self._rule, self._offsets)
        links = degrees.chains(
            self._engine,
            self._rule,
            [case],
            most,
            lambda at: self._wearers(at, until_s),
            [_exposed(case.case_id, ids[contact["serial"]], contact) for contact in called],
        )
        links = [link for link in links if link.degree > 1]
        pairs = [Pair(link.via, link.band, link.from_s, link.to_s) for link in links]
        found: list[dict[str, Any]] = []
        for link, rows in zip(links, evidence(self._engine, pairs), strict=True):
            via = link.via, self.people.holder(link.via, link.from_s)
            who = link.band, self.people.holder(link.band, link.exposed_s)
            for contact in self._contacts(rows, link.via, link.from_s, link.to_s):
                # Two wearers in turn may have the minutes together that none has alone.
                if contact["holder"] == who[1] and contact["must_call"] and via in paths:
                    paths[who] = [*paths[via], contact["serial"]]
                    found.append({**contact, "degree": link.degree, "path": paths[who]})
        return sorted(found, key=lambda contact: (contact["degree"], order(contact)))

    def _contacts(
        self, rows: Sequence[Evidence], band: int, from_s: int, to_s: int
    ) -> list[dict[str, Any]]:
        self.people.learn(_bands(rows))
        return contacts(
            self._rule, rows, band, self.people, self._logs, from_s, to_s, self._offsets
        )

    def _wearers(self, at: Sequence[tuple[int, int]], until_s: int) -> list[Wearer | None]:
        self.people.learn({band for band, _at_s in at})
        found: list[Wearer | None] = []
        for band, at_s in at:
            if band == self._case.band:
                # The case, whichever wearer in turn: nobody is a contact of himself.
                found.append(Wearer((band, 0), until_s))
                continue
            if self.people.role.get(band) != "band":
                found.append(None)
                continue
            turns = self.people.hand_outs(self.people.serial[band])
            later = [
                turn.from_s - HAND_OVER_S for turn in turns if turn.from_s > at_s + HAND_OVER_S
            ]
            who = band, self.people.holder(band, at_s)
            found.append(Wearer(who, min([until_s, *later]), len(turns) < 2))
        return found


def _exposed(case_id: int, band: int, contact: Mapping[str, Any]) -> Exposed:
    # A contact that is known from its evidence.
    return Exposed(
        case_id,
        band,
        contact["first_s"],
        contact["last_s"],
        contact["exposed_s"],
        round(contact["near_min"] * 60),
        round(contact["weighted_min"] * 60_000),
        round(contact["total_min"] * 60),
        round(contact["most_min"] * 60_000),
        contact["closest_db"],
        3,
        1,
    )


def _bands(rows: Iterable[Evidence]) -> set[int]:
    found: set[int] = set()
    for row in rows:
        found |= {row.observer, row.contact, row.observer_band, row.contact_band}
    return {band for band in found if band >= 0}
