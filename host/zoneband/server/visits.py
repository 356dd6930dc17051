"""Who was at a place: the answer to a check-in, from what a venue beacon and the bands heard."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from zoneband.server.people import People
from zoneband.tracing.attenuation import attenuation_db
from zoneband.tracing.exposure import merge, spans_of
from zoneband.tracing.query import Evidence

# Whoever is not heard at a place for so long has gone.
_GONE_S = 600


def visits(
    rows: Sequence[Evidence],
    place: int,
    people: People,
    from_s: int,
    to_s: int,
    case: int | None,
    offsets: Mapping[int, int],
) -> list[dict[str, Any]]:
    """Visitors from the records between a venue beacon and bands, each with the spans of being
    there (UTC seconds), minutes, the strongest level's attenuation, and with a case the minutes
    together with it ("overlap_min", None without one); most of these first, then by arrival.

    place, case: band ids; people: knows all bands in the records; offsets: dB by band id."""
    grouped: dict[tuple[int, int], list[Evidence]] = defaultdict(list)
    for row in rows:
        other = row.contact if row.observer == place else row.observer
        grouped[(other, people.holder(other, row.start_s))].append(row)
    stays: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for who, mine in grouped.items():
        if people.role[who[0]] == "band":
            heard = [(begin, end) for _row, begin, end in spans_of(mine, from_s, to_s)]
            if spans := merge(heard, _GONE_S):
                stays[who] = spans
    cases: list[tuple[int, int]] = []
    for (band, _holder), spans in stays.items():
        if band == case:
            cases = merge([*cases, *spans], 0)
    found: list[dict[str, Any]] = []
    for (band, holder), spans in stays.items():
        closest = min(
            attenuation_db(row.rssi_max, offsets.get(place, 0) + offsets.get(band, 0))
            for row in grouped[(band, holder)]
        )
        found.append(
            {
                "serial": people.serial[band],
                "holder": holder,
                "role": people.role[band],
                "spans": [{"from_s": begin, "to_s": end} for begin, end in spans],
                "minutes": round(sum(end - begin for begin, end in spans) / 60, 1),
                "overlap_min": None if case is None else round(_overlap_s(spans, cases) / 60, 1),
                "closest_db": closest,
                "is_case": band == case,
            }
        )
    found.sort(key=lambda v: (-(v["overlap_min"] or 0), v["spans"][0]["from_s"], v["serial"]))
    return found


def _overlap_s(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> int:
    # Seconds in both; the spans of each are in order and apart.
    total = i = j = 0
    while i < len(a) and j < len(b):
        total += max(0, min(a[i][1], b[j][1]) - max(a[i][0], b[j][0]))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return total
