"""A batch has one form: what the server keeps of it can always be kept again."""

import json
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandbook import A
from sealedbook import SealedBook
from zoneband import batch as batches
from zoneband.server import gone
from zoneband.wire import log

HEADER = batches.unpack(SealedBook(A).batch(0, 0, chunks=[])).header
CHUNKS = [(0, bytes(log.SLOT_BYTES) * 300), (1 << 20, bytes(range(32)))]


def with_text(text: bytes) -> bytes:
    """A batch whose header is written so."""
    parts = [batches.MAGIC, struct.pack("<I", len(text)), text]
    for cursor, slots in CHUNKS:
        parts += [struct.pack("<IH", cursor, len(slots) // log.SLOT_BYTES), slots]
    return b"".join(parts)


FIELDS: dict[str, Any] = vars(HEADER)
OTHERWISE = {
    "in UTF-8, which grows threefold when it is packed": json.dumps(
        FIELDS | {"station": "\N{PILE OF POO}" * 800},
        sort_keys=True, separators=(",", ":"), ensure_ascii=False,
    ).encode(),
    "with spaces": json.dumps(FIELDS, sort_keys=True).encode(),
    "in another order": json.dumps(
        dict(reversed(sorted(FIELDS.items()))), separators=(",", ":")
    ).encode(),
    "a field twice": json.dumps(FIELDS, sort_keys=True, separators=(",", ":"))
    .replace("{", '{"board":"x",', 1).encode(),
    "half a surrogate": json.dumps(
        FIELDS | {"station": "\ud83d"}, sort_keys=True, separators=(",", ":")
    ).encode(),
    "no object": b"[]",
    "no end": b"{",
}  # fmt: skip


@pytest.mark.parametrize("how", OTHERWISE)
def test_a_header_in_another_form_is_no_batch(how: str) -> None:
    with pytest.raises(batches.NoBatch):
        batches.unpack(with_text(OTHERWISE[how]))


@given(st.text(max_size=200), st.integers(0, (1 << 32) - 1))
def test_what_is_read_is_what_was_packed(station: str, cursor: int) -> None:
    header = replace(HEADER, station=station.replace("\0", ""), first=cursor)
    data = batches.pack(header, CHUNKS)
    assert batches.unpack(data) == batches.Batch(header, tuple(CHUNKS))


@given(st.binary(max_size=2000), st.integers(0, 600))
def test_whatever_is_read_packs_to_the_same(noise: bytes, at: int) -> None:
    data = bytearray(with_text(json.dumps(FIELDS, sort_keys=True, separators=(",", ":")).encode()))
    data[at : at + len(noise)] = noise
    try:
        read = batches.unpack(bytes(data))
    except batches.NoBatch:
        return
    assert batches.pack(read.header, read.chunks) == data


@given(st.dictionaries(st.integers(0, 4), st.integers(0, (1 << 128) - 1)))
def test_what_is_left_of_a_batch_is_never_larger(masks: dict[int, int]) -> None:
    whole = batches.Batch(HEADER, tuple(CHUNKS))
    left = gone.cut(whole, masks)
    assert len(batches.pack(*vars(left).values())) <= len(batches.pack(*vars(whole).values()))
