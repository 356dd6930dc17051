"""Flashing meets a band that was handed out and is locked: real tools, virtual boards."""

import shlex
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from support import ROOT
from zoneband import authority, release, seal, updates
from zoneband.dock.job import DockJob
from zoneband.dock.link import Link
from zoneband.dock.session import BandSession
from zoneband.flash import locked
from zoneband.flash.job import FlashResult
from zoneband.groups import GroupKeys
from zoneband.seal import Kind
from zoneband.sim import band as bands
from zoneband.sim import keys as sim_keys
from zoneband.sim.keys import dock_key
from zoneband.sim.simulation import VirtualBoard
from zoneband.sim.workshop import PASSPHRASE, Workshop
from zoneband.wire import bluezone, log, orders, records


def handed_out(shop: Workshop, slot: int) -> tuple[VirtualBoard, Path, str]:
    """A band with a log that was flashed and issued here: board, port, serial."""
    board = shop.tray.add()
    port = shop.tray.put(slot, board)
    flashed = shop.flash(port)
    serial = flashed.serial
    assert serial is not None, flashed
    shop.fill(port, 50)
    docked = DockJob(
        str(port), shop.spool, "st", True, dock_key, state=(records.ISSUED, slot)
    ).run()
    assert docked.outcome == "done", docked
    assert is_locked(port)
    return board, port, serial


def is_locked(port: Path) -> bool:
    """What the band itself says, before anybody has proved anything."""
    link = Link(str(port))
    try:
        return BandSession(link, dock_key).hello(8).locked
    finally:
        link.close()


def enrolment(shop: Workshop, serial: str) -> dict[str, Any]:
    """What the tracing server is told of a band."""
    opened = authority.unlock(shop.data, PASSPHRASE)
    for record in shop.spool.waiting_sealed():
        kind, number = seal.read_head(record.data)
        facts = seal.unseal(opened[number], record.data)
        if kind == Kind.ENROLMENT and facts["serial"] == serial:
            return facts
    raise AssertionError(serial)


def unlock_order(shop: Workshop, serial: str) -> bytes:
    """An order as the tracing server makes it."""
    key = bytes.fromhex(enrolment(shop, serial)["receipt_key"])
    return orders.pack(key, serial, 1, orders.UNLOCK)


def has_its_keys(shop: Workshop, board: VirtualBoard, serial: str) -> bool:
    """Whether a day key that follows from the enrolled base key stands on the band."""
    tomorrow = bluezone.next_day_key(bytes.fromhex(enrolment(shop, serial)["base_key"]))
    stands = shop.partition(board, "bandkeys")
    return tomorrow in stands or bluezone.next_day_key(tomorrow) in stands  # midnight may pass


def assert_refused(result: FlashResult, serial: str) -> None:
    assert result.outcome == "failed" and result.serial == serial, result
    assert f"zoneband order unlock {serial}" in result.message
    assert "\n" not in result.message


def test_a_locked_band_is_refused_and_its_flash_stays_as_it_is(shop: Workshop, slot: int) -> None:
    board, port, serial = handed_out(shop, slot)
    before = board.flash.read_bytes()
    began = time.monotonic()
    result = shop.flash(port)
    assert time.monotonic() - began < 5
    assert_refused(result, serial)
    assert "Nothing was changed" in result.message
    assert board.flash.read_bytes() == before
    assert is_locked(port)
    # Tests alone need the REPL just as much.
    assert_refused(shop.flash(port, steps=("test",)), serial)
    assert board.flash.read_bytes() == before


def test_an_unlock_order_lets_it_be_flashed_and_it_keeps_serial_keys_and_log(
    shop: Workshop, slot: int
) -> None:
    board, port, serial = handed_out(shop, slot)
    logged = shop.partition(board, "bandlog")
    assert has_its_keys(shop, board, serial)
    shop.spool.add_orders(serial, [unlock_order(shop, serial)])
    result = shop.flash(port)
    assert (result.outcome, result.serial, result.new) == ("done", serial, False), result
    assert "unlocked" in result.note
    assert all(good is not False for good in result.tests.values()) and result.tests["ring"]
    assert not is_locked(port)
    assert has_its_keys(shop, board, serial)
    after = shop.partition(board, "bandlog")
    for at in range(0, len(logged), log.SLOT_BYTES):
        was = logged[at : at + log.SLOT_BYTES]
        assert was in (log.ERASED, after[at : at + log.SLOT_BYTES])
    # Handed out anew it is locked anew.
    again = DockJob(str(port), shop.spool, "st", True, dock_key, state=(records.ISSUED, 7000)).run()
    assert again.outcome == "done" and is_locked(port)


def test_an_order_that_is_not_genuine_opens_nothing(shop: Workshop, slot: int) -> None:
    _board, port, serial = handed_out(shop, slot)
    shop.spool.add_orders(serial, [orders.pack(bytes(32), serial, 1, orders.UNLOCK)])
    assert_refused(shop.flash(port), serial)
    assert is_locked(port)


def test_a_locked_band_of_a_group_that_is_not_known_here_is_named_so(
    shop: Workshop, slot: int
) -> None:
    board, port, _serial = handed_out(shop, slot)
    before = board.flash.read_bytes()
    GroupKeys(shop.data).save([])
    try:
        # New keys are not asked for, so that the run itself may begin.
        result = shop.flash(port, steps=("image", "table", "app"))
    finally:
        sim_keys.give(shop.data)
    assert result.outcome == "failed" and "another group" in result.message
    assert board.flash.read_bytes() == before


def test_a_lock_that_is_seen_only_at_the_repl_is_told_too_and_opens_by_an_order(
    shop: Workshop, slot: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _board, port, serial = handed_out(shop, slot)
    monkeypatch.setattr(locked, "LOOK_S", 0.0)  # it does not answer in time
    assert_refused(shop.flash(port), serial)
    shop.spool.add_orders(serial, [unlock_order(shop, serial)])
    result = shop.flash(port)
    assert (result.outcome, result.serial) == ("done", serial), result.message
    assert "unlocked" in result.note


def test_a_locked_band_lets_nobody_to_its_repl_however_long_its_start_takes(
    shop: Workshop, slot: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _board, port, serial = handed_out(shop, slot)
    slow = tmp_path / "micropython"
    slow.write_text(f'#!/bin/sh\nsleep 0.6\nexec {shlex.join(bands.vm())} "$@"\n', encoding="utf-8")
    slow.chmod(0o755)
    monkeypatch.setattr(bands, "vm", lambda: [str(slow)])
    monkeypatch.setattr(locked, "LOOK_S", 0.0)
    assert_refused(shop.flash(port), serial)


def test_erasing_needs_no_unlocking(shop: Workshop, slot: int) -> None:
    _board, port, serial = handed_out(shop, slot)
    result = shop.flash(port, erase=True)
    assert result.outcome == "done" and result.serial != serial
    assert "look" not in result.steps


def test_an_update_that_fits_goes_to_a_locked_band_over_the_dock(tmp_path: Path) -> None:
    with Workshop(tmp_path) as shop:
        board, port, serial = handed_out(shop, 1)
        newer = tmp_path / "firmware"
        shutil.copytree(ROOT / "firmware", newer)
        (newer / "band" / "version.py").write_text("VERSION = (0, 250, 0)\n", encoding="utf-8")
        key = authority.signing_key(shop.data, PASSPHRASE)
        made = release.make(key, authority.current(shop.data), folder=newer)
        file = tmp_path / "newer.zbu"
        file.write_bytes(made.pack())
        updates.add(shop.data, file)
        result = shop.flash(port)
        assert (result.outcome, result.serial) == ("done", serial), result.message
        assert "updated to 0.250.0, not flashed" in result.note
        assert "write" not in result.steps
        shop.tray.pull(1)
        port = shop.tray.put(1, board)
        band = shop.greet(port)
        assert (band.serial, band.firmware) == (serial, (0, 250, 0))
        assert is_locked(port)


def test_a_blank_board_is_looked_at_for_a_moment_only(shop: Workshop, slot: int) -> None:
    spent = []
    for _n in range(3):
        port = shop.tray.put(slot, shop.tray.add())
        result = shop.flash(port, steps=("table",))
        assert result.outcome == "done", result
        spent.append(result.steps["look"])
        shop.tray.pull(slot)
    assert statistics.median(spent) <= 0.3, spent
