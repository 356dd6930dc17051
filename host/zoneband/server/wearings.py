"""Whose a band was, moment by moment: swaps of two wearers, and the bands that a case had on."""

from collections.abc import Sequence
from typing import NamedTuple

from zoneband.tracing.engine import NOBODY, Wearing

_EVER = (0, 1 << 40)


class Exchange(NamedTuple):
    """From from_s to before to_s the wearers of two bands (band ids) had each other's on."""

    a: int
    b: int
    from_s: int
    to_s: int


class Part(NamedTuple):
    """A case had a band (band id) on from from_s to before to_s."""

    band: int
    from_s: int
    to_s: int


def wearings(
    exchanges: Sequence[Exchange], case: int, parts: Sequence[Part] | None = None
) -> list[Wearing]:
    """Where a band was not on its usual wearer. parts: the bands that the case's wearer had on, by
    the hand-outs; None: the case's own all the time."""
    bounds = {*_EVER}
    bands: set[int] = set()
    for exchange in exchanges:
        bounds |= {exchange.from_s, exchange.to_s}
        bands |= {exchange.a, exchange.b}
    for part in parts or ():
        bounds |= {part.from_s, part.to_s}
        bands.add(part.band)
    if parts is not None:
        bands.add(case)
    cuts = sorted(bounds)
    found: dict[int, list[Wearing]] = {band: [] for band in sorted(bands)}
    for from_s, to_s in zip(cuts, cuts[1:], strict=False):
        on = {band: band for band in bands}
        for exchange in exchanges:
            if exchange.from_s <= from_s < exchange.to_s:
                on[exchange.a], on[exchange.b] = exchange.b, exchange.a
        for band, whose in on.items():
            if parts is not None:
                whose = _whose(whose, from_s, case, parts)
            rows = found[band]
            if rows and (rows[-1].wearer, rows[-1].to_s) == (whose, from_s):
                rows[-1] = rows[-1]._replace(to_s=to_s)
            elif whose != band:
                rows.append(Wearing(band, whose, from_s, to_s))
    return [row for rows in found.values() for row in rows]


def _whose(band: int, at_s: int, case: int, parts: Sequence[Part]) -> int:
    if any(part.band == band and part.from_s <= at_s < part.to_s for part in parts):
        return case
    # The case's usual band, on somebody else or lost: none of the case's contacts.
    return NOBODY if band == case else band
