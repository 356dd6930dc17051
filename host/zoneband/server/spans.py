"""Masks, a bit a slot of a sector, and spans of cursors."""

from collections.abc import Iterable, Iterator

from zoneband.wire import log

Span = tuple[int, int]
"""Cursors of a log: from the first to before the second."""

_MASK_BYTES = log.SLOTS // 8


def mask(raw: bytes) -> int:
    """A mask as the ledger keeps it."""
    return int.from_bytes(raw, "little")


def raw(bits: int) -> bytes:
    """A mask for the ledger (16 bytes)."""
    return bits.to_bytes(_MASK_BYTES, "little")


def of_mask(bits: int, start: int) -> list[Span]:
    """Runs of ones, as cursors of the sector that starts there."""
    out: list[Span] = []
    at = 0
    while bits >> at:
        at += ((bits >> at) & -(bits >> at)).bit_length() - 1
        zeros = ~(bits >> at)
        size = (zeros & -zeros).bit_length() - 1
        out.append((start + at, start + at + size))
        at += size
    return out


def bits(spans: Iterable[Span], number: int) -> int:
    """The slots of a sector that are in some span, as a mask."""
    start = number * log.SLOTS
    out = 0
    for first, end in spans:
        low, high = max(0, first - start), min(log.SLOTS, end - start)
        if low < high:
            out |= (1 << high) - (1 << low)
    return out


def without(span: Span, holes: Iterable[Span]) -> Iterator[Span]:
    """Parts of a span that are in none of the holes, which are in order."""
    first, end = span
    for low, high in holes:
        if low < end and high > first:
            if low > first:
                yield first, low
            first = max(first, high)
    if first < end:
        yield first, end


def joined(spans: Iterable[Span], end: int) -> list[Span]:
    """Spans in order, those that touch made one, none reaching behind `end`."""
    out: list[Span] = []
    for first, until in sorted(spans):
        if first >= min(until, end):
            continue
        if out and out[-1][1] >= first:
            out[-1] = out[-1][0], max(out[-1][1], min(until, end))
        else:
            out.append((first, min(until, end)))
    return out
