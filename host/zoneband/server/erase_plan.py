"""What an erasure is to take: which bands somebody had on, and when."""

import secrets
from collections.abc import Iterable

from sqlalchemy import Connection, select

from zoneband.seal import Kind
from zoneband.server import ledger, swaps, wearers
from zoneband.server.cases import OPEN
from zoneband.server.erasures import Erasure, Part
from zoneband.server.moments import HAND_OVER_S
from zoneband.server.people import HandOut
from zoneband.server.refused import Refused
from zoneband.server.swaps import Swap

_EVER = 1 << 40


def plan(
    db: Connection,
    serial: str,
    holder: int | None,
    from_s: int | None,
    to_s: int | None,
    now_s: int,
) -> Erasure:
    """Everything of a band's wearer, or with from_s and to_s what is of that time alone. holder:
    which wearer in turn, needed when several had the band. Raises Unknown and Refused."""
    turns = wearers.hand_outs(db, serial)
    people: list[tuple[str, int]] = []
    if (turn := choose(db, serial, turns, holder, from_s is not None)) is not None:
        people = wearers.same_wearer(db, serial, turn)
        parts = [part for band, number in people for part in _worn(db, band, number)]
        if not turns:
            parts = [Part(serial, 0, None, turn)]
    else:
        parts = [Part(serial, 0, now_s)]
    if from_s is not None and to_s is not None:
        if to_s <= from_s:
            raise Refused("span_backwards", wrong=True)
        if from_s > now_s:
            raise Refused("erase_ahead", wrong=True, from_s=from_s)
        clipped = [_clip(part, from_s, to_s) for part in parts]
        parts = [part for part in clipped if part is not None]
        people = []
        if not parts:
            raise Refused("erase_not_worn", serial=serial)
    elif people:
        _refuse_open_case(db, people)
    noted = swaps.noted(db, {part.serial for part in parts})
    whole = [piece for part in parts for piece in _on_wearer(part, noted)]
    return Erasure(secrets.token_hex(16), now_s, tuple(whole), tuple(people))


def choose(
    db: Connection, serial: str, turns: list[HandOut], holder: int | None, days: bool = False
) -> int | None:
    """Number of the hand-out of a band's only wearer, or of one in turn; None while nobody is
    known, or where only days are asked for. turns: as wearers.hand_outs. Raises Refused."""
    if holder is not None:
        for turn in turns:
            if turn.holder == holder:
                return turn.number
        raise Refused("no_holder", serial=serial, holder=holder, holders=len(turns))
    if days:
        return None
    if len(turns) > 1:
        choice = [{"holder": t.holder, "from_s": t.from_s, "to_s": t.to_s} for t in turns]
        raise Refused("erase_holder", serial=serial, holders=choice)
    if turns:
        return turns[0].number
    table = ledger.sealed
    known = select(table.c.number).where(
        table.c.serial == serial, table.c.kind == int(Kind.PERSON), table.c.number.is_not(None)
    )
    numbers = sorted(set(db.execute(known).scalars()))
    if len(numbers) > 1:
        raise Refused("erase_undocked", serial=serial, n=len(numbers))
    return numbers[0] if numbers else None


def _worn(db: Connection, serial: str, number: int) -> list[Part]:
    try:
        turns = wearers.hand_outs(db, serial)
    except ledger.Unknown:
        return []
    return [
        Part(
            serial,
            # Whatever was before the first hand-out that is known is its wearer's, if anybody's.
            0 if turn.holder == 1 else turn.from_s - HAND_OVER_S,
            None if turn.to_s is None else turn.to_s - HAND_OVER_S,
            number,
        )
        for turn in turns
        if turn.number == number
    ]


def _clip(part: Part, from_s: int, to_s: int) -> Part | None:
    begin = max(part.from_s, from_s)
    end = min(_EVER if part.to_s is None else part.to_s, to_s)
    return Part(part.serial, begin, end) if begin < end else None


def _on_wearer(part: Part, noted: Iterable[Swap]) -> list[Part]:
    # While two wearers had each other's band on, the other band's records are the ones.
    end_s = _EVER if part.to_s is None else part.to_s
    found: list[Part] = []
    at = part.from_s
    for swap in noted:
        begin, end = max(at, swap.from_s), min(end_s, swap.to_s)
        if part.serial not in (swap.a, swap.b) or begin >= end:
            continue
        if at < begin:
            found.append(Part(part.serial, at, begin))
        found.append(Part(swap.other(part.serial), begin, end))
        at = end
    if at < end_s:
        found.append(Part(part.serial, at, part.to_s, part.number))
    return found


def _refuse_open_case(db: Connection, people: Iterable[tuple[str, int]]) -> None:
    # The authority keeps what it needs against an epidemic while a case lasts.
    table = ledger.cases
    for serial, number in people:
        found = select(table.c.id).where(
            table.c.serial == serial,
            table.c.state == OPEN,
            (table.c.number == number) | table.c.number.is_(None),
        )
        case = db.execute(found).scalar()
        if case is not None:
            raise Refused("erase_case", serial=serial, number=case)
