"""What losses of power and resets explain of the slots in a row that no key group opens.

Each is judged as one station brought it: what another says cannot make it look otherwise.

    torn      where a cut or a reset came: right before a key group, or the newest slot of all
    altered   its tag does not fit: changed, displaced, or not written by the band
    missing   erased, though the band has written behind it
    foreign   under a header or key group that is not of this log, place or authority
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from zoneband.server.brought import View
from zoneband.wire import log

_MOST_SKIPPED = 3  # slots at a sector's end where a group and a record found no room
_MOST_GROUPS = 8  # losses of power in a row, before one record was whole
_GROUP_MAGIC = log.group_head(0, 0)[:4]

# What begins a piece.
_PLAIN = "plain"  # what is proved, or nothing
_WHOLE = "whole"  # a key group that opened, though no slot behind it did
_FOREIGN = "foreign"  # a key group that does not open
_REMNANT = "remnant"  # what may be a torn key group


class Opened(Protocol):
    """Whether a key group (96 bytes) at a slot was opened."""

    def __call__(self, at: int, group: bytes) -> bool: ...


@dataclass
class Verdict:
    """Masks, a bit a slot. settled: as the band left them; doubted: torn only if a key group that
    no record proves is the band's."""

    settled: int = 0
    torn: int = 0
    doubted: int = 0
    altered: int = 0
    missing: int = 0
    foreign: int = 0


@dataclass
class _Piece:
    kind: str
    slots: list[int]
    cut: bool = False  # this station has not brought what comes next


def before_group(view: View, slots: Sequence[int], opened: Opened, proved: bool) -> Verdict:
    """Slots right before a proved key group. proved: a record before them is."""
    return _tear(view, _judgeable(view, _pieces(view, slots, opened)), proved, settled=True)


def went_on(view: View, slots: Sequence[int], opened: Opened) -> Verdict:
    """Slots behind which the same key group goes on: no cut tore them."""
    out = Verdict()
    for piece in _pieces(view, slots, opened):
        _wrong(out, view, piece.slots, piece.kind == _FOREIGN)
    return out


def at_end(
    view: View,
    slots: Sequence[int],
    opened: Opened,
    proved: bool,
    *,
    last: bool,
    same_boot: bool,
    started: bool,
) -> Verdict:
    """Slots behind the last record that opened. last: nothing is known of the log behind the
    sector; same_boot: the next sector goes on in the same run time; started: it begins with a
    start."""
    closed = not last and view[log.SLOTS - 1] is not None
    out = Verdict()
    left = slots
    if closed and proved:
        left = _without_skipped(view, slots)
        skipped = _mask(slots[len(left) :])
        out.settled |= skipped
        if same_boot:
            # Hardly ever a reset does it too.
            out.torn |= skipped
    pieces = _judgeable(view, _pieces(view, left, opened))
    newest = pieces[-1] if pieces else None
    if newest and newest.kind == _WHOLE and len(newest.slots) == log.GROUP_SLOTS and not closed:
        pieces.pop()  # its first record is still to come
    if not proved:
        # Nothing here was ever proved, so there is nothing to be torn from.
        if last and all(piece.kind == _REMNANT for piece in pieces):
            return _tear(view, pieces, proved, settled=False)
        for piece in pieces:
            _wrong(out, view, piece.slots, piece.kind == _FOREIGN)
    elif closed:
        if pieces and pieces[0].kind == _PLAIN and same_boot and not started:
            # Run time was not lost; nor did a reset come in the middle of a slot.
            _wrong(out, view, pieces.pop(0).slots)
        _add(out, _tear(view, pieces, proved, settled=True))
    else:
        for piece in pieces:
            if piece.kind == _WHOLE:
                piece.kind = ""  # with a slot behind it that it does not open
        _add(out, _tear(view, pieces, proved, settled=False))
    return out


def _add(out: Verdict, more: Verdict) -> None:
    for name, mask in vars(more).items():
        setattr(out, name, getattr(out, name) | mask)


def _mask(slots: Iterable[int]) -> int:
    return sum(1 << at for at in slots)


def _without_skipped(view: View, slots: Sequence[int]) -> Sequence[int]:
    # A sector's end stays erased where a group and a record found no room, which is after a loss of
    # power.
    end = len(slots)
    while end and view[slots[end - 1]] == log.ERASED:
        end -= 1
    return slots[:end] if len(slots) - end <= _MOST_SKIPPED else slots


def _pieces(view: View, slots: Sequence[int], opened: Opened) -> list[_Piece]:
    # The first piece follows what is proved; each further one begins with what is or was a group.
    out = [_Piece(_PLAIN, [])]
    n = 0
    while n < len(slots):
        at = slots[n]
        size = 1
        kind = _begins(view, at, opened)
        if kind == _WHOLE:
            size = min(log.GROUP_SLOTS, len(slots) - n)
        if kind:
            out.append(_Piece(kind, []))
        out[-1].slots += slots[n : n + size]
        n += size
    return out


def _begins(view: View, at: int, opened: Opened) -> str:
    slot = view[at]
    if slot is None or slot == log.ERASED:
        return ""
    parts = view[at : at + log.GROUP_SLOTS]
    if log.starts_group(slot) and all(parts):
        group = b"".join(part for part in parts if part)
        if log.unpack_group(group):
            return _WHOLE if opened(at, group) else _FOREIGN
    # Flash bits only ever go from 1 to 0: a torn one has the magic's ones, and maybe more.
    torn = all(have & want == want for have, want in zip(slot[:4], _GROUP_MAGIC, strict=True))
    return _REMNANT if torn else ""


def _judgeable(view: View, pieces: Iterable[_Piece]) -> list[_Piece]:
    # Without the slots behind one that did not come: their key group may be there.
    out: list[_Piece] = []
    cut = False
    for piece in pieces:
        cut = cut and piece.kind not in (_WHOLE, _FOREIGN)
        kept: list[int] = []
        for at in piece.slots:
            cut = cut or view[at] is None
            if not cut:
                kept.append(at)
        if kept:
            out.append(_Piece(piece.kind, kept, cut))
    return out


def _wrong(out: Verdict, view: View, slots: Iterable[int], foreign: bool = False) -> None:
    for at in slots:
        if view[at] == log.ERASED:
            out.missing |= 1 << at
        elif view[at] is not None:
            if foreign:
                out.foreign |= 1 << at
            else:
                out.altered |= 1 << at


def _tear(view: View, pieces: Sequence[_Piece], proved: bool, settled: bool) -> Verdict:
    # What losses of power explain before the next group: one record, then groups, each with at most
    # one record that no whole one followed.
    out = Verdict()
    for piece in pieces:
        if piece.kind == _WHOLE and piece.cut and len(piece.slots) == log.GROUP_SLOTS:
            continue  # what this group is for did not come
        written = [at for at in piece.slots if view[at] != log.ERASED]
        fits: list[int] = []
        if len(pieces) <= 1 + _MOST_GROUPS:
            if piece.kind == _PLAIN and proved:
                fits = written[-1:]
            elif (piece.kind == _WHOLE and len(written) <= log.GROUP_SLOTS + 1) or (
                piece.kind == _REMNANT and len(written) <= log.GROUP_SLOTS
            ):
                fits = written
        out.torn |= _mask(fits)
        _wrong(out, view, (at for at in piece.slots if at not in fits), piece.kind == _FOREIGN)
    if settled:
        out.settled |= out.torn
        # A record and a group are one cut. Whole groups that no record followed, or more than
        # that, may as well be of somebody who hides what stood there.
        whole = any(piece.kind == _WHOLE for piece in pieces)
        if whole or out.torn.bit_count() > 1 + log.GROUP_SLOTS:
            out.doubted |= out.torn
    return out
