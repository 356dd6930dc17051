"""From evidence to contacts: who, how long, how near, and what speaks for it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from zoneband.tracing.query import Evidence
from zoneband.tracing.rule import Rule, judge


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
        """Number of the issue that was current."""
        ...

    def in_time(self, band: int, due_s: int, start_s: int, duration_s: int) -> bool | None:
        """Whether the band itself sent that ID then; None: not known yet."""
        ...


def contacts(
    rule: Rule, rows: Sequence[Evidence], case: int, facts: Facts, from_s: int, to_s: int
) -> list[dict[str, Any]]:
    """Contacts of a case, nearest first, each with its windows and records.

    "confirmed": every record's ID was sent by its own band at that time; "replay": one was not;
    neither: a band's own log is still missing. "clock": how good the worst time is (0 suspect,
    1 the band's own, 2 vouched for)."""
    grouped: dict[tuple[int, int], list[Evidence]] = defaultdict(list)
    for row in rows:
        other = row.contact if row.observer == case else row.observer
        # Two wearers of one band in turn are two contacts.
        grouped[(other, facts.holder(other, row.start_s))].append(row)
    found: list[dict[str, Any]] = []
    for (other, holder), mine in grouped.items():
        sent = [facts.in_time(r.contact, r.due_s, r.start_s, r.duration_s) for r in mine]
        found.append(
            {
                "serial": facts.serial[other],
                "holder": holder,
                "role": facts.role[other],
                **judge(rule, mine, from_s, to_s),
                "both_sided": len({row.observer for row in mine}) == 2,
                "confirmed": all(sent),
                "replay": any(s is False for s in sent),
                "clock": min(row.clock for row in mine),
                "evidence": [
                    {
                        "observer": facts.serial[row.observer],
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
                ],
            }
        )
    found.sort(key=lambda c: (-c["near_min"], -c["total_min"], c["serial"]))
    return found
