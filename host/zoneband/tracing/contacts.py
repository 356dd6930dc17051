"""From evidence to contacts: who, how long, how near, what speaks for it and what against it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from zoneband.tracing.exposure import judge
from zoneband.tracing.query import Evidence
from zoneband.tracing.rules import RuleSet

# A near band is heard within a minute: so much one-sided time is no accident.
_CONTRADICTS_S = 300


class Facts(Protocol):
    """What is known of the bands in the evidence, by band id."""

    @property
    def serial(self) -> Mapping[int, str]:
        """Printed serials."""
        ...

    @property
    def role(self) -> Mapping[int, str]:
        """ "band" or "venue"."""
        ...

    def holder(self, band: int, at_s: int) -> int:
        """Which wearer in turn had the band, 0 before the first that is known."""
        ...

    def holders(self, band: int, from_s: int, to_s: int) -> int:
        """How many wearers had the band in a span, as far as its log tells."""
        ...

    def in_time(self, band: int, due_s: int, start_s: int, duration_s: int) -> bool | None:
        """Whether the band itself sent that ID then; None: not known yet."""
        ...

    def docked(self, band: int) -> bool:
        """Whether the band has ever brought its log."""
        ...

    def error_s(self, band: int, boot_id: int, run_s: int) -> float | None:
        """How wrong a record's time may be, in seconds; None where nobody can say."""
        ...


class Logs(Protocol):
    """What bands' logs cover."""

    def seconds(self, band: int, from_s: float, to_s: float) -> float:
        """How much of a span a band must have recorded what it heard, in seconds."""
        ...


def contacts(
    rule: RuleSet,
    rows: Sequence[Evidence],
    case: int,
    facts: Facts,
    logs: Logs,
    from_s: int,
    to_s: int,
    offsets: Mapping[int, int] | None = None,
) -> list[dict[str, Any]]:
    """Contacts of a case, those that must be called first, then by weighted minutes, each with its
    windows and records.

    "confirmed": every record's ID was sent by its own band at that time; "replay": one was not;
    neither: a band's own log is still missing. "clock": how good the worst time is (0 suspect,
    1 the band's own, 2 vouched for); "time_error_s": how wrong the worst may be, None where nobody
    can say. "why": what made it a contact or none, and what must be known of it, as
    zoneband.tracing.words puts into words."""
    grouped: dict[tuple[int, int], list[Evidence]] = defaultdict(list)
    for row in rows:
        other = row.contact if row.observer == case else row.observer
        # Two wearers of one band in turn are two contacts.
        grouped[(other, facts.holder(other, row.start_s))].append(row)
    found: list[dict[str, Any]] = []
    for (other, holder), mine in grouped.items():
        sent = [facts.in_time(_sender(r), r.due_s, r.start_s, r.duration_s) for r in mine]
        errors = [facts.error_s(_recorder(r), r.boot_id, r.run_s) for r in mine]
        known = [error for error in errors if error is not None]
        contact: dict[str, Any] = {
            "serial": facts.serial[other],
            "holder": holder,
            "role": facts.role[other],
            **judge(rule, mine, from_s, to_s, case, offsets),
            "both_sided": len({row.observer for row in mine}) == 2,
            "confirmed": all(sent),
            "replay": any(s is False for s in sent),
            "clock": min(row.clock for row in mine),
            "time_error_s": round(max(known), 1) if len(known) == len(errors) else None,
        }
        contact["why"] = [
            _verdict(rule, contact),
            *contact.pop("dropped"),
            *_doubts(contact, mine, case, other, facts, logs, from_s, to_s),
        ]
        contact["evidence"] = [
            {
                "observer": facts.serial[_recorder(row)],
                "log_id": row.log_id,
                "sector": row.sector,
                "slot": row.slot,
                "start_s": row.start_s,
                "duration_s": row.duration_s,
                "sightings": row.sightings,
                "rssi_mean": row.rssi_mean,
                "rssi_max": row.rssi_max,
                "in_time": in_time,
                "clock": row.clock,
            }
            for row, in_time in zip(mine, sent, strict=True)
        ]
        found.append(contact)
    found.sort(key=order)
    return found


def order(contact: Mapping[str, Any]) -> tuple[bool, float, float, float, str, int]:
    """By what contacts are put in order."""
    minutes = -contact["weighted_min"], -contact["near_min"], -contact["total_min"]
    return not contact["must_call"], *minutes, contact["serial"], contact["holder"]


def _recorder(row: Evidence) -> int:
    return row.observer if row.observer_band < 0 else row.observer_band


def _sender(row: Evidence) -> int:
    return row.contact if row.contact_band < 0 else row.contact_band


def _verdict(rule: RuleSet, contact: Mapping[str, Any]) -> dict[str, Any]:
    needed = {
        "weighted_min": contact["most_min"],
        "min_minutes": rule.min_minutes,
        "period_s": rule.period_s,
    }
    if contact["must_call"]:
        return {"code": "enough", **needed}
    levels = [w["attenuation_db"] for w in contact["windows"] if w["attenuation_db"] is not None]
    within = any(w["near"] or w["weight"] for w in contact["windows"])
    if contact["weighted_min"] or within:
        return {"code": "too_short", **needed}
    return {
        "code": "too_far",
        "closest_db": contact["closest_db"],
        "attenuation_db": min(levels, default=None),
        "at_most_db": rule.steps[-1][0],
    }


def _doubts(
    contact: Mapping[str, Any],
    rows: Sequence[Evidence],
    case: int,
    other: int,
    facts: Facts,
    logs: Logs,
    from_s: int,
    to_s: int,
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    docked = facts.docked(other)
    if not contact["both_sided"]:
        side = "case" if rows[0].observer == case else "contact"
        found.append({"code": "one_sided", "side": side})
    if not docked:
        found.append({"code": "other_never_docked"})
    for side in ("case", "contact"):
        silent = {_sender(row) for row in rows if (row.observer == case) == (side == "case")}
        covered_s = sum(
            logs.seconds(band, w["start_s"], w["start_s"] + w["minutes"] * 60)
            for band in silent
            for w in contact["windows"]
            if w["weight"] and w["sides"] == side
        )
        if covered_s >= _CONTRADICTS_S:
            quiet = "contact" if side == "case" else "case"
            minutes = round(covered_s / 60, 1)
            found.append({"code": "contradicted", "silent": quiet, "minutes": minutes})
    if contact["replay"]:
        found.append({"code": "replay"})
    elif not contact["confirmed"]:
        found.append({"code": "unconfirmed"})
    if not contact["clock"]:
        found.append({"code": "clock_suspect"})
    holders = facts.holders(other, from_s, to_s)
    if holders > 1:
        found.append({"code": "holder_changed", "holders": holders})
    return found
