"""Docks of bands that are low, faulty, taken out of use or left in the middle of a sentence."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import typer

from street import Street
from zoneband.campaigns import life as lives
from zoneband.campaigns.life import Life
from zoneband.cli import dock as command
from zoneband.dock.job import ISSUE, RETURN, DockJob, Outcome
from zoneband.dock.refusals import refusal
from zoneband.dock.session import BandSession
from zoneband.errors import ExitCode
from zoneband.inventory import Inventory, State
from zoneband.sim import solo
from zoneband.wire import messages, orders, records

_BEGIN = lives.LOG.partition("for _ in range")[0]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> solo.Compiled:
    return solo.compile_all(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def life(tmp_path: Path, compiled: solo.Compiled) -> Life:
    """A band that is handed out and worn, its station and its server."""
    made = Life(tmp_path / "life", compiled, 1, 1)
    made.log(5)
    return made


def said(life: Life, script: str) -> list[str]:
    """What a script on the band prints, line by line."""
    return life.band.run(_BEGIN + script, now_us=life.now_us, heap=lives.HEAP).split("\n")[:-1]


# --- a band that cannot write --------------------------------------------------------------------


def test_a_band_with_a_low_battery_gives_its_log_and_does_nothing_that_the_log_must_tell(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path, [0.0, 2.0])
    try:
        street.issue()
        street.later(1200)
        band = street.bands[0]
        receipt_key = bytes([1, 2] * 16)
        street.spool.add_orders(band.name, [orders.pack(receipt_key, band.name, 1, orders.UNLOCK)])
        street.inventory.ask(band.name, records.RETURNED)
        band.battery_mv = 3250
        street.later(120)
        flash = (band.directory / "bandlog.bin").read_bytes()
        result = street.dock(band)
        assert result.outcome == Outcome.REFUSED.value and "Charge it" in result.message, result
        assert result.slots > 0 and not result.clock_set and not result.orders
        assert (band.directory / "bandlog.bin").read_bytes() == flash
        assert street.inventory.wish(band.name) is not None
        street.sim.unplug(band)
        band.battery_mv = 3900
        result = street.dock(band)
        assert result.outcome == Outcome.DONE.value and result.clock_set, result
        assert result.orders == 1 and "Taken back" in result.note
    finally:
        street.sim.__exit__()


LOW = """
from band import orders, requests
from wire import orders as wire
band.journal._battery_mv = lambda: 3250
band.journal.check_battery()
utc_s, head = band.clock.utc_s(), band.log.head
def order(kind, body=b""):
    return orders.carry_out(band, wire.pack(band.receipt_key, band.serial, 1, kind, body))
print(requests._issue(band, 1, 77), requests._issue(band, 2, 78))
print(requests._set_utc(band, utc_s + 80000, 0, 60))
print(order(wire.DOCK_KEY, wire.dock_key_body(1, 2, bytes(32))), order(wire.UNLOCK))
print(order(wire.RETIRE), order(wire.CLOCK, wire.clock_body(0, utc_s)), order(wire.REKEY))
print(band.state, band.issue_number, band.trust.locked, band.trust.order_number)
print(band.trust.dock[1], band.clock.utc_s() - utc_s, band.trust.clock_order, band.log.head - head)
"""


def test_a_low_battery_refuses_before_anything_is_done(life: Life) -> None:
    found = said(life, LOW)
    assert found == ["15 15", "15", "15 15", "15 15 15", "1 1 True 0", "1 0 None 0"]


FAULT = """
from band import orders, requests
from wire import messages
from wire import orders as wire
band.trust.lock(False)
band.log.fault = True
utc_s = band.clock.utc_s()
print(requests._issue(band, 1, 77), band.trust.locked, band.state, band.issue_number)
print(requests._set_utc(band, utc_s + 80000, 0, 60), band.clock.utc_s() - utc_s)
order = wire.pack(band.receipt_key, band.serial, 1, wire.UNLOCK)
print(orders.carry_out(band, order), band.trust.order_number)
"""


def test_what_the_log_does_not_take_is_not_called_done(life: Life) -> None:
    assert said(life, FAULT) == ["8 False 1 1", "8 0", "8 0"]


def test_a_band_whose_memory_is_faulty_gives_its_log_and_the_dock_says_so(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        lives, "DOCK", lives.DOCK.replace("while not", "band.log.fault = True\nwhile not")
    )
    result = life.dock()
    assert result.outcome == Outcome.REFUSED.value and "memory is faulty" in result.message, result
    assert result.slots > 0 and life.crashes == []


BROKEN = """
def fails(state, number):
    raise {error}
band.set_state = fails
while not"""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("OSError(5)", "memory is faulty"),
        ("OverflowError('no turn left')", "memory is faulty"),
        ("MemoryError()", "starts anew"),
    ],
)
def test_flash_that_fails_in_the_middle_is_told_and_the_band_goes_on(
    life: Life, monkeypatch: pytest.MonkeyPatch, error: str, told: str
) -> None:
    broken = lives.DOCK.replace("while not", BROKEN.format(error=error))
    monkeypatch.setattr(lives, "DOCK", broken)
    monkeypatch.setattr(lives, "DockJob", partial(DockJob, state=(RETURN, 7)))
    result = life.dock()
    assert result.outcome == Outcome.REFUSED.value and told in result.message, result
    assert life.crashes == []


SPENT = """
from band import orders, requests
from wire import orders as wire
band.keys._turn = 63
head, utc_s = band.log.head, band.clock.utc_s()
print(orders.carry_out(band, wire.pack(band.receipt_key, band.serial, 1, wire.REKEY)))
body = wire.clock_body(utc_s, utc_s + 9)
print(orders.carry_out(band, wire.pack(band.receipt_key, band.serial, 2, wire.CLOCK, body)))
print(requests._set_utc(band, utc_s + 5, 0, 60), band.clock.utc_s() - utc_s)
print(band.log.head - head, band.trust.order_number)
"""


def test_a_band_that_has_had_all_its_keys_tells_of_none_that_it_will_not_use(life: Life) -> None:
    assert said(life, SPENT) == ["8", "0", "8 0", "0 0"]


FAULTY_UPDATE = """
import sys
from band.session import Session
from band import update
from wire import updates
class Line:
    said = []
    def write(self, data):
        self.said.append(data)
def fails(*_):
    raise OSError(28)
update.Update.manifest = fails
session = Session(band, Line())
update.answer(session, band, updates.manifest(0, 178, bytes(100)))
print(len(Line.said), session.update)
print([name for name in ("band.update", "wire.bundle", "wire.updates") if name in sys.modules])
"""


def test_an_update_that_flash_does_not_take_leaves_the_band_its_room(life: Life) -> None:
    assert said(life, FAULTY_UPDATE) == ["1 None", "[]"]


SCRUBBED = """
import gc
from band import scrub
def deep(n):
    return deep(n - 1) if n else scrub.free_memory()
def free(n):
    return free(n - 1) if n else gc.mem_free()
gc.collect()
least = most = gc.mem_free()
for n in range(300):
    deep(n % 23)
    least = min(least, free(n % 7))
print(most - least < 4096)
"""


def test_scrubbing_gives_all_its_memory_back_whatever_the_stack_holds(life: Life) -> None:
    assert said(life, SCRUBBED) == ["True"]


CRAMPED = """
import gc, machine, sys
from band import cable
from band.session import Session
from wire import frames, messages, orders
class Open:
    def open(self, payload):
        return payload
    seal = open
class Line:
    said = []
    def read(self, wait_ms):
        return b"\\0"
    def write(self, data):
        self.said.append(data)
order = bytes([messages.ORDER]) + orders.pack(band.receipt_key, band.serial, 1, orders.UNLOCK)
session = Session(band, Line())
session._channel = Open()
for name in ("band.orders", "wire.orders"):
    sys.modules.pop(name, None)
hog, size = [], 65536
while size >= 128:
    try:
        hog.append(bytearray(size))
    except MemoryError:
        size //= 2
session._answer(order)
hog = None
print(list(frames.Decoder().feed(Line.said[0])[0])[:2], session.cramped, band.trust.order_number)

def run(self, first):
    self.cramped = True
Session.run = run
def reset():
    print("reset")
    sys.exit()
machine.reset = reset
band.cable._link = Line()
band.cable.serve(10)
"""


def test_a_band_without_room_for_an_order_says_so_and_starts_anew(life: Life) -> None:
    assert said(life, CRAMPED) == ["[148, 16] True 0", "reset"]
    assert "starts anew" in refusal(messages.NO_MEMORY)


RESTART = """
import bluetooth, machine
from band import trial
def reset():
    print("reset", bluetooth.BLE().active())
machine.reset = reset
for _ in range(3): band.burst()
print(band.radio.advertising)
trial.restart(band)
"""


def test_bluetooth_is_off_before_a_restart(life: Life) -> None:
    assert said(life, RESTART) == ["True", "reset False"]


# --- a band that is out of use -------------------------------------------------------------------


def test_a_band_that_is_retired_is_put_aside_and_takes_no_other_state(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = Inventory(tmp_path / "inventory")
    wish = inventory.ask(life.serial, records.ISSUED)
    monkeypatch.setattr(lives, "DockJob", partial(DockJob, inventory=inventory))
    life.server.orders.make(life.serial, "retire")
    for ordered in (1, 0):  # the dock that retires it, and one that finds it so
        result = life.dock()
        assert (result.outcome, result.orders) == (Outcome.DONE.value, ordered), result
        assert result.note.count("out of use: put it aside") == 1
        row = inventory.row(life.serial)
        assert row is not None and (row.state, row.waits) == (State.RETIRED, False)
    assert inventory.wish(life.serial) == wish  # it was never granted
    monkeypatch.setattr(lives, "DockJob", partial(DockJob, state=(ISSUE, 9)))
    result = life.dock()
    assert result.outcome == Outcome.DONE.value and "put it aside" in result.note


# --- lost answers --------------------------------------------------------------------------------


def test_an_answer_that_was_lost_makes_no_honest_message_a_forgery(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.server.orders.make(life.serial, "rekey")
    send: Callable[[BandSession, bytes], None] = BandSession._send  # pyright: ignore[reportPrivateUsage]
    receive: Callable[[BandSession, float], bytes | None] = BandSession._receive  # pyright: ignore[reportPrivateUsage]
    asked = [0]
    lost: set[int] = set()

    def say(session: BandSession, message: bytes) -> None:
        asked.append(message[0])
        send(session, message)

    def hear(session: BandSession, timeout_s: float) -> bytes | None:
        payload = receive(session, timeout_s)
        kind = asked[-1]
        if payload and payload[0] == messages.OK and kind in (messages.ORDER, messages.RECEIPT):
            if kind not in lost:
                lost.add(kind)
                return receive(session, timeout_s)
        return payload

    monkeypatch.setattr(BandSession, "_send", say)
    monkeypatch.setattr(BandSession, "_receive", hear)
    result = life.dock()
    assert lost == {messages.ORDER, messages.RECEIPT}
    assert (result.outcome, result.orders, result.receipted) == (Outcome.DONE.value, 1, True)
    monkeypatch.undo()
    life.script("_air.now_us += 1000000000\nband.burst()\nband.burst()\nwitness.tick()\n")
    life.dock()
    kinds = [record[0] for record in life.held().values()]
    assert records.ORDER in kinds and records.REFUSAL not in kinds
    made = [record for record in life.held().values() if record[0] == records.NEW_KEY]
    assert len(made) == 2  # the halves of one


# --- who holds a band ----------------------------------------------------------------------------

NOISE = """
import time
for _ in range(3): band.burst()
class Line:
    def __init__(self):
        self.read_ms = 0
        self.queue = [{first}]
    def write(self, data):
        pass
    def close(self):
        pass
    def read(self, timeout_ms):
        time.sleep_ms(50)
        self.read_ms += 50
        if self.read_ms > 100000:
            raise SystemExit
        return self.queue.pop(0) if self.queue else {noise}
fed = []
band.feed = lambda: fed.append(1)
line = Line()
from band.session import Session
session = Session(band, line)
greeted = session.run(b"")
print(greeted, line.read_ms < 7000, len(fed))
"""
_HELLO = "frames.encode(hello.hello(7))"


@pytest.mark.parametrize("noise", ["b'U'", "b'U' * 100", "bytes(9)", _HELLO])
def test_bytes_without_a_proof_hold_no_band_and_feed_no_watchdog(life: Life, noise: str) -> None:
    script = "from wire import frames, hello\n" + NOISE.format(first="", noise=noise)
    assert said(life, script) == ["False True 0"]


# A station that has proved itself, by hand.
PROVED = """
from wire import frames, handshake, hello, messages
from band.session import Session
class Line:
    said = []
    def write(self, data):
        self.said.append(frames.decode(data[:-1]))
    def read(self, timeout_ms):
        time.sleep_ms(timeout_ms)
        return b""
    def close(self):
        pass
import time
for _ in range(3): band.burst()
session = Session(band, Line())
session._answer(hello.hello(7))
nonces = hello.read_hello_ok(Line.said[0])[5] + bytes(16)
key = band.trust.dock[2]
session._answer(hello.proof(bytes(16), handshake.proof(key, handshake.HOST, band.serial, nonces)))
channel = handshake.Channel(key, handshake.HOST, band.serial, nonces)
"""


def test_of_what_was_written_when_a_dock_began_no_key_stays(life: Life) -> None:
    found = said(life, PROVED + "print(len(Line.said), band.log.stepped, band.keys.stepped)\n")
    assert found == ["2 False False"]


def test_the_battery_is_looked_at_before_a_dock_writes_anything(life: Life) -> None:
    low = "band.journal._battery_mv = lambda: 3250\nhead = band.log.head\nsession = Session("
    script = PROVED.replace("session = Session(", low)
    found = said(life, script + "print(len(Line.said), band.journal.low, band.log.head - head)\n")
    assert found == ["2 True 0"]


JUNK_AFTER = """
session._queue.append(channel.seal(messages.one(messages.CLOCK_GET)))
def read(timeout_ms):
    time.sleep_ms(50)
    Line.waited = getattr(Line, "waited", 0) + 50
    return frames.encode({junk})
session._link.read = read
session.run()
print(Line.waited // 1000)
"""


@pytest.mark.parametrize(("junk", "within"), [("b'junk'", (9, 12)), ("hello.hello(7)", (4, 7))])
def test_a_session_goes_on_only_as_long_as_its_station_does(
    life: Life, junk: str, within: tuple[int, int]
) -> None:
    [held_s] = said(life, PROVED + JUNK_AFTER.format(junk=junk))
    assert within[0] <= int(held_s) <= within[1]


# --- the command ---------------------------------------------------------------------------------


def test_a_port_without_a_result_is_no_dock_that_is_done(tmp_path: Path) -> None:
    station = command.Station(tmp_path, ["/dev/null"], 115200)
    station.lines["/dev/null"] = command._Line("/dev/null")  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(typer.Exit) as ended:
        command._finish(station, True)  # pyright: ignore[reportPrivateUsage]
    assert ended.value.exit_code == ExitCode.REFUSED
    station.spool.close()
