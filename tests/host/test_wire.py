"""The wire formats: held against an independent COBS, structs by hand, and the VM itself."""

import binascii
import hashlib
import hmac
import json
import os
import struct

import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from support import ROOT, run_in_vm
from zoneband.wire import frames, handshake, log, mac, messages, orders, readers, records

payloads = st.one_of(
    st.binary(min_size=1, max_size=1024),
    st.integers(1, 1024).map(bytes),
    st.integers(1, 1024).map(lambda n: b"\xff" * n),
    st.sampled_from([252, 253, 254, 255, 508, 762]).flatmap(
        lambda n: st.binary(min_size=n, max_size=n)
    ),
)


def frame_by_hand(payload: bytes) -> bytes:
    return cobs.encode(payload + struct.pack("<I", binascii.crc32(payload))) + b"\x00"


@given(payloads)
def test_a_frame_is_what_an_independent_cobs_makes(payload: bytes) -> None:
    frame = frames.encode(payload)
    assert frame == frame_by_hand(payload)
    assert frames.decode(frame[:-1]) == payload


@given(payloads, st.binary(max_size=80), st.integers(1, 90))
def test_frames_are_found_in_noise_and_in_pieces(payload: bytes, noise: bytes, cut: int) -> None:
    stream = noise.replace(b"\x00", b"") + b"\x00" + frames.encode(payload)
    decoder = frames.Decoder()
    found = []
    for at in range(0, len(stream), cut):
        found += decoder.feed(stream[at : at + cut])
    assert found[-1] == payload


@given(payloads, st.data())
def test_a_flipped_bit_is_never_taken_for_a_frame(payload: bytes, data: st.DataObject) -> None:
    frame = bytearray(frames.encode(payload))
    bit = data.draw(st.integers(0, (len(frame) - 1) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    assert payload not in frames.Decoder().feed(bytes(frame))


@given(st.binary(max_size=4000))
def test_any_bytes_are_survived_and_memory_stays_bounded(noise: bytes) -> None:
    decoder = frames.Decoder()
    decoder.feed(noise)
    decoder.feed(b"\x00")
    assert decoder.feed(frames.encode(b"after")) == [b"after"]


def test_the_vm_frames_as_cpython_does() -> None:
    samples = [os.urandom(n) for n in (1, 253, 254, 255, 600)] + [bytes(300), b"\xff" * 508]
    code = (
        "from wire import frames\nimport json, binascii\n"
        f"for h in {json.dumps([s.hex() for s in samples])}:\n"
        "    p = binascii.unhexlify(h)\n    f = frames.encode(p)\n"
        "    assert frames.Decoder().feed(b'xx\\x00' + f) == [p]\n"
        "    print(binascii.hexlify(f).decode())\n"
    )
    assert run_in_vm(code).split() == [frame_by_hand(s).hex() for s in samples]


def test_every_frame_to_a_band_fits_its_input_ring() -> None:
    longest = max(
        messages.receipt(2**32 - 1, 2**32 - 1, 2**32 - 1, b"\xff" * 32),
        messages.order(b"\xff" * orders.ORDER_BYTES),
        key=len,
    )
    channel = b"\xff" * handshake.CHANNEL_BYTES
    assert len(frames.encode(longest + channel)) <= frames.TO_BAND_MAX


def test_log_layout_is_the_documented_one() -> None:
    header = log.pack_header(0, 7, 0x11223344, 99)
    assert header[:16] == b"ZBLG" + struct.pack("<BBHII", 0, 7, 0, 0x11223344, 99)
    assert struct.unpack("<I", header[28:])[0] == binascii.crc32(header[:28])
    group = log.pack_group(log.group_head(1, 2), bytes(80))
    assert group[:12] == b"ZBKG" + struct.pack("<II", 1, 2)
    assert len(group) == 96
    record = bytes(range(24))
    tag = log.tag_open(5, 6, 7, record)
    crc = binascii.crc32(struct.pack("<IIH", 5, 6, 7) + record)
    assert tag == struct.pack("<I", crc) + bytes(4)


def test_an_encounter_is_24_bytes_as_documented() -> None:
    record = records.encounter(b"ABCDEFGHIJKL", 0x030201, 300, 75, -66, -51, 0xABC, 6)
    by_hand = b"\x01ABCDEFGHIJKL\x01\x02\x03" + struct.pack("<HHbbH", 300, 75, -66, -51, 0x6ABC)
    assert record == by_hand
    assert readers.read_encounter(record) == (
        b"ABCDEFGHIJKL", 0x030201, 300, 75, -66, -51, 0xABC, 6,
    )  # fmt: skip


@given(st.binary(min_size=24, max_size=24))
def test_a_record_of_another_type_is_refused(record: bytes) -> None:
    if record[0] != records.ENCOUNTER:
        with pytest.raises(ValueError):
            readers.read_encounter(record)


@given(st.binary(max_size=64), st.binary(max_size=200))
def test_hmac_is_the_standard_one(key: bytes, message: bytes) -> None:
    assert mac.hmac_sha256(key, message) == hmac.new(key, message, hashlib.sha256).digest()


def test_band_and_host_share_one_source() -> None:
    assert (ROOT / "host/zoneband/wire").resolve() == ROOT / "firmware/wire"
    for path in (ROOT / "host").rglob("*.py"):
        if "wire" not in path.parts and "firmware" not in path.parts:
            assert "ZBLG" not in path.read_text(), path
