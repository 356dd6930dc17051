"""Orders: only the server makes them, only the band reads them, each is carried out once."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandbook import NOON, A, B, BandBook, C, key
from served import NOW, Server
from zoneband.spool import Spool
from zoneband.wire import orders, records


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server of its own."""
    return Server(tmp_path / "server")


def test_a_band_reads_its_orders_in_the_order_they_were_made(server: Server) -> None:
    for kind in ("unlock", "rekey", "retire", "clock"):
        assert server.order(A, kind).status_code == 201
    assert server.opened(A) == [
        (1, orders.UNLOCK), (2, orders.REKEY), (3, orders.RETIRE), (4, orders.CLOCK),
    ]  # fmt: skip
    assert server.opened(A, after=2) == [(3, orders.RETIRE), (4, orders.CLOCK)]
    assert server.opened(B) == []
    assert server.order(B, "unlock").json() == {"serial": B, "kind": "unlock", "number": 1}


def test_an_order_opens_for_no_other_band_and_no_other_key(server: Server) -> None:
    server.order(A, "unlock")
    [order] = server.pending(A)
    for receipt_key, serial in ((key(A + "r"), B), (key(B + "r"), B), (key(B + "r"), A)):
        with pytest.raises(ValueError):
            orders.unpack(receipt_key, serial, order)


@given(st.integers(0, orders.ORDER_BYTES - 1), st.integers(1, 255))
def test_a_forged_order_does_not_open(at: int, flip: int) -> None:
    order = bytearray(orders.pack(key(A + "r"), A, 7, orders.UNLOCK))
    order[at] ^= flip
    with pytest.raises(ValueError):
        orders.unpack(key(A + "r"), A, bytes(order))


def test_an_older_order_does_not_open_under_a_newer_number(server: Server) -> None:
    for _ in range(2):
        server.order(A, "unlock")
    old, new = server.pending(A)
    with pytest.raises(ValueError):
        orders.unpack(key(A + "r"), A, new[:4] + old[4:])


def test_what_a_station_carries_tells_it_nothing_of_the_kind(server: Server) -> None:
    for kind in ("unlock", "rekey", "unlock"):
        server.order(A, kind)
    found = server.pending(A)
    assert {len(order) for order in found} == {orders.ORDER_BYTES}
    # Two of one kind have no more in common than two of different kinds.
    assert len({order[4 + i : 8 + i] for order in found for i in range(0, 72, 4)}) == 3 * 18
    answer = server.http.get(f"/v1/bands/{A}/orders", auth=server.station)
    assert set(answer.json()) == {"orders"}


def test_a_case_gets_a_new_key_once(server: Server) -> None:
    def declare(onset: str) -> dict[str, Any]:
        given = server.http.post("/v1/case-codes", headers=server.tracer).json()
        body = {"serial": A, "onset": onset, "code": given["code"]}
        answer = server.http.post("/v1/cases", json=body, headers=server.tracer)
        assert answer.status_code == 201, answer.text
        return answer.json()

    first = declare("2026-11-01")
    assert declare("2026-11-01")["number"] == first["number"]
    assert server.opened(A) == [(1, orders.REKEY)]
    path = f"/v1/cases/{first['number']}/close"
    assert server.http.post(path, json={"reason": "well"}, headers=server.tracer).is_success
    declare("2026-11-02")
    assert server.opened(A) == [(1, orders.REKEY), (2, orders.REKEY)]


def test_the_bands_own_mark_ends_an_order_and_those_before_it(
    server: Server, tmp_path: Path
) -> None:
    for kind in ("unlock", "rekey", "retire"):
        server.order(A, kind)
    book = BandBook(A, tmp_path)
    book.mark(records.ORDER, NOON, orders.REKEY, 2)
    told = [bytes.fromhex(order) for order in server.put(book.batch())["orders"]]
    assert [orders.number_of(order) for order in told] == [3]
    assert server.opened(A) == [(3, orders.RETIRE)]
    assert server.every(A) == [(1, "unlock", False), (2, "rekey", True), (3, "retire", False)]


def test_a_mark_of_an_order_that_was_never_made_holds_none_back(
    server: Server, tmp_path: Path
) -> None:
    server.order(A, "retire")
    book = BandBook(A, tmp_path)
    book.mark(records.ORDER, NOON, orders.UNLOCK, 1)
    book.mark(records.ORDER, NOON, orders.RETIRE, 2_000_000)
    server.put(book.batch())
    assert server.opened(A) == [(1, orders.RETIRE)]


def test_the_answer_to_a_log_brings_that_bands_orders(server: Server, tmp_path: Path) -> None:
    server.order(A, "unlock")
    server.order(B, "unlock")
    book = BandBook(A, tmp_path)
    book.clock(NOON)
    [order] = server.put(book.batch())["orders"]
    assert orders.unpack(key(A + "r"), A, bytes.fromhex(order))[:2] == (1, orders.UNLOCK)
    stranger = BandBook(C, tmp_path)
    stranger.clock(NOON)
    assert server.put(stranger.batch())["orders"] == []


def test_a_clock_order_ends_after_a_week(server: Server) -> None:
    server.order(A, "clock")
    [order] = server.pending(A)
    body = orders.unpack(key(A + "r"), A, order)[2]
    assert orders.read_clock(body) == (NOW, NOW + 7 * 86_400)
    server.now = NOW + 7 * 86_400 + 1
    assert server.pending(A) == []


def clock_set(order: bytes) -> tuple[int, int]:
    return orders.read_clock(orders.unpack(key(A + "r"), A, order)[2])


def test_a_clock_order_that_a_later_order_overtakes_is_made_again(
    server: Server, tmp_path: Path
) -> None:
    # The band waits with it for its clock to be set; a later order that is done meanwhile voids it.
    server.order(A, "clock")
    span = clock_set(server.pending(A)[0])
    server.order(A, "unlock")
    book = BandBook(A, tmp_path)
    book.mark(records.ORDER, NOON, orders.UNLOCK, 2)
    server.put(book.batch())
    assert server.opened(A) == [(3, orders.CLOCK)]
    assert clock_set(server.pending(A)[0]) == span  # no longer than it was
    # Not with every log that comes, but as often as it is overtaken.
    book.clock(NOON)
    server.put(book.batch())
    assert server.opened(A) == [(3, orders.CLOCK)]
    server.order(A, "unlock")
    book.mark(records.ORDER, NOON, orders.UNLOCK, 4)
    server.put(book.batch())
    assert server.opened(A) == [(5, orders.CLOCK)]
    book.mark(records.ORDER, NOON, orders.CLOCK, 5)
    server.put(book.batch())
    assert server.opened(A) == []


def test_a_clock_order_that_is_over_or_replaced_is_not_made_again(
    server: Server, tmp_path: Path
) -> None:
    server.order(A, "clock")
    server.order(A, "clock")
    book = BandBook(A, tmp_path)
    book.mark(records.ORDER, NOON, orders.CLOCK, 2)
    server.put(book.batch())
    assert server.opened(A) == []
    server.order(A, "clock")
    server.order(A, "unlock")
    server.now = NOW + 7 * 86_400 + 1
    book.mark(records.ORDER, NOON, orders.UNLOCK, 4)
    server.put(book.batch())
    assert server.opened(A) == []


def test_a_restored_ledger_makes_no_order_that_the_band_has_done_before(
    server: Server, tmp_path: Path
) -> None:
    # The band's marks know of orders that the backup does not.
    server.order(A, "unlock")
    book = BandBook(A, tmp_path)
    for number in (1, 2, 7):
        book.mark(records.ORDER, NOON, orders.UNLOCK, number)
    server.put(book.batch())
    assert server.order(A, "retire").json()["number"] == 8
    assert server.opened(A) == [(8, orders.RETIRE)]


def test_a_made_up_mark_does_not_use_the_numbers_up(server: Server, tmp_path: Path) -> None:
    book = BandBook(A, tmp_path)
    for number in ((1 << 31) - 1, (1 << 32) - 1):
        book.mark(records.ORDER, NOON, orders.UNLOCK, number)
    server.put(book.batch())
    assert server.order(A, "retire").json()["number"] == 1
    assert server.opened(A) == [(1, orders.RETIRE)]


def test_only_a_tracer_orders_and_only_a_station_fetches(server: Server) -> None:
    path = f"/v1/bands/{A}/orders"
    assert server.http.post(path, json={"kind": "unlock"}).status_code == 401
    body = {"kind": "unlock"}
    assert server.http.post(path, json=body, auth=server.station).status_code == 401
    assert server.http.get(path).status_code == 401
    assert server.http.get(path + "/all", auth=server.station).status_code == 401
    for kind in ("dock_key", "", "reboot"):
        assert server.order(A, kind).status_code == 422
    assert server.order(C, "unlock").status_code == 404
    for after in (-1, 1 << 32, 1 << 70):
        answer = server.http.get(path, params={"after": after}, auth=server.station)
        assert answer.status_code == 422
    assert server.pending(A) == []


# --- in the spool ------------------------------------------------------------------------------


def test_the_spool_keeps_orders_once_and_in_order(tmp_path: Path) -> None:
    made = [orders.pack(key(A + "r"), A, n, orders.UNLOCK) for n in (1, 2, 10)]
    with_b = orders.pack(key(B + "r"), B, 3, orders.REKEY)
    spool = Spool(tmp_path)
    spool.add_orders(A, reversed(made))
    spool.add_orders(A, made)
    spool.add_orders(B, [with_b])
    spool.close()
    again = Spool(tmp_path)
    assert again.orders(A) == made
    assert again.orders(A, after=1) == made[1:]
    again.drop_orders(A, 2)
    assert again.orders(A) == made[2:]
    assert again.orders(B) == [with_b]
    with pytest.raises(ValueError):
        again.add_orders(A, [b"no order"])
    assert again.orders(A) == made[2:]
