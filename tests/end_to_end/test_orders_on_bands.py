"""Orders of the tracing server, carried by a station that cannot read them, done by the band."""

import json
from pathlib import Path
from typing import Any

import pytest

from zoneband.campaigns import life as lives
from zoneband.campaigns.life import Life
from zoneband.dock.greeting import Hello
from zoneband.dock.job import DockJob, Outcome
from zoneband.sim import keys, solo
from zoneband.spool import Spool
from zoneband.wire import bluezone, handshake, readers, records

MONTHS_US = 60 * 86_400 * 1_000_000
# What a band is after a start, and a burst of it.
LOOK = """
import json
from wire import records
band.burst()
witness.tick()
ids = {"stands_s": band.keys.utc_s()}
if band.state != records.RETIRED:
    ids["id"] = band.keys.id_at(ids["stands_s"], ids["stands_s"]).hex()
with open("../look", "w") as f:
    json.dump(
        dict(
            ids,
            locked=band.trust.locked,
            state=band.state,
            order=band.trust.order_number,
            generation=band.trust.dock[1],
            advertising=band.radio.advertising,
            utc_s=band.clock.utc_s(),
        ),
        f,
    )
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> solo.Compiled:
    return solo.compile_all(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def life(tmp_path: Path, compiled: solo.Compiled) -> Life:
    """A band that is handed out and worn, its station and its server."""
    made = Life(tmp_path / "life", compiled, 1, 1)
    made.log(30)
    assert look(made)["locked"] and look(made)["advertising"]
    return made


def look(life: Life) -> dict[str, Any]:
    life.script(LOOK)
    assert life.crashes == []
    life.now_us += 1_000_000
    life.power_lost()
    return json.loads((life.band.directory / "look").read_text())


def ordered(life: Life, kind: str) -> None:
    life.server.orders.make(life.serial, kind)
    result = life.dock()
    assert (result.outcome, result.orders) == (Outcome.DONE.value, 1), result
    # The mark in its log tells the server, in the same dock.
    life.deliver()
    assert [order["done"] for order in life.server.orders.every(life.serial)][-1]


def test_only_an_order_unlocks_a_band(life: Life) -> None:
    ordered(life, "unlock")
    assert not look(life)["locked"]


def test_a_new_key_is_known_to_the_server_before_it_is_on_air_and_the_old_one_ends(
    life: Life,
) -> None:
    before = look(life)
    [(_, old)] = life.server.base_keys(life.serial)
    ordered(life, "rekey")
    _, (day, new) = life.server.base_keys(life.serial)
    assert new != old
    after = look(life)

    def id_of(base_day: int, key: bytes, at_s: int) -> str:
        for _ in range(at_s // 86_400 - base_day):
            key = bluezone.next_day_key(key)
        return bluezone.day_ids(key)[bluezone.slot_at(at_s)].hex()

    first_day = life.server.base_keys(life.serial)[0][0]
    assert before["id"] == id_of(first_day, old, before["stands_s"])
    assert after["id"] == id_of(day, new, after["stands_s"])
    # Its flash holds nothing of either base key.
    image = life.band.path("bandkeys.bin").read_bytes() + life.band.path("nvs.bin").read_bytes()
    assert new not in image and old not in image


def test_a_stolen_group_key_is_replaced_band_by_band(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen = keys.dock_key
    life.server.groups.renew("default")
    found = {g["generation"]: bytes.fromhex(g["key"]) for g in groups_of(life)}
    found[1] = keys.GROUP_KEY

    def key_of(band: Hello) -> bytes:
        return handshake.dock_key(found[band.generation], band.serial)

    monkeypatch.setattr(keys, "dock_key", key_of)
    result = life.dock()
    assert (result.outcome, result.orders) == (Outcome.DONE.value, 1), result
    assert look(life)["generation"] == 2
    assert life.dock().outcome == Outcome.DONE.value
    monkeypatch.setattr(keys, "dock_key", stolen)
    assert life.dock().outcome == Outcome.REFUSED.value  # it is worth nothing any more


def groups_of(life: Life) -> list[dict[str, Any]]:
    life.server.groups.assign("campaign", ["default"])
    return life.server.groups.of_station("campaign")


def test_a_retired_band_sends_nothing_any_more_and_still_gives_its_log(life: Life) -> None:
    ordered(life, "retire")
    found = look(life)
    assert found["state"] == records.RETIRED and not found["advertising"]
    assert life.dock().outcome == Outcome.DONE.value
    assert life.band.path("bandkeys.bin").read_bytes() == b"\xff" * 8192
    verdict = life.judge()
    assert (verdict.lost, verdict.doubled, verdict.unreadable) == (0, 0, 0)


def test_a_clock_that_is_far_off_takes_an_order_and_new_keys(life: Life) -> None:
    at_s = look(life)["utc_s"]
    life.now_us += MONTHS_US  # its battery was empty for two months
    life.power_lost()
    result = life.dock()
    assert result.outcome == Outcome.DONE.value and not result.clock_set
    assert "order" in result.note
    life.server.orders.make(life.serial, "clock")
    result = life.dock()
    assert result.clock_set and result.orders == 1
    life.deliver()
    found = look(life)
    assert found["utc_s"] > at_s + MONTHS_US // 1_000_000 - 3_600
    assert len(life.server.base_keys(life.serial)) == 2


def test_a_clock_order_is_carried_out_before_a_later_one_makes_it_void(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.now_us += MONTHS_US
    life.power_lost()
    for kind in ("clock", "unlock"):
        life.server.orders.make(life.serial, kind)
    with monkeypatch.context() as patch:
        # A station that nobody vouches for cannot do the first, and so not the second.
        patch.setattr(lives, "DockJob", unvouched)
        result = life.dock()
    assert (result.outcome, result.orders) == (Outcome.DONE.value, 0), result
    assert look(life)["locked"]
    result = life.dock()
    assert (result.orders, result.clock_set) == (2, True), result
    life.deliver()
    assert [order["done"] for order in life.server.orders.every(life.serial)] == [True, True]
    assert not look(life)["locked"]


def unvouched(
    port: str, spool: Spool, station: str, vouched: bool, *rest: Any, **more: Any
) -> DockJob:
    """The job of a station whose clock is not vouched for."""
    return DockJob(port, spool, station, False, *rest, **more)


# An order for a time long past; then the right time.
STALE = """
from band import orders, requests
from wire import orders as wire
utc_s = band.clock.utc_s()
body = wire.clock_body(utc_s - 8 * 86400, utc_s - 86400)
print(orders.carry_out(band, wire.pack(band.receipt_key, band.serial, 1, wire.CLOCK, body)))
print(requests._set_utc(band, utc_s + 9, 0, 60), band.clock.utc_s() - utc_s)
print(requests._set_utc(band, utc_s - 2 * 86400, 0, 60))
"""


def test_a_clock_order_that_does_not_fit_bars_no_honest_setting(life: Life) -> None:
    shown = life.band.run(lives.LOG.partition("for _ in")[0] + STALE, heap=lives.HEAP).split("\n")
    # It is gone: the time that it would have allowed is refused (4) like any other.
    assert shown[:3] == ["0", "0 9", "4"]


def test_honest_bands_take_the_time_when_their_receipts_come_a_dock_late(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A station that sends after its docks, and a band whose battery is flat three days in four.
    send = life.deliver
    monkeypatch.setattr(life, "deliver", lambda: None)
    for _ in range(10):
        life.log(3)
        life.now_us += 3 * 86_400 * 1_000_000
        life.power_lost()
        assert life.dock().clock_set
        send()


def test_steps_of_a_clock_do_not_add_up_behind_the_servers_back(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead_days = 0.0
    monkeypatch.setattr(life, "utc", lambda: Life.utc(life) + ahead_days * 86_400)
    send = life.deliver
    monkeypatch.setattr(life, "deliver", lambda: None)
    taken: list[bool] = []
    for step in (20, 20, 1.5, -1.5):
        # Pulling EN takes the band's run time, so it would believe three weeks.
        life.power_lost()
        ahead_days += step
        taken.append(life.dock().clock_set)
        if not taken[-1]:
            ahead_days -= step
    assert taken == [True, False, True, False]
    send()  # and the next dock brings the receipt
    life.power_lost()
    ahead_days += 20
    assert life.dock().clock_set


def test_an_order_that_a_cut_interrupts_comes_again(life: Life) -> None:
    life.server.orders.make(life.serial, "rekey")
    for cut in range(400, 2600, 200):
        life.dock(cut=cut)
        life.power_lost()
    assert life.dock().outcome == Outcome.DONE.value
    verdict = life.judge()
    assert (verdict.lost, verdict.unreadable, verdict.bricked) == (0, 0, 0)
    assert all(order["done"] for order in life.server.orders.every(life.serial))


# Handing out, as a station asks for it, of a band that was unlocked meanwhile.
HAND_OUT = """
from band import requests
from wire import records
requests._issue(band, records.ISSUED, 9)
"""


def test_a_hand_out_that_a_cut_interrupts_is_whole_at_the_next_try(life: Life) -> None:
    life.script("band.trust.lock(False)")
    cuts = 0
    for cut in range(70, 700, 10):
        life.script("band.trust.lock(False)\nband.set_state(2, 8)")
        marks = hand_outs(life)
        before = len(life.cuts)
        life.script(HAND_OUT, cut=cut)
        life.power_lost()
        cuts += len(life.cuts) > before
        life.script(HAND_OUT)
        found = look(life)
        assert found["locked"] and found["state"] == records.ISSUED, cut
        assert hand_outs(life) > marks, cut
    assert cuts > 10


def hand_outs(life: Life) -> int:
    """Marks of this hand-out in the band's log."""
    made = [record for every in life.truth().values() for record in every]
    states = [readers.read_mark(record) for record in made if record[0] == records.STATE]
    return sum(state[2:] == (records.ISSUED, 9) for state in states)
