"""Slots of a batch to records, each with its place and its run time, and what is wrong in them.

A slot is settled when it is as the band wrote it, or as a loss of power left it. What its tag
proves counts, whoever brought it. What no tag proves is judged as each station brought it
(zoneband.server.torn), and settled when any of them brought what a cut explains.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from typing import NamedTuple

from zoneband.batch import Batch
from zoneband.server import torn
from zoneband.server.brought import Brought, View, headers, sealed_to, split
from zoneband.server.opener import Chain, Opener
from zoneband.server.torn import Verdict
from zoneband.wire import log, readers, records

ALL = (1 << log.SLOTS) - 1
# What one station may cost in a sector: key groups to open, and tags to hold against groups that no
# record has proved. A sector has room for 42 groups.
_MOST_TRIALS = 128
_MOST_TAGS = 2048


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
    proved: int = 0  # by a tag: a record's own, or one under the key group
    settled: int = 0
    torn: int = 0
    doubted: int = 0
    altered: int = 0
    missing: int = 0
    foreign: int = 0
    chosen: bytes | None = None  # all 128 slots, zeros but for the proved, where contents differ


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
    last = max(sectors, default=0)
    for number in sorted(sectors):
        found = judge(
            batch.header.log_id,
            number,
            [sectors[number]],
            opener,
            last=number == last,
            behind=[sectors[number + 1]] if number + 1 in sectors else (),
        )
        out.records += found.records
        out.torn += found.torn.bit_count()
        out.altered += found.altered.bit_count()
        out.missing += found.missing.bit_count()
        out.foreign += found.foreign.bit_count()
    return out


def judge(
    log_id: int,
    number: int,
    sources: Sequence[Brought],
    opener: Opener,
    *,
    last: bool,
    behind: Sequence[Brought] = (),
    open_below: int = 1 << 32,
    proved: Brought | None = None,
) -> Sector:
    """A sector as all stations together brought it, who came last last. last: nothing is known of
    the log behind it; behind: the next sector; open_below: the sectors below that number may be of
    format 0; proved: what was proved before."""
    every = [*sources] if proved is None else [proved, *sources]
    heads = [headers(log_id, number, source) for source in every]
    known = any(heads)
    reader = None
    # What is sealed counts against what anybody can write.
    for fmt in (log.FORMAT_SEALED, log.FORMAT_OPEN):
        usable = [
            [head for head in mine if _usable(head, fmt, opener, number < open_below)]
            for mine in heads
        ]
        if reader is None or (any(usable) and not reader.out.proved):
            reader = _Reader(number, every, sources, opener, usable)
            reader.read()
    assert reader is not None
    if reader.has_header:
        reader.finish(last, behind)
    else:
        reader.no_header(known)
    return reader.end()


def _usable(header: bytes, fmt: int, opener: Opener, may_be_open: bool) -> bool:
    key_id = sealed_to(header)
    if fmt == log.FORMAT_SEALED:
        return key_id is not None and opener.has(key_id)
    return key_id is None and may_be_open


def _first_groups(source: Brought) -> Iterator[bytes]:
    # A sector's first key group, as a station brought it.
    for parts in product(*source.slots[1 : log.FIRST_RECORD]):
        if log.unpack_group(group := b"".join(parts)):
            yield group


def _begins_with_start(source: Brought, opener: Opener) -> bool:
    # Whether a sector's first record is a boot mark.
    for header, group in product(source.slots[0], _first_groups(source)):
        opened = opener.chain(header, group)
        for slot in source.slots[log.FIRST_RECORD] if opened else ():
            record = opened.open(log.FIRST_RECORD, slot) if opened else None
            if record is not None and record[0] == records.BOOT:
                return True
    return False


@dataclass
class _Claim:
    """A key group that opened; whether the band wrote it, a slot behind it must tell."""

    chain: Chain
    at: int
    group: bytes
    header: bytes
    boot_id: int
    base_s: int
    owners: list[int]  # which sources brought it

    @property
    def first(self) -> int:
        """The first slot that it may open."""
        return self.at + log.GROUP_SLOTS


class _Reader:
    """Goes through one sector, under headers of one format."""

    def __init__(
        self,
        number: int,
        every: Sequence[Brought],
        stations: Sequence[Brought],
        opener: Opener,
        heads: list[list[bytes]],
    ) -> None:
        """heads: usable headers of each source."""
        self._sources = every
        self._opener = opener
        pooled = list(dict.fromkeys(chain.from_iterable(heads)))
        self.has_header = bool(pooled)
        # A station that brought a piece without its header goes by the others'.
        self._heads = [mine or pooled for mine in heads]
        self._trials = [0] * len(every)
        self._tags = [0] * len(every)
        self.out = Sector(number)
        if len(every) == 1:
            self._options: list[tuple[bytes, ...]] = every[0].slots
        else:
            self._options = [
                tuple(dict.fromkeys(chain.from_iterable(each)))
                for each in zip(*(source.slots for source in every), strict=True)
            ]
        self._views: list[View] = [source.view() for source in stations]
        if len(self._views) != 1:
            # What came last of each slot; the word of all of them together.
            self._views.append(_pooled(every))
        self._taken = list(self._views[-1])
        self.out.held = sum(1 << at for at, each in enumerate(self._options) if each)
        self._proved: _Claim | None = None
        self._claims: list[_Claim] = []
        self._made: dict[tuple[int, bytes, bytes], _Claim | None] = {}
        self._opened: set[tuple[int, bytes]] = set()
        self._gap: list[int] = []  # slots since the last that opened

    # --- reading ----------------------------------------------------------------------------

    def read(self) -> None:
        """Open every slot that some chain opens."""
        at = 1
        while self.has_header and at < log.SLOTS:
            if self._open(at):
                at += 1
                at += self._along(at)
                continue
            self._gap.append(at)
            for claim in self._claims:
                if claim.first <= at:
                    claim.chain.step(1)
            # One that only opens is a claim: the genuine one may begin at any slot of it.
            self._find_groups(at)
            at += 1

    def _along(self, at: int) -> int:
        # Slots behind one that opened, as far as the same group's chain opens each; how many.
        claim = self._proved
        assert claim is not None
        slots: list[bytes] = []
        for options in self._options[at:]:
            if len(options) != 1:
                break
            slots.append(options[0])
        found = claim.chain.run(at, slots)
        out = self.out
        out.proved |= (1 << at + len(found)) - (1 << at)
        self._taken[at : at + len(found)] = slots[: len(found)]
        fixed = claim.boot_id, claim.base_s
        out.records += [
            Placed(out.number, slot, *fixed, record, out.sealed)
            for slot, record in enumerate(found, at)
        ]
        return len(found)

    def _open(self, at: int) -> bool:
        for claim in self._claims:
            if claim.first > at:
                continue
            for slot in self._options[at]:
                if claim is not self._proved and not self._spend(claim):
                    break
                record = claim.chain.open(at, slot)
                if record is None:
                    continue
                self._found(claim, at)
                claim.chain.step(1)
                self._taken[at] = slot
                out = self.out
                out.proved |= 1 << at
                place = out.number, at, claim.boot_id, claim.base_s
                out.records.append(Placed(*place, record, out.sealed))
                return True
        return False

    def _spend(self, claim: _Claim) -> bool:
        # One more tag, at the cost of who has brought this group and spent least.
        owner = min(claim.owners, key=self._tags.__getitem__)
        self._tags[owner] += 1
        return self._tags[owner] <= _MOST_TAGS

    def _find_groups(self, at: int) -> None:
        # Every key group that opens here, under any header that its station brought.
        if at + log.GROUP_SLOTS > log.SLOTS or not any(map(log.starts_group, self._options[at])):
            return
        for index, source in enumerate(self._sources):
            for parts in product(*source.slots[at : at + log.GROUP_SLOTS]):
                group = b"".join(parts)
                if log.unpack_group(group) is None:
                    continue
                for header in self._heads[index]:
                    self._try(at, header, group, index)

    def _try(self, at: int, header: bytes, group: bytes, owner: int) -> None:
        key = at, header, group
        if key not in self._made:
            self._trials[owner] += 1
            if self._trials[owner] > _MOST_TRIALS:
                return
            opened = self._opener.chain(header, group)
            found = log.unpack_group(group)
            self._made[key] = None
            if opened is None or found is None:
                return
            self._made[key] = _Claim(opened, at, group, header, *found[:2], [])
            self._opened.add((at, group))
        claim = self._made[key]
        if claim is not None:
            if not claim.owners:
                # The newest is tried first.
                self._claims.insert(0, claim)
            claim.owners.append(owner)

    def _found(self, claim: _Claim, at: int) -> None:
        # A slot opened: what is behind the last one that did is judged.
        gap, self._gap = self._gap, []
        if claim is self._proved:
            if gap:
                self._rule([torn.went_on(view, gap, self._is_open) for view in self._views[-1:]])
        else:
            before = [each for each in gap if each < claim.at]
            behind = [each for each in gap if each >= claim.first]
            if before:
                proved = self._proved is not None
                self._rule(
                    [torn.before_group(view, before, self._is_open, proved) for view in self._views]
                )
            if behind:
                self._rule([torn.went_on(view, behind, self._is_open) for view in self._views[-1:]])
            self._take_group(claim)
            self._proved = claim
        # Whatever else opened stands where the band's own group goes on.
        self._claims = [claim]

    def _take_group(self, claim: _Claim) -> None:
        self.out.sealed = sealed_to(claim.header) is not None
        self.out.proved |= 1 | (1 << claim.first) - (1 << claim.at)
        self._taken[0] = claim.header
        for i in range(log.GROUP_SLOTS):
            part = claim.group[i * log.SLOT_BYTES : (i + 1) * log.SLOT_BYTES]
            self._taken[claim.at + i] = part

    # --- what is wrong ----------------------------------------------------------------------

    def _is_open(self, at: int, group: bytes) -> bool:
        return (at, group) in self._opened

    def _rule(self, verdicts: Sequence[Verdict]) -> None:
        # What any station's word explains is explained; of the rest, the newest word counts.
        out = self.out
        surely = doubted = 0
        for verdict in verdicts:
            out.settled |= verdict.settled
            surely |= verdict.torn & ~verdict.doubted
            doubted |= verdict.doubted
        newest = verdicts[-1]
        out.torn |= surely | doubted
        out.doubted |= doubted & ~surely
        explained = out.torn | out.settled
        out.altered |= newest.altered & ~explained
        out.missing |= newest.missing & ~explained
        out.foreign |= newest.foreign & ~explained

    def finish(self, last: bool, behind: Sequence[Brought]) -> None:
        """What is behind the last slot that opened, as the next sector explains it."""
        if not self._gap:
            return
        claim = self._proved
        same_boot = started = False
        if claim is not None:
            groups = chain.from_iterable(map(_first_groups, behind))
            boots = {found[0] for group in groups if (found := log.unpack_group(group))}
            same_boot = boots == {claim.boot_id}
            started = same_boot and any(_begins_with_start(each, self._opener) for each in behind)
        self._rule(
            [
                torn.at_end(
                    view,
                    self._gap,
                    self._is_open,
                    claim is not None,
                    last=last,
                    same_boot=same_boot,
                    started=started,
                )
                for view in self._views
            ]
        )

    def no_header(self, known: bool) -> None:
        """No slot can be opened. known: the header is of this place, but of an authority's key that
        is not known, or of a format that the band has left."""
        if not self._options[0]:
            return
        out = self.out
        foreign = known or any(log.unpack_header(slot) for slot in self._options[0])
        for at, slot in enumerate(self._taken):
            if slot == log.ERASED:
                out.missing |= 1 << at
            elif slot is not None and foreign:
                out.foreign |= 1 << at
            elif slot is not None:
                out.altered |= 1 << at

    def end(self) -> Sector:
        """What was found."""
        out = self.out
        out.settled |= out.proved
        if any(len(each) > 1 for each in self._options):
            nothing = bytes(log.SLOT_BYTES)
            out.chosen = b"".join(
                slot if slot is not None and out.proved >> at & 1 else nothing
                for at, slot in enumerate(self._taken)
            )
        return out


def _pooled(sources: Iterable[Brought]) -> View:
    out: View = [None] * log.SLOTS
    for source in sources:
        for at, kept in enumerate(source.slots):
            if kept:
                out[at] = kept[-1]
    return out


def encounters(
    parsed: Parsed,
) -> Iterator[tuple[Placed, tuple[bytes, int, int, int, int, int, int, int]]]:
    """(place, fields of wire.readers.read_encounter) of every encounter."""
    for placed in parsed.records:
        if placed.record[0] == records.ENCOUNTER:
            yield placed, readers.read_encounter(placed.record)
