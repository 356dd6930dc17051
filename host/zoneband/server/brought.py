"""What stations brought of the sectors of a band log, slot by slot.

A slot may have come several times, with several contents: from one station that pulled again, or
from several stations. Nobody's contents push out those of another station.
"""

from collections.abc import Collection, Iterable

from zoneband.wire import log

View = list[bytes | None]
"""A sector as somebody tells it: 128 slots, None where nothing is told."""

_MOST_CONTENTS = 4  # of one slot, from one station: what it brought first, and the newest
_MOST_HEADERS = 4


class Brought:
    """A sector as one station brought it: the distinct contents of each slot, the newest last."""

    __slots__ = ("slots",)

    def __init__(self) -> None:
        self.slots: list[tuple[bytes, ...]] = [()] * log.SLOTS

    def add(self, at: int, slot: bytes) -> bool:
        """Take one more content of a slot; False when it is what this station said last."""
        kept = self.slots[at]
        if kept and kept[-1] == slot:
            return False
        kept = (*(other for other in kept if other != slot), slot)
        self.slots[at] = kept if len(kept) <= _MOST_CONTENTS else (kept[0], *kept[2:])
        return True

    def fold(self, later: "Brought") -> bool:
        """Take all that came later; False when it says nothing else."""
        new = False
        for at, contents in enumerate(later.slots):
            for slot in contents:
                new = self.add(at, slot) or new
        return new

    def view(self) -> View:
        """The newest content of each slot."""
        return [kept[-1] if kept else None for kept in self.slots]


def split(
    chunks: Iterable[tuple[int, bytes]], only: Collection[int] | None = None
) -> dict[int, Brought]:
    """A batch's chunks by sector. only: of these sectors alone."""
    out: dict[int, Brought] = {}
    size = log.SLOT_BYTES
    for cursor, slots in chunks:
        number, at = divmod(cursor, log.SLOTS)
        begin = 0
        while begin < len(slots):
            end = min(len(slots), begin + (log.SLOTS - at) * size)
            if only is None or number in only:
                source = out.get(number)
                if source is None:
                    source = out[number] = Brought()
                new = [slots[i : i + size] for i in range(begin, end, size)]
                until = at + len(new)
                if any(source.slots[at:until]):
                    for place, slot in enumerate(new, at):
                        source.add(place, slot)
                else:
                    source.slots[at:until] = [(slot,) for slot in new]
            begin, number, at = end, number + 1, 0
    return out


def spans(chunks: Iterable[tuple[int, bytes]]) -> dict[int, int]:
    """Which slots the chunks of a batch bring: a mask, a bit a slot, by sector."""
    out: dict[int, int] = {}
    for cursor, slots in chunks:
        end = cursor + len(slots) // log.SLOT_BYTES
        while cursor < end:
            number, at = divmod(cursor, log.SLOTS)
            until = min(log.SLOTS, at + end - cursor)
            out[number] = out.get(number, 0) | (1 << until) - (1 << at)
            cursor += until - at
    return out


def headers(log_id: int, number: int, source: Brought) -> list[bytes]:
    """Header slots of this log and sector that a station brought; the first few."""
    found = [
        slot
        for slot in source.slots[0]
        if (head := log.unpack_header(slot))
        and head[2:4] == (log_id, number)
        and head[0] in (log.FORMAT_OPEN, log.FORMAT_SEALED)
    ]
    return found[:_MOST_HEADERS]


def sealed_to(header: bytes) -> int | None:
    """Number of the key that a whole header's sector is sealed to; None in format 0."""
    found = log.unpack_header(header)
    return found[1] if found and found[0] == log.FORMAT_SEALED else None
