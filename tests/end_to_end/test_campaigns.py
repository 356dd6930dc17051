"""Short campaigns: all is well; and with a guard taken out each sees what must never happen."""

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trials import failures, seen
from zoneband.campaigns import flood, forge, fuzz, power, serial
from zoneband.campaigns.tally import FAILURES, Tally
from zoneband.cli.main import make_app
from zoneband.sim.solo import Changes
from zoneband.sim.solo_cable import Fate
from zoneband.wire import frames, handshake, messages, sealing


def instead(path: str, there: str, other: str) -> Changes:
    """The firmware with a text in one file replaced."""
    return {path: [(there, other)]}


def shows(failure: str, seed: int, rounds: int, changes: Changes) -> bool:
    """Whether power that goes shows what a guard that was taken out lets through."""
    tally = Tally("power", seed)
    return seen(tally, failure, lambda told: power.run(tally, rounds, told, changes))


OVER_TORN_SLOTS = instead(
    "band/mount.py", "_first_free(ring, newest)", "max(1, _first_free(ring, newest) - 1)"
)

# --- power ---------------------------------------------------------------------------------------


def test_cuts_lose_double_and_brick_nothing() -> None:
    tally = Tally("power", 0)
    power.run(tally, 25)
    assert tally.rounds == 25
    assert not failures(tally)


def test_a_log_that_writes_on_over_a_torn_slot_is_seen_to_lose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(power, "CUTS_PER_BAND", 3)
    monkeypatch.setattr(power, "FIRST_POWER_UPS", 0)
    assert shows("lost", 0, 12, OVER_TORN_SLOTS)


def test_keys_wiped_before_the_new_pair_is_whole_are_seen_to_brick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = "        self._put(kind, day, slot, key)\n"
    wipe = "        if old:\n            self._wipe(*old)\n"
    monkeypatch.setattr(power, "CUTS_PER_BAND", 6)
    monkeypatch.setattr(power, "FIRST_POWER_UPS", 0)
    monkeypatch.setattr(power, "RETIRE_SHARE", 0.0)
    assert shows("bricked", 1, 24, instead("band/keys.py", put + wipe, wipe + put))


def test_a_band_without_keys_that_is_not_marked_retired_first_is_seen_to_brick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(power, "RETIRE_SHARE", 1.0)
    mark = "        self.set_state(records.RETIRED, self.issue_number)\n"
    erase = "        self.keys.erase()\n"
    monkeypatch.setattr(power, "CUTS_PER_BAND", 2)
    monkeypatch.setattr(power, "FIRST_POWER_UPS", 0)
    assert shows("bricked", 0, 12, instead("band/app.py", mark + erase, erase + mark))


def test_a_band_that_writes_nothing_is_seen_to_lose() -> None:
    tally = Tally("power", 0)
    writes = "        if self.low or self._log.fault:\n"
    power.run(tally, 4, changes=instead("band/journal.py", writes, "        if True:\n"))
    assert tally.lost or tally.bricked


# --- serial --------------------------------------------------------------------------------------


def test_docks_over_bad_cables_lose_and_double_nothing() -> None:
    tally = Tally("serial", 0)
    serial.run(tally, 6)
    assert tally.rounds == 6
    assert not failures(tally)


def _unchecked(frame: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(frame):
        size = frame[at]
        out += frame[at + 1 : at + size]
        at += size
        if size != 255 and at < len(frame):
            out.append(0)
    if len(out) < 5:
        raise ValueError("bad length")
    return bytes(out[:-4])


def _flipping(_rng: object, _how_bad: float) -> Fate:
    # A bit in the middle of whatever comes in bulk, which is the log.
    def fate(data: bytes, to_band: bool) -> list[tuple[float, bytes]]:
        if to_band or len(data) < 500:
            return [(0.0, data)]
        middle = len(data) // 2
        return [(0.0, data[:middle] + bytes((data[middle] ^ 0x40 or 1,)) + data[middle + 1 :])]

    return fate


def _same(_wanted: bytes, _got: bytes) -> bool:
    return True


def test_a_station_that_checks_no_frame_is_seen_to_damage_logs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frames, "decode", _unchecked)
    monkeypatch.setattr(handshake, "same", _same)
    monkeypatch.setattr(serial, "chaos", _flipping)
    monkeypatch.setattr(serial, "_UNPLUG_SHARE", 0.0)
    tally = Tally("serial", 0)
    serial.run(tally, 2)
    assert tally.unreadable


# --- fuzz ----------------------------------------------------------------------------------------


def test_no_reader_breaks_on_bytes_from_nowhere() -> None:
    tally = Tally("fuzz", 0)
    fuzz.run(tally, 1, seconds=1.0)
    assert not failures(tally)


def test_a_session_that_reads_on_without_a_proof_is_seen_to_break() -> None:
    unproved = instead(
        "band/session.py",
        "            if not self._channel:\n",
        "            if payload[0] == messages.PROOF:\n",
    )
    tally = Tally("fuzz", 0)
    while not tally.crashes and tally.rounds < 10:  # a busy computer comes to little in a second
        fuzz.run(tally, 1, seconds=1.0, changes=unproved, only="vm_session")
    assert tally.crashes


def test_a_reader_that_checks_no_length_is_seen_to_break(monkeypatch: pytest.MonkeyPatch) -> None:
    def unchecked(payload: bytes) -> object:
        return payload[0], payload[9]

    monkeypatch.setattr(fuzz, "_READERS", (messages.read_pull, unchecked))
    tally = Tally("fuzz", 0)
    while not tally.crashes and tally.rounds < 10:
        fuzz.run(tally, 1, seconds=0.5, only="messages")
    assert tally.crashes


# --- forge ---------------------------------------------------------------------------------------


def test_every_forgery_is_refused_and_told() -> None:
    tally = Tally("forge", 0)
    forge.run(tally, 1)
    assert tally.rounds == 1
    assert not failures(tally)


@pytest.mark.parametrize(
    ("forgery", "path", "guard", "other"),
    [
        (
            "altered_frame",
            "wire/handshake.py",
            "or not same(hmac_sha256(self._get_key, body)[:8], payload[-8:])",
            "or False",
        ),
        ("replayed_frame", "wire/handshake.py", "if count <= self._got:", "if False:"),
        ("order_out_of_turn", "band/orders.py", "if number <= trust.order_number:", "if False:"),
        ("receipt_of_a_station", "band/logread.py", "if not same(wanted, mac):", "if False:"),
    ],
)
def test_a_band_that_checks_less_is_seen_to_be_fooled(
    forgery: str, path: str, guard: str, other: str
) -> None:
    tally = Tally("forge", 0)
    forge.run(tally, 1, changes=instead(path, guard, other), only=forgery)
    assert tally.accepted_forgeries


def test_a_server_that_asks_for_no_log_key_is_seen_to_be_fooled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def known(_receipt_key: bytes) -> bytes:
        return bytes(32)

    monkeypatch.setattr(sealing, "log_key", known)
    tally = Tally("forge", 0)
    forge.run(tally, 1, only="log_sealed_by_a_station")
    assert tally.accepted_forgeries


# --- flood ---------------------------------------------------------------------------------------


def test_a_flood_washes_no_real_neighbour_out() -> None:
    tally = Tally("flood", 0)
    flood.run(tally, 1)
    assert flood.passed(tally), tally.figures
    assert not failures(tally)


def test_without_its_quota_a_flood_is_seen_to_wear_the_ring() -> None:
    tally = Tally("flood", 0)
    flood.run(
        tally, 1, changes=instead("band/encounters.py", "_QUOTA = const(96)", "_QUOTA = const(960)")
    )
    assert not flood.passed(tally)


def test_a_table_that_lets_everybody_in_is_seen_to_lose_real_neighbours() -> None:
    tally = Tally("flood", 0)
    everybody = instead(
        "band/table.py", "        if self._knocked[place] == print_:\n", "        if True:\n"
    )
    flood.run(tally, 1, changes=everybody)
    assert tally.figures["real_share"] < flood.REAL_SHARE


# --- the verb ------------------------------------------------------------------------------------


def _campaign(data: Path, *words: str) -> tuple[int, dict[str, float | str]]:
    every = ["campaign", "power", "--data", str(data), "--json", *words]
    result = CliRunner().invoke(make_app(every), every)
    return result.exit_code, json.loads(result.stdout)


def test_the_verb_prints_one_object_and_goes_on_where_it_was_left(tmp_path: Path) -> None:
    code, first = _campaign(tmp_path, "--rounds", "3")
    assert code == 0
    assert {"campaign", "seed", "rounds", "seconds", "truth_sha256", "result_sha256"} <= set(first)
    assert [first[name] for name in FAILURES] == [0] * len(FAILURES)
    assert first["rounds"] == 3
    code, both = _campaign(tmp_path, "--rounds", "2", "--resume")
    assert (code, both["rounds"]) == (0, 5)
    assert both["truth_sha256"] != first["truth_sha256"]
    assert _campaign(tmp_path, "--rounds", "1")[1]["rounds"] == 1


def test_the_verb_ends_with_1_when_something_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "run", partial(power.run, changes=OVER_TORN_SLOTS))
    code, told = _campaign(tmp_path, "--rounds", "12")
    assert code == 1
    assert told["lost"]
