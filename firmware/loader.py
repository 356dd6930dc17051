# Starts the application. It lies in one of two places: an update fills the one that does not run,
# and is undone when it does not get healthy in three starts. No update changes boot.py, main.py or
# this file, which needs nothing of the application.
#
# A place is a directory (/a, as flashing makes it) or one file beside it (/b.app, as an update
# does: a file of littlefs takes at least 4 KiB, and twice all modules are more than it holds).
#
# The choice is one number in NVS, so that a cut leaves the old one or the new one, whole: bit 0 the
# place (0: a, 1: b), bits 1 and 2 the starts that a new one still has, from bit 3 on its version,
# 0 once it is settled. `undone`: version of the last update that was undone, and a bit above while
# the log does not tell it (band/trial.py).

import os
import sys

import esp32
import machine
import micropython

PLACES = ("a", "b")
_UNTOLD = 1 << 24
_WATCHDOG_MS = 120000
_FEED_MS = 30000
_MAGIC = b"ZBAP"
_timer = None  # feeds the watchdog of a program that has ended


class App:
    # A place's one file, as a file system to import from: "ZBAP", size of the index (u32), the
    # index of "\nNAME OFFSET" (6 digits, hexadecimal) and a last "\n", then the files. Where a
    # file ends, `import` knows by itself.
    def __init__(self, path):
        self._path = path
        with open(path, "rb") as f:
            head = f.read(8)
            if head[:4] != _MAGIC:
                raise OSError(22)
            self._index = f.read(int.from_bytes(head[4:], "little"))

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def _find(self, path, end):
        return self._index.find(b"\n" + path.strip("/").encode() + end)

    def stat(self, path):
        mode = 0x8000
        if self._find(path, b" ") < 0:
            mode = 0x4000
            if self._find(path, b"/") < 0:
                raise OSError(2)
        return (mode, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def open(self, path, mode):
        at = self._find(path, b" ")
        if at < 0:
            raise OSError(2)
        at = self._index.find(b" ", at) + 1
        f = open(self._path, "rb")
        f.seek(int(self._index[at : at + 6], 16))
        return f


def _get(name):
    try:
        return esp32.NVS("zoneband").get_i32(name)
    except OSError:
        return 0


def _put(name, value):
    nvs = esp32.NVS("zoneband")
    nvs.set_i32(name, value)
    nvs.commit()


def _exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


def _there(place):
    return _exists(PLACES[place] + ".app") or _exists(PLACES[place])


def _path(place):
    # Where `import` finds a place.
    name = PLACES[place]
    if not _exists(name + ".app"):
        return name
    import vfs

    try:
        vfs.mount(App(name + ".app"), "/" + name)
    except OSError:
        # Mounted already; else the import tells.
        pass
    return "/" + name


def use(place):
    for name in PLACES:
        for path in (name, "/" + name):
            if path in sys.path:
                sys.path.remove(path)
    sys.path.insert(0, _path(place))


def find():
    # The application for whoever comes by the REPL; not a start of it.
    place = _get("place") & 1
    use(place if _there(place) else 1 - place)


def _feed():
    # While an engineer is at the REPL: a watchdog cannot be stopped, and goes through a soft reset,
    # as no Timer does. There is one only, so this is the same.
    global _timer
    watchdog = machine.WDT(timeout=_WATCHDOG_MS)
    _timer = machine.Timer(0)
    _timer.init(period=_FEED_MS, callback=lambda _: watchdog.feed())


def boot():
    locked = _get("locked") == 1
    if not locked:
        micropython.kbd_intr(3)
    try:
        # main.py does not follow in the raw REPL, as mpremote uses it.
        if not locked and machine.reset_cause() == machine.SOFT_RESET:
            _feed()
        find()
    except Exception as error:
        sys.print_exception(error)


def choose():
    # (place, whether it is a start of an update on trial), as for a start that counts.
    choice = _get("place")
    place = choice & 1
    version = choice >> 3
    if not _there(place):
        # Flashed by cable, which brings one place only.
        place = 1 - place
        _put("place", place)
        return place, False
    # A wake from sleep is no start: it got that far.
    if not version or machine.reset_cause() == machine.DEEPSLEEP_RESET:
        return place, bool(version)
    if choice & 6:
        # Counted before it runs: whatever becomes of it.
        _put("place", choice - 2)
        return place, True
    # In this order: a cut between the two comes here again.
    _put("undone", version | _UNTOLD)
    place = 1 - place
    _put("place", place)
    return place, False


def restart():
    # An ESP32 whose Bluetooth is up may not come back from a reset.
    try:
        import bluetooth

        bluetooth.BLE().active(False)
    except Exception as error:
        sys.print_exception(error)
    machine.reset()


def turn():
    # To the other place, when something is there.
    other = 1 - (_get("place") & 1)
    if _there(other):
        _put("place", other)


def main():
    global _timer
    if _timer:
        # From here on the program has to.
        _timer.deinit()
        _timer = None
    locked = _get("locked") == 1
    if not locked:
        micropython.kbd_intr(3)
    trial = False
    try:
        try:
            place, trial = choose()
            use(place)
        except OSError as error:
            # NVS or a file of ours fails: what boot.py found runs.
            sys.print_exception(error)
        if trial:
            # An update may hang before it has a watchdog of its own.
            machine.WDT(timeout=_WATCHDOG_MS)
        try:
            from band import run
        except Exception:
            if locked and not trial:
                # Its files are damaged, and nobody can come to it by the REPL.
                turn()
            raise
        run.main()
    except SystemExit:
        raise
    except BaseException as error:
        # An order may have opened it, or a hand-out locked it, since the start.
        locked = _get("locked") == 1
        interrupted = isinstance(error, KeyboardInterrupt)
        if not locked and (not trial or interrupted):
            if interrupted:
                _feed()
            raise
        sys.print_exception(error)
    if locked or trial:
        restart()
