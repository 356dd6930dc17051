"""The dock handshake, its channel, and orders: what an attacker on the cable can make of them."""

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoneband.wire import frames, handshake, hello, orders, status
from zoneband.wire.handshake import BAND, HOST, Channel

KEY = bytes(range(32))
SERIAL = "ZB-7F3K-92QD"
NONCES = bytes(range(100, 132))


def by_hand(label: bytes, key: bytes = KEY) -> bytes:
    """HMAC-SHA256 as CPython has it."""
    return hmac.new(key, label, hashlib.sha256).digest()


def channels() -> tuple[Channel, Channel]:
    """The station's end and the band's."""
    return Channel(KEY, HOST, SERIAL, NONCES), Channel(KEY, BAND, SERIAL, NONCES)


def test_proofs_and_keys_are_the_documented_ones() -> None:
    serial = SERIAL.encode()
    assert handshake.dock_key(KEY, SERIAL) == by_hand(b"zoneband dock key 1" + serial)
    for role in (HOST, BAND):
        label = b"zoneband dock proof 1" + role + serial + NONCES
        assert handshake.proof(KEY, role, SERIAL, NONCES) == by_hand(label)
    host, _ = channels()
    key = by_hand(b"zoneband dock session 1" + HOST + serial + NONCES)
    body = b"hi" + struct.pack("<I", 1)
    assert host.seal(b"hi") == body + by_hand(body, key)[:8]


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=5))
def test_what_one_end_seals_the_other_opens_once_and_in_order(messages: list[bytes]) -> None:
    host, band = channels()
    sealed = [host.seal(message) for message in messages]
    assert [band.open(each) for each in sealed] == messages
    for each in sealed:  # a replay
        with pytest.raises(ValueError):
            band.open(each)
    assert band.refused == len(sealed)


def test_a_lost_message_does_not_hold_up_the_next_but_cannot_come_late() -> None:
    host, band = channels()
    first, second = host.seal(b"one"), host.seal(b"two")
    assert band.open(second) == b"two"
    with pytest.raises(ValueError):
        band.open(first)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 10**6))
def test_a_flipped_bit_an_echo_and_another_session_are_refused(message: bytes, at: int) -> None:
    host, band = channels()
    sealed = bytearray(host.seal(message))
    with pytest.raises(ValueError):
        host.open(bytes(sealed))  # its own words, sent back to it
    for key, serial, nonces in (
        (bytes(32), SERIAL, NONCES),
        (KEY, "ZB-0000-0000", NONCES),
        (KEY, SERIAL, NONCES[::-1]),
    ):
        with pytest.raises(ValueError):
            Channel(key, BAND, serial, nonces).open(bytes(sealed))
    sealed[at % len(sealed)] ^= 1 << at % 8
    with pytest.raises(ValueError):
        band.open(bytes(sealed))
    assert band.open(host.seal(b"next")) == b"next"


@given(st.binary(max_size=40))
def test_any_bytes_are_refused(junk: bytes) -> None:
    _, band = channels()
    with pytest.raises(ValueError):
        band.open(junk)


def test_a_message_of_a_session_is_never_as_short_as_a_hello() -> None:
    host, _ = channels()
    assert len(host.seal(b"x")) > len(hello.hello(0))


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_what_would_interrupt_a_band_is_known(nonce: bytes, mac: bytes) -> None:
    frame = frames.encode(hello.proof(nonce, mac))
    assert hello.quiet(hello.proof(nonce, mac)) == (b"\x03" not in frame)
    assert len(frame) <= frames.TO_BAND_MAX
    assert hello.read_proof(hello.proof(nonce, mac)) == (nonce, mac)


def test_hello_and_welcome_say_what_was_put_in() -> None:
    assert hello.read_hello(hello.hello(5)) == (hello.PROTOCOL, 5)
    facts = (SERIAL, 7, 2, status.PROVISIONED | status.LOCKED, 0xFFFFFFFF, bytes(16))
    assert hello.read_hello_ok(hello.hello_ok(*facts)) == facts
    state = ("t-watch-2020", (1, 2, 3), 1, 2**32 - 1, 5, 0, 9, 4, 255, 4200, 384, 17, 7)
    assert hello.read_welcome(hello.welcome(*state) + bytes(32)) == state
    for read in (hello.read_hello, hello.read_hello_ok, hello.read_proof, hello.read_welcome):
        with pytest.raises(ValueError):
            read(b"\x01too short")


@given(
    st.integers(1, 2**31 - 1),
    st.sampled_from([orders.UNLOCK, orders.REKEY, orders.DOCK_KEY, orders.RETIRE, orders.CLOCK]),
    st.binary(max_size=39),
    st.integers(0, 10**6),
)
def test_an_order_is_for_one_band_and_whole(number: int, kind: int, body: bytes, at: int) -> None:
    order = orders.pack(KEY, SERIAL, number, kind, body)
    assert len(order) == orders.ORDER_BYTES and orders.number_of(order) == number
    assert orders.unpack(KEY, SERIAL, order) == (number, kind, body.ljust(39, b"\x00"))
    altered = bytearray(order)
    altered[at % len(order)] ^= 1 << at % 8
    for key, serial, data in (
        (KEY, SERIAL, bytes(altered)),
        (bytes(32), SERIAL, order),
        (KEY, "ZB-0000-0000", order),
        (KEY, SERIAL, order[:-1]),
    ):
        with pytest.raises(ValueError):
            orders.unpack(key, serial, data)


def test_orders_tell_their_kind_to_nobody_on_the_way() -> None:
    # Two orders differ all over, whether or not they are of one kind.
    found = [
        orders.pack(KEY, SERIAL, number, kind)
        for number, kind in ((1, orders.REKEY), (2, orders.REKEY), (3, orders.UNLOCK))
    ]
    for a in found:
        for b in found:
            if a is not b:
                same = sum(x == y for x, y in zip(a[4:], b[4:], strict=True))
                assert same < 8


def test_bodies_of_orders_are_read_back() -> None:
    assert orders.read_dock_key(orders.dock_key_body(9, 3, KEY)) == (9, 3, KEY)
    assert orders.read_clock(orders.clock_body(5, 6)) == (5, 6)
    with pytest.raises(ValueError):
        orders.pack(KEY, SERIAL, 1, orders.CLOCK, bytes(40))
