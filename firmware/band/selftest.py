# The band's test of itself: at a dock as a bit for each part that failed, at flashing part by
# part.

import os

from wire import bluezone, log, mac, records
from wire.compat import const

from .bandlog import BandLog
from .openslots import OpenSlots

IDS = const(1)
HMAC = const(2)
LOG = const(4)
RADIO = const(8)
KEYS = const(16)
SEAL = const(32)

# From the vectors made with the Android release's generator: base key 00 01 .. 1F, slots 0, 1
# and 95 of day 0.
_KEY = bytes(range(32))
_SLOTS = (
    (0, "130CEA6472130C185D8643DF"),
    (1, "893DAE342437130CE5E23837"),
    (95, "0AE9AB99C50104E835045ABF"),
)
# RFC 4231, case 2.
_HMAC = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
# RFC 9180, A.1.1: an ephemeral key's halves.
_SEAL = (
    "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
    "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
)
# 2026-01-01: any time that the clock chip cannot have by chance.
_SOME_UTC_S = 1767225600
_ADV_US = const(100000)
_FLAGS_ONLY = b"\x02\x01\x06"


def ids_right():
    ids = bluezone.day_ids(_KEY)
    for slot, text in _SLOTS:
        if ids[slot] != bytes.fromhex(text):
            return False
    return True


def hmac_right():
    made = mac.hmac_sha256(b"Jefe", b"what do ya want for nothing?")
    return made == bytes.fromhex(_HMAC)


def seal_right():
    from .x25519 import BASE, Ladder

    ladder = Ladder(bytes.fromhex(_SEAL[0]), BASE)
    while not ladder.step(8):
        pass
    return ladder.result == bytes.fromhex(_SEAL[1])


def run(band):
    failed = 0
    if not ids_right():
        failed |= IDS
    if not hmac_right():
        failed |= HMAC
    if not seal_right():
        failed |= SEAL
    if band.log.fault:
        failed |= LOG
    if not band.radio.works():
        failed |= RADIO
    if not band.provisioned:
        failed |= KEYS
    return failed


class _Numbers:
    # Where a log keeps its lasting numbers, without NVS.
    def __init__(self):
        self._values = {}

    def get(self, name, default):
        return self._values.get(name, default)

    def put(self, name, value):
        self._values[name] = value


def _log_id():
    return int.from_bytes(os.urandom(3), "big") + 1


def ring_works(flash):
    # The band log's own code on the scratch sector: erase, write, mount as after a reset, write,
    # mount as after a loss of power, write; then all is read back.
    store = _Numbers()
    flash.ioctl(6, 0)
    buf = bytearray(log.SLOT_BYTES)
    wrong = 0
    kept = None
    for start in range(3):
        ring = BandLog(flash, store, _log_id, OpenSlots())
        ring.mount(1 + start // 2, kept if start == 1 else None)
        for number in range(3):
            ring.ready(start)
            record = records.mark(records.DOCK, 0, number, start)
            ring.append(record)
            ring.read(ring.head - 1, buf)
            wrong += bytes(buf[: log.RECORD_BYTES]) != record
        wrong += ring.fault
        kept = ring.keep()
    # A header, two key groups and nine records.
    return not wrong and ring.head == 1 + 2 * log.GROUP_SLOTS + 9


def radio_works(bluetooth):
    # The address changes, something goes out that is no beacon of ours, and a finite scan can be
    # begun beside it.
    from .config import Config
    from .encounters import Encounters
    from .radio import Radio

    ble = bluetooth.BLE()
    radio = Radio(ble, Config(), Encounters(64, 60), lambda: 0)
    good = radio.works()
    ble.gap_advertise(_ADV_US, _FLAGS_ONLY, connectable=False)
    radio.open_window()
    good = good and radio.handler_errors == 0
    radio.stop()
    # It would keep the table, in the way of the band's own.
    ble.irq(None)
    return good


def clock_chip_works(board):
    # None without one. It is left with the right time if it had one.
    if board.rtc is None:
        return None
    try:
        was = board.rtc.utc_s()
        board.rtc.set(_SOME_UTC_S)
        good = 0 <= board.rtc.utc_s() - _SOME_UTC_S <= 2
        if was:
            board.rtc.set(was)
        return good
    except OSError:
        return False


def power_chip_works(board):
    # None without one.
    if board.power is None:
        return None
    try:
        return board.power.battery_mv() < 6000
    except OSError:
        return False


def parts(machine, esp32, bluetooth):
    # (name, True, False or None when the board has no such part), each as it is done. What the
    # cue shows, a person must see: at the end of flashing, when the station says done.
    from .board import Board

    yield "ids", ids_right()
    yield "hmac", hmac_right()
    yield "seal", seal_right()
    scratch = esp32.Partition.find(type=1, label="scratch")
    try:
        yield "ring", bool(scratch) and ring_works(scratch[0])
    except OSError:
        yield "ring", False
    try:
        yield "radio", radio_works(bluetooth)
    except OSError:
        yield "radio", False
    board = Board(machine)
    yield "clock_chip", clock_chip_works(board)
    yield "power_chip", power_chip_works(board)
    yield "cue", bool(board.led or board.motor or board.buzzer) or None
