"""Slots of a batch to records, each with its place and its run time, and what is wrong in them.

A slot is settled when it is as the band wrote it, or as a loss of power left it. What is wrong has
a kind:

    torn      where a cut or a reset came: right before a key group, or the newest slot of all
    altered   its tag does not fit: changed, displaced, or not written by the band
    missing   erased, though the band has written behind it
    foreign   under a header or key group that is not of this log, place or authority

A slot may have come several times, with several contents: what can be proved counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from zoneband.batch import Batch
from zoneband.server.opener import Chain, Opener
from zoneband.wire import log, readers, records

Source = list[bytes | None]
"""A sector as one pull brought it: 128 slots, None where it brought none."""

ALL = (1 << log.SLOTS) - 1
_MOST_SKIPPED = 3  # slots at a sector's end where a group and a record found no room
_MOST_GROUPS = 8  # losses of power in a row, before one record was whole
_MOST_MIXES = 64
_GROUP_MAGIC = log.group_head(0, 0)[:4]


class Placed(NamedTuple):
    """One record: where it stands, and the run time its own times count from."""

    sector: int
    slot: int
    boot_id: int
    base_s: int
    record: bytes
    sealed: bool = False


@dataclass
class Sector:
    """A sector's records and how its slots are: masks, a bit a slot."""

    number: int
    records: list[Placed] = field(default_factory=lambda: [])
    sealed: bool = False  # a slot of format 1 was proved
    held: int = 0
    settled: int = 0
    torn: int = 0
    altered: int = 0
    missing: int = 0
    foreign: int = 0
    chosen: bytes | None = None  # all 128 slots, where some came with several contents


@dataclass
class Parsed:
    """What a batch holds; the counts are slots."""

    records: list[Placed]
    torn: int = 0
    altered: int = 0
    missing: int = 0
    foreign: int = 0


def parse(batch: Batch, opener: Opener | None = None) -> Parsed:
    """All records of a batch that are genuine, in order. Without an opener: of format 0 only."""
    if opener is None:
        opener = Opener({}, "", bytes(32))
    sectors = split(batch.chunks)
    out = Parsed([])
    for number in sorted(sectors):
        found = judge(
            batch.header.log_id,
            number,
            sectors[number],
            opener,
            last=number == max(sectors),
            behind=sectors.get(number + 1, []),
        )
        out.records += found.records
        out.torn += found.torn.bit_count()
        out.altered += found.altered.bit_count()
        out.missing += found.missing.bit_count()
        out.foreign += found.foreign.bit_count()
    return out


def split(chunks: Iterable[tuple[int, bytes]]) -> dict[int, list[Source]]:
    """Chunks by sector; a second source only where they bring a slot twice, with other contents."""
    out: dict[int, list[Source]] = {}
    size = log.SLOT_BYTES
    for cursor, slots in chunks:
        number, at = divmod(cursor, log.SLOTS)
        for i in range(0, len(slots), size):
            if at == log.SLOTS:
                number, at = number + 1, 0
            sources = out.get(number)
            if sources is None:
                sources = out[number] = [[None] * log.SLOTS]
            slot = slots[i : i + size]
            for source in sources:
                if source[at] is None or source[at] == slot:
                    source[at] = slot
                    break
            else:
                source = list[bytes | None]([None] * log.SLOTS)
                source[at] = slot
                sources.append(source)
            at += 1
    return out


def headers(log_id: int, number: int, sources: Iterable[Source]) -> list[bytes]:
    """The header slots among the sources that are of this log and sector."""
    found = {source[0]: None for source in sources if source[0] is not None}
    return [
        slot
        for slot in found
        if (head := log.unpack_header(slot))
        and head[2:] == (log_id, number)
        and head[0] in (log.FORMAT_OPEN, log.FORMAT_SEALED)
    ]


def sealed_to(header: bytes) -> int | None:
    """Number of the key that a whole header's sector is sealed to; None in format 0."""
    found = log.unpack_header(header)
    return found[1] if found and found[0] == log.FORMAT_SEALED else None


def _first_boot(sources: Iterable[Source]) -> int | None:
    # Boot id of a sector's first key group, None when none of the sources has it whole.
    for source in sources:
        group = _joined(source, 1)
        if group and (found := log.unpack_group(group)):
            return found[0]
    return None


def _begins_with_start(sources: Iterable[Source], opener: Opener) -> bool:
    # Whether a sector's first record is a boot mark.
    for source in sources:
        header, group, slot = source[0], _joined(source, 1), source[log.FIRST_RECORD]
        if header and group and slot and (chain := opener.chain(header, group)):
            record = chain.open(log.FIRST_RECORD, slot)
            if record is not None and record[0] == records.BOOT:
                return True
    return False


def _joined(source: Source, at: int) -> bytes | None:
    parts = source[at : at + log.GROUP_SLOTS]
    return b"".join(part for part in parts if part) if all(parts) else None


def judge(
    log_id: int,
    number: int,
    sources: list[Source],
    opener: Opener,
    *,
    last: bool,
    behind: Sequence[Source] = (),
    open_below: int = 1 << 32,
) -> Sector:
    """A sector as all pulls together brought it. last: nothing is known of the log behind it;
    behind: the next sector; open_below: the sectors below that number may be of format 0."""
    heads = headers(log_id, number, sources)
    usable: list[bytes] = []
    for slot in heads:
        key_id = sealed_to(slot)
        if number < open_below if key_id is None else opener.has(key_id):
            usable.append(slot)
    reader = _Reader(log_id, number, sources, opener, usable)
    if usable:
        reader.read()
        reader.finish(last, behind)
    else:
        reader.no_header(bool(heads))
    return reader.end()


@dataclass
class _Claim:
    """A key group that opened; whether the band wrote it, its first slot must tell."""

    chain: Chain
    at: int
    group: bytes
    header: bytes
    boot_id: int
    base_s: int


@dataclass
class _Piece:
    """Slots in turn that no chain opens. The first piece follows what is proved; each further one
    begins with what is or was a key group: whole (it opened), foreign (another's) or a remnant."""

    kind: str
    slots: list[int]
    cut: bool = False  # nobody has sent what comes next


class _Reader:
    """Goes through one sector."""

    def __init__(
        self, log_id: int, number: int, sources: list[Source], opener: Opener, heads: list[bytes]
    ) -> None:
        self._sources = sources
        self._opener = opener
        self._heads = heads
        self.out = Sector(number)
        if len(sources) == 1:
            self._options = [() if slot is None else (slot,) for slot in sources[0]]
        else:
            self._options = [
                tuple(dict.fromkeys(slot for slot in each if slot is not None))
                for each in zip(*sources, strict=True)
            ]
        self._taken = [each[-1] if each else None for each in self._options]
        self.out.held = sum(1 << at for at, each in enumerate(self._options) if each)
        self._proved: _Claim | None = None
        self._claims: list[_Claim] = []
        self._run: list[_Piece] = [_Piece("plain", [])]

    # --- reading ----------------------------------------------------------------------------

    def read(self) -> None:
        """Open every slot that some chain opens."""
        at = 1
        while at < log.SLOTS:
            if self._open(at):
                at += self._step(1)
                at += self._along(at)
            elif made := self._groups(at):
                self._run.append(_Piece("whole", list(range(at, at + log.GROUP_SLOTS))))
                self._step(log.GROUP_SLOTS)
                self._claims += made
                at += log.GROUP_SLOTS
            else:
                kind = self._looks_like_group(at)
                if kind:
                    self._run.append(_Piece(kind, []))
                self._run[-1].slots.append(at)
                at += self._step(1)

    def _step(self, slots: int) -> int:
        for claim in self._claims:
            claim.chain.step(slots)
        return slots

    def _along(self, at: int) -> int:
        # Slots behind one that opened, as far as the same group's chain opens each; how many.
        claim = self._proved
        assert claim is not None
        slots: list[bytes] = []
        for options in self._options[at:]:
            if len(options) != 1:
                break
            slots.append(options[0])
        out = self.out
        found = claim.chain.run(at, slots)
        out.settled |= (1 << at + len(found)) - (1 << at)
        fixed = claim.boot_id, claim.base_s
        out.records += [
            Placed(out.number, slot, *fixed, record, out.sealed)
            for slot, record in enumerate(found, at)
        ]
        return len(found)

    def _open(self, at: int) -> bool:
        for claim in reversed(self._claims):
            for slot in self._options[at]:
                record = claim.chain.open(at, slot)
                if record is not None:
                    self._taken[at] = slot
                    if claim is not self._proved:
                        self._prove(claim)
                    elif len(self._run) > 1 or self._run[0].slots:
                        self._behind_goes_on()
                    out = self.out
                    out.settled |= 1 << at
                    out.records.append(
                        Placed(out.number, at, claim.boot_id, claim.base_s, record, out.sealed)
                    )
                    return True
        return False

    def _prove(self, claim: _Claim) -> None:
        # The band wrote this group: what no chain opened before it was torn, or is wrong.
        self.out.sealed = sealed_to(claim.header) is not None
        before: list[_Piece] = []
        behind: list[int] = []
        for piece in self._run:
            if piece.slots and piece.slots[0] < claim.at:
                before.append(piece)
            else:
                behind += [at for at in piece.slots if at >= claim.at + log.GROUP_SLOTS]
        self._tear(self._judgeable(before))
        self._wrong(behind)
        self._take_group(claim)
        self._taken[0] = claim.header
        self.out.settled |= 1
        self._proved = claim
        self._claims = [claim]
        self._run = [_Piece("plain", [])]

    def _take_group(self, claim: _Claim) -> None:
        for i in range(log.GROUP_SLOTS):
            at = claim.at + i
            self._taken[at] = claim.group[i * log.SLOT_BYTES : (i + 1) * log.SLOT_BYTES]
            self.out.settled |= 1 << at

    def _behind_goes_on(self) -> None:
        # The proved group goes on behind these slots: no cut tore them.
        self._wrong_pieces(self._run)
        self._run = [_Piece("plain", [])]
        assert self._proved is not None
        self._claims = [self._proved]

    def _groups(self, at: int) -> list[_Claim]:
        # Every key group that opens here, under any header that fits.
        made: list[_Claim] = []
        for group in self._triples(at):
            found = log.unpack_group(group)
            if found is None:
                continue
            for header in self._heads:
                chain = self._opener.chain(header, group)
                if chain is not None:
                    made.append(_Claim(chain, at, group, header, *found[:2]))
        # The last is tried first: what is sealed counts against what anybody can write.
        return sorted(made, key=lambda claim: sealed_to(claim.header) is not None)

    def _triples(self, at: int) -> Iterator[bytes]:
        if at + log.GROUP_SLOTS > log.SLOTS or not any(map(log.starts_group, self._options[at])):
            return
        whole = dict.fromkeys(_joined(source, at) for source in self._sources)
        yield from (group for group in whole if group)
        if len(self._sources) > 1:
            # One pull may have ended, and the next begun, within the group.
            mixes = product(*self._options[at : at + log.GROUP_SLOTS])
            for _, mix in zip(range(_MOST_MIXES), mixes, strict=False):
                if (group := b"".join(mix)) not in whole:
                    yield group

    def _looks_like_group(self, at: int) -> str:
        if any(log.unpack_group(group) for group in self._triples(at)):
            return "foreign"
        # Flash bits only ever go from 1 to 0: a torn one has the magic's ones, and maybe more.
        for slot in self._options[at]:
            if slot != log.ERASED and all(
                have & want == want for have, want in zip(slot[:4], _GROUP_MAGIC, strict=True)
            ):
                return "remnant"
        return ""

    # --- what is wrong ----------------------------------------------------------------------

    def _wrong(self, slots: Iterable[int], foreign: bool = False) -> None:
        for at in slots:
            if not self._options[at]:
                continue
            if self._taken[at] == log.ERASED:
                self.out.missing |= 1 << at
            elif foreign:
                self.out.foreign |= 1 << at
            else:
                self.out.altered |= 1 << at

    def _wrong_pieces(self, pieces: Iterable[_Piece]) -> None:
        for piece in pieces:
            self._wrong(piece.slots, piece.kind == "foreign")

    def _judgeable(self, pieces: Iterable[_Piece]) -> list[_Piece]:
        # Without the slots behind one that nobody sent: their key group may be there.
        out: list[_Piece] = []
        cut = False
        for piece in pieces:
            cut = cut and piece.kind not in ("whole", "foreign")
            kept: list[int] = []
            for at in piece.slots:
                cut = cut or not self._options[at]
                if not cut:
                    kept.append(at)
            if kept:
                out.append(_Piece(piece.kind, kept, cut))
        return out

    def _torn(self, slots: Iterable[int], settled: bool) -> None:
        for at in slots:
            self.out.torn |= 1 << at
            if settled:
                self.out.settled |= 1 << at

    def _tear(self, pieces: list[_Piece], settled: bool = True) -> None:
        # What losses of power explain before the next group: one record, then groups, each with
        # at most one record that no whole one followed.
        if len(pieces) > 1 + _MOST_GROUPS:
            self._wrong_pieces(pieces)
            return
        for piece in pieces:
            if piece.kind == "whole" and piece.cut and len(piece.slots) == log.GROUP_SLOTS:
                continue  # what this group is for, nobody has sent
            written = [at for at in piece.slots if self._taken[at] != log.ERASED]
            if piece.kind == "plain":
                fits = written[-1:] if self._proved else []
            elif piece.kind == "whole":
                fits = written if len(written) <= log.GROUP_SLOTS + 1 else []
            elif piece.kind == "remnant":
                fits = written if len(written) <= log.GROUP_SLOTS else []
            else:
                fits = []
            self._torn(fits, settled)
            self._wrong([at for at in piece.slots if at not in fits], piece.kind == "foreign")

    def finish(self, last: bool, behind: Sequence[Source]) -> None:
        """What is behind the last slot that opened, as the next sector explains it."""
        next_boot = _first_boot(behind)
        closed = not last and bool(self._options[log.SLOTS - 1])
        if closed and self._proved:
            self._skip(next_boot)
        pieces = self._judgeable(self._run)
        newest = pieces[-1] if pieces else None
        if newest and newest.kind == "whole" and len(newest.slots) == log.GROUP_SLOTS:
            if not closed:
                pieces.pop()  # its first record is still to come
        if self._proved is None:
            # Nothing here was ever proved, so there is nothing to be torn from.
            if last and all(piece.kind == "remnant" for piece in pieces):
                self._tear(pieces, settled=False)
                return
            self._wrong_pieces(pieces)
        elif closed:
            if pieces and pieces[0].kind == "plain" and next_boot == self._proved.boot_id:
                # Run time was not lost; but a reset may have come in the middle of a slot.
                if not _begins_with_start(behind, self._opener):
                    self._wrong(pieces.pop(0).slots)
            self._tear(pieces)
        else:
            for piece in pieces:
                if piece.kind == "whole":
                    piece.kind = "claimed"  # with a slot behind it that it does not open
            self._tear(pieces, settled=False)

    def _skip(self, next_boot: int | None) -> None:
        # A sector's end stays erased where a group and a record found no room, which is after a
        # loss of power. Without one it is told as torn: hardly ever a reset does it too.
        end = log.SLOTS
        while end > 1 and self._taken[end - 1] == log.ERASED:
            end -= 1
        if log.SLOTS - end > _MOST_SKIPPED:
            return
        skipped = range(end, log.SLOTS)
        for piece in self._run:
            piece.slots = [at for at in piece.slots if at not in skipped]
        for at in skipped:
            self.out.settled |= 1 << at
        if self._proved is not None and next_boot == self._proved.boot_id:
            self._torn(skipped, settled=True)

    def no_header(self, known: bool) -> None:
        """No slot can be opened. known: the header is of this place, but of an authority's key that
        is not known, or of a format that the band has left."""
        foreign = known or any(log.unpack_header(slot) for slot in self._options[0])
        if self._options[0]:
            self._wrong(range(log.SLOTS), foreign)

    def end(self) -> Sector:
        """What was found."""
        out = self.out
        if any(len(each) > 1 for each in self._options):
            empty = log.ERASED
            out.chosen = b"".join(slot if slot is not None else empty for slot in self._taken)
        return out


def encounters(
    parsed: Parsed,
) -> Iterator[tuple[Placed, tuple[bytes, int, int, int, int, int, int, int]]]:
    """(place, fields of wire.readers.read_encounter) of every encounter."""
    for placed in parsed.records:
        if placed.record[0] == records.ENCOUNTER:
            yield placed, readers.read_encounter(placed.record)
