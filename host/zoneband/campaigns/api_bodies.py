"""Bodies of uploads: whole ones, damaged ones, ones that say something else, and none at all."""

import json
import random
from typing import Any

from hypothesis import strategies as st

from zoneband import batch as batches
from zoneband import seal
from zoneband.batch import BatchHeader
from zoneband.campaigns.api_site import SERIALS, ApiSite
from zoneband.campaigns.fuzz import damage
from zoneband.seal import Kind
from zoneband.sim import keys
from zoneband.wire import log

_U32 = st.one_of(
    st.sampled_from([0, 1, 127, 128, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]),
    st.integers(0, (1 << 32) - 1),
)
_TEXTS = st.one_of(st.sampled_from(SERIALS), st.text(max_size=80))
_KINDS: dict[Any, st.SearchStrategy[Any]] = {int: _U32, str: _TEXTS, bool: st.booleans()}
_SLOTS = 40  # at most, in one made-up chunk


def of(name: str, site: ApiSite) -> tuple[str, st.SearchStrategy[bytes]]:
    """What a target uploads, and bodies for it."""
    if name == "records":
        return name, st.one_of(st.binary(max_size=2000), _records(), _damaged(_records()))
    whole = [each for book in site.books for each in site.dock(book).batches("st", 0)]
    known = st.sampled_from(whole)
    return "batches", st.one_of(
        st.binary(max_size=2000), known, _damaged(known), _changed(whole), _damaged(_changed(whole))
    )


def _damaged(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda body, seed: damage(random.Random(seed), body), bodies, st.integers(0, 1 << 32)
    )


@st.composite
def _changed(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """A batch that can be read, whose header says something else and whose slots lie elsewhere."""
    found = batches.unpack(draw(st.sampled_from(whole)))
    values = dict(vars(found.header))
    fields = st.sets(st.sampled_from(sorted(values)), max_size=4)
    for name in sorted(draw(fields)):
        values[name] = draw(_KINDS[type(values[name])])
    chunks = list(found.chunks)
    if draw(st.booleans()):
        size = log.SLOT_BYTES
        slots = chunks[-1][1]
        at = draw(st.integers(0, len(slots) // size - 1))
        count = draw(st.integers(1, _SLOTS))
        part = slots[at * size : (at + count) * size]
        chunks.append((draw(st.integers(0, (1 << 32) - _SLOTS - 1)), part))
    try:
        return batches.pack(BatchHeader(**values), chunks)
    except (ValueError, UnicodeEncodeError):
        return b""


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40), _TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)
# What records of some kind say: zoneband.seal, zoneband.handout.
_WORDS: tuple[str, ...] = (
    "serial", "board", "role", "base_day", "base_key", "dock_key", "receipt_key", "group",
    "generation", "log_format", "number", "event", "utc_s", "new_serial", "new_number", "name",
)  # fmt: skip


@st.composite
def _records(draw: st.DrawFn) -> bytes:
    """A sealed record that opens, with anything in it."""
    facts: dict[str, Any] = draw(st.dictionaries(st.sampled_from(_WORDS), _JSON, max_size=10))
    if draw(st.booleans()):
        facts |= {
            "serial": draw(st.sampled_from((*SERIALS, "ZB-0009-0000"))), "board": "virtual",
            "role": "band", "base_day": draw(st.integers(-5, 40_000)), "base_key": "11" * 32,
            "dock_key": "22" * 32, "receipt_key": "33" * 32,
        }  # fmt: skip
    try:
        json.dumps(facts).encode()
        return seal.seal(keys.AUTHORITY, draw(st.sampled_from(list(Kind))), facts)
    except ValueError:
        return b""
