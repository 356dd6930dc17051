# The application: started by the loader. Ctrl-C on the cable leads to the REPL.

import gc

import machine

if hasattr(machine, "freq"):
    # Below 80 MHz Bluetooth does not run; above it only the battery drains faster.
    machine.freq(80000000)

# The radio may hang, too.
machine.WDT(timeout=120000)

import bluetooth

try:
    # Before the heap takes more: on an ESP32-C3 one that has grown leaves Bluetooth no room.
    bluetooth.BLE().active(True)
except OSError:
    # Not for want of files: band/radio.py tries again, and tells.
    pass

import time

import esp32

from band.config import Config
from band.encounters import Encounters

# The largest blocks first, while the heap is whole; and no litter of an import below the next.
config = Config()
encounters = Encounters(config.table_slots, config.silent_s)
for name in ("band.app", "band.keys", "band.seal"):
    gc.collect()
    __import__(name)

from band import app, seal
from band.bandlog import BandLog
from band.board import Board
from band.clock import Clock
from band.keys import BandKeys
from band.link import Link
from band.radio import Radio
from band.store import Store

gc.collect()


def partition(label):
    return esp32.Partition.find(esp32.Partition.TYPE_DATA, label=label)[0]


def make():
    clock = Clock(time.ticks_ms, time.ticks_diff, time.time)
    store = Store(esp32.NVS("zoneband"))
    radio = Radio(bluetooth.BLE(), config, encounters, clock.run_s)
    log = BandLog(partition("bandlog"), store, app.random_u32, seal.for_band(store))
    keys = BandKeys(partition("bandkeys"))
    return app.Band(
        machine,
        Board(machine),
        store,
        log,
        keys,
        clock,
        radio,
        encounters,
        Link(),
        time.sleep_ms,
    )


def main():
    band = make()
    try:
        band.run()
    except KeyboardInterrupt:
        # An engineer came in over the cable.
        _leave(band, 1)
        raise
    except Exception:
        _leave(band, 0)
        raise


def _leave(band, clean):
    # An engineer at the REPL, or a reset to come: nothing may stay on air, and what is open is for
    # the next start.
    try:
        band.radio.stop()
        band.save(clean, True)
    except Exception:
        # What went wrong before may go wrong here too.
        band.save(0)
