"""Contacts of many cases at once, and theirs: F1, F2, F3, each by one run of contacts.sql."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from zoneband.arrow import column
from zoneband.tracing.engine import Session, table
from zoneband.tracing.rules import DAY_S, RuleSet

_SQL = (Path(__file__).parent / "contacts.sql").read_text(encoding="utf-8")
# The longest that a record can last: its duration has 16 bits.
_LONGEST_S = 65_535
_FARTHEST_DB = 1000.0
# How many times what is needed, both bands' records added up and each by whole windows, most likely
# is enough: both recorded most of it, and few windows are covered whole.
_PLENTY = 4


class Span(NamedTuple):
    """Whom to find the contacts of: a wearer's usual band, within [from_s, to_s) (UTC)."""

    case_id: int
    band: int
    from_s: int
    to_s: int


class Exposed(NamedTuple):
    """A contact as contacts.sql answers it: times in UTC seconds, near_s and total_s seconds,
    weighted and most thousandths of weighted seconds; sides: 1 the case's band recorded it, 2 the
    contact's, 3 both."""

    case_id: int
    band: int
    first_s: int
    last_s: int
    exposed_s: int | None
    near_s: int
    weighted: int
    total_s: int
    most: int
    closest_db: int | None
    sides: int
    must_call: int


@dataclass(frozen=True)
class Link:
    """A contact of a case in a chain: degree 1 is F1. via: the band one degree nearer, whose
    contacts were looked for within [from_s, to_s)."""

    case_id: int
    degree: int
    via: int
    from_s: int
    to_s: int
    exposed: Exposed

    @property
    def band(self) -> int:
        """The contact's band id."""
        return self.exposed.band

    @property
    def exposed_s(self) -> int:
        """First exposure that counts, UTC seconds."""
        exposed_s = self.exposed.exposed_s
        return self.exposed.first_s if exposed_s is None else exposed_s


class Wearer(NamedTuple):
    """Who wears a band at a time: who, the same for the same person; until_s: to when (UTC seconds)
    contacts of his own are looked for; alone: nobody else wears the band meanwhile."""

    who: Hashable
    until_s: int
    alone: bool = True


Wearers = Callable[[Sequence[tuple[int, int]]], Sequence[Wearer | None]]
"""For (band id, UTC seconds) the wearers; None for what is not followed, such as a place."""


def prepare(db: Session, rule: RuleSet, offsets: Mapping[int, int]) -> None:
    """Make the tables of a rule set and of the boards' offsets (dB, by band id)."""
    near_db = -_FARTHEST_DB
    steps: list[tuple[float, float, int, int]] = []
    for number, (upto_db, weight) in enumerate(rule.steps):
        steps.append((near_db, float(upto_db), round(weight * 1000), int(number == 0)))
        near_db = float(upto_db)
    table(db, "steps", ("above_db", "upto_db", "weight", "near"), steps)
    table(db, "offsets", ("band", "db"), offsets.items())
    table(db, "signs", ("sign",), [(1,), (-1,)])
    size = rule.window_s
    away = [size * n for n in range(1, rule.bridge_s // size + 2)]
    table(db, "beside", ("step_s",), [(step_s,) for n in away for step_s in (-n, n)])
    most = (_LONGEST_S + rule.bridge_s) // size + 1
    span, add = (column(n * size) for n in np.tril_indices(most + 1))
    db.put("spread", pa.Table.from_arrays([span, add], names=["span_s", "add_s"]))


def contacts(
    db: Session,
    rule: RuleSet,
    spans: Sequence[Span],
    called_only: bool = False,
    known: Iterable[int] = (),
) -> list[Exposed]:
    """Contacts of each case, those that must be called first, then by weighted minutes. known:
    bands to leave out. Needs `prepare` and the view `encounters`.

    With called_only nobody else comes, and not all that followed is counted once one must be
    called: near_s, weighted, total_s and most may be less than they are, though most never less
    than is needed."""
    if not spans:
        return []
    table(db, "known", ("band",), [(band,) for band in known])
    plenty = _PLENTY * rule.needed if called_only and rule.period_s >= DAY_S else None
    found = _ask(db, rule, spans, called_only, plenty)
    unsure = {(each.case_id, each.band) for each in found if called_only and not each.must_call}
    if unsure:
        cases = {case_id for case_id, _band in unsure}
        again = _ask(db, rule, [span for span in spans if span.case_id in cases], True, None)
        found = [each for each in found if each.must_call]
        found += [each for each in again if (each.case_id, each.band) in unsure]
        found.sort(key=lambda each: (each.case_id, -each.weighted, each.band))
    return found


def _ask(
    db: Session, rule: RuleSet, spans: Sequence[Span], called_only: bool, plenty: int | None
) -> list[Exposed]:
    table(db, "cases", Span._fields, spans)
    beyond = _FARTHEST_DB if rule.drop_beyond_db is None else float(rule.drop_beyond_db)
    values: dict[str, int | float | None] = {
        "window_s": rule.window_s,
        "bridge_s": rule.bridge_s,
        "period_s": rule.period_s,
        "needed": rule.needed,
        "drop_shorter_s": rule.drop_shorter_s,
        "drop_beyond_db": beyond,
        "called_only": int(called_only),
        "plenty": plenty,
        "farthest_db": float(rule.steps[-1][0]),
        "heaviest": rule.weight(rule.steps[0][0]),
    }
    table(db, "rule", list(values), [list(values.values())])
    return [Exposed(*row) for row in db.rows(_SQL)]


def chains(
    db: Session,
    rule: RuleSet,
    cases: Sequence[Span],
    degrees: int,
    wearers: Wearers,
    first: Iterable[Exposed] | None = None,
) -> list[Link]:
    """Everybody who must be called, up to some degree: the contacts of cases; of these theirs from
    the first exposure on; and so on. Each comes once, at the least degree from any case, in it by
    the earliest exposure: times never run backwards on the way from the case.

    first: F1 where they are known already."""
    if first is None:
        first = contacts(db, rule, cases, called_only=True)
    at = {span.case_id: span for span in cases}
    links = [
        Link(each.case_id, 1, (case := at[each.case_id]).band, case.from_s, case.to_s, each)
        for each in first
        if each.must_call
    ]
    own = wearers([(span.band, span.from_s) for span in cases])
    seen = {wearer.who for wearer in own if wearer}
    known = {span.band for span, each in zip(cases, own, strict=True) if each and each.alone}
    found: list[Link] = []
    for degree in range(1, degrees + 1):
        best: dict[Hashable, tuple[Link, Wearer]] = {}
        whose = wearers([(link.band, link.exposed_s) for link in links])
        for link, wearer in zip(links, whose, strict=True):
            if wearer is None or wearer.who in seen:
                continue
            before = best.get(wearer.who)
            if before is None or _order(link) < _order(before[0]):
                best[wearer.who] = link, wearer
        seen |= best.keys()
        known |= {link.band for link, wearer in best.values() if wearer.alone}
        found += [link for link, _wearer in best.values()]
        if degree == degrees or not best:
            break
        sources = [
            (link, Span(number, link.band, link.exposed_s, wearer.until_s))
            for number, (link, wearer) in enumerate(best.values())
        ]
        spans = [span for _link, span in sources]
        links = [
            Link(source.case_id, degree + 1, source.band, span.from_s, span.to_s, each)
            for each in contacts(db, rule, spans, called_only=True, known=known)
            for source, span in (sources[each.case_id],)
        ]
    return found


def _order(link: Link) -> tuple[int, int, int, int]:
    return link.exposed_s, -link.exposed.weighted, link.case_id, link.via
