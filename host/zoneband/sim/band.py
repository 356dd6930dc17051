"""One virtual band: its directory, its VM process and its cable.

Ctrl-C interrupts and Ctrl-D restarts the VM, as mpremote expects.
"""

import fcntl
import functools
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

from zoneband.seal import PublicKey
from zoneband.sim import firmware, keys, packets
from zoneband.sim.cable import Cable
from zoneband.sim.controller import BandController
from zoneband.sim.reports import ReportQueue
from zoneband.wire import handshake

# In KB of a 32-bit heap: what NimBLE leaves of an ESP32's memory, and what the stand-ins' names
# take beside that (vm/_names.py).
HEAP_KB, NAMES_KB = 110, 10

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
USB_RESET = 0  # machine.reset_cause() has no name for it
# From a reset to boot.py (ROM, bootloader, MicroPython, mounting the file system), and on to the
# application (the modules' imports). The first from glenn20/upy-esp32-experiments, which measured
# 635 ms for a whole wake with an application; the sum is assumed.
ROM_US = 400_000
IMPORT_US = 800_000
# The part of a start that no Ctrl-C interrupts: the file system is mounted.
MOUNT_US = 100_000


_HAND_OUT = """
import os
os.radio_is(True)  # as it is on a band that draws a log's number and secrets
from band import app, seal
from band.bandlog import BandLog
from band.keys import BandKeys
from band.store import Store
from wire import records
store = Store(esp32.NVS("zoneband"))
store.put("state", records.ISSUED)
store.put("issue", 1)
store.put("locked", {locked})
keys = BandKeys(esp32.Partition.find(1, label="bandkeys")[0])
keys.load()
keys.id_at({utc_s}, {utc_s})
log = BandLog(
    esp32.Partition.find(1, label="bandlog")[0], store, app.random_u32, seal.for_band(store)
)
log.mount(1)
log.ready(0)
log.append(records.clock(0, 0, records.SOURCE_RUNNING, 0, {utc_s}, 0, 0, 0))
for n in range({filled}):
    base = log.ready(n)
    log.append(records.encounter(bytes(12), n - base, 0, 1, -90, -90, 0, 6))
"""
_TAKE_KEY = 'esp32.NVS("zoneband").erase_key({name!r})\n'
_TAKE_BANDKEYS = """
for block in (0, 1):
    esp32.Partition.find(1, label="bandkeys")[0].ioctl(6, block)
"""


@dataclass(frozen=True)
class Provision:
    """What makes a band one of ours; keys are 32 bytes, day counts from 1970. dock_key: None for
    that of zoneband.sim.keys.

    With issued_utc_s it is handed out already, as after a dock at that time (Unix seconds) and a
    loss of power: a start that needs no cable, and so no wall clock; locked: as handing out locks
    it. filled: encounters with
    nobody in its log; missing: "bandkeys" or a name in NVS that a cut provisioning left out."""

    serial: str
    day: int
    base_key: bytes
    dock_key: bytes | None
    receipt_key: bytes
    board: str = "virtual"
    authority: PublicKey = keys.AUTHORITY
    group: int = keys.GROUP
    generation: int = keys.GENERATION
    signer: bytes = b""  # number and Ed25519 key of the authority, to check updates with
    issued_utc_s: int | None = None
    filled: int = 0
    locked: bool = True
    missing: str = ""


def board_facts(name: str) -> str:
    """board.json of a virtual band."""
    board = {"name": name, "vbus_pin": 4, "led_pin": 2, "battery_pin": 35}
    return json.dumps(board | {"uart_tx_pin": 1, "uart_rx_pin": 3})


def provision_script(facts: Provision) -> str:
    """What makes a blank band that band, by the firmware's own code; it prints the serial."""
    dock_key = facts.dock_key or handshake.dock_key(keys.GROUP_KEY, facts.serial)
    authority = bytes((facts.authority.number,)) + facts.authority.key
    code = (
        "import esp32\nfrom band import setup\n"
        f"setup.provision(esp32, {facts.serial!r}, {facts.day}, "
        f"{facts.base_key.hex()!r}, {dock_key.hex()!r}, {facts.receipt_key.hex()!r}, "
        f"{facts.group}, {facts.generation}, {authority.hex()!r}, {facts.signer.hex()!r})\n"
    )
    if facts.issued_utc_s is not None:
        code += _HAND_OUT.format(
            utc_s=facts.issued_utc_s, filled=facts.filled, locked=int(facts.locked)
        )
    if facts.missing == "bandkeys":
        code += _TAKE_BANDKEYS
    elif facts.missing:
        code += _TAKE_KEY.format(name=facts.missing)
    return code


@dataclass
class Stats:
    """What a band cannot count itself."""

    delivered: int = 0
    lost_reports: int = 0
    late: int = 0  # delivered, but 50 ms or more behind the wall clock that time should keep
    starts: int = 0
    watchdog_resets: int = 0


@functools.cache
def vm() -> list[str]:
    """The command line of the MicroPython VM. Raises FileNotFoundError.

    PyPI brings it as a module of Python's. The script that comes with it reads all of Python's
    `site` first: two thirds of what a start took."""
    found = importlib.util.find_spec("micropython_run")
    if found is None or found.origin is None:
        raise FileNotFoundError("micropython")
    where = str(Path(found.origin).parent)
    run = f"import posix, sys; sys.path.append({where!r}); from micropython_run import run_main; "
    return [sys.executable, "-I", "-S", "-c", run + "posix._exit(run_main(sys.argv))"]


def heap(more_kb: int = 0) -> str:
    """A band's heap, and as many KB more, as the VM's option wants it."""
    return f"{HEAP_KB + NAMES_KB + more_kb}wK"


class VirtualBand:
    """A band in the air. All calls come from the simulation's thread."""

    def __init__(self, index: int, name: str, directory: Path, air_path: Path, seed: int) -> None:
        self.index = index
        self.name = name
        self.directory = directory
        self.root = directory / "root"
        self.stats = Stats()
        self.x = self.y = 0.0
        self.lasts = True  # goes on without the cable
        self.ctrl_c = self.ctrl_c_new = False  # one came and is still to take effect
        self._held = b""
        self.asked = b""  # what asked for download mode and is still to be answered
        self.powered = False  # VBUS
        self.battery_mv = 3900
        self.lights = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.sock: socket.socket | None = None
        self.reader: packets.Reader | None = None  # of sock
        self.controller: BandController | None = None
        self.waiting = False
        self.wake_us = 0
        self.wants_stdin = False
        self.generation = 0  # counts waits, so that an old wake-up is known as old
        self.watchdog_ms = 0  # 0: not armed
        self.watchdog_generation = 0
        self.timer_feeds = False  # it, whatever the program does
        self.reports = ReportQueue()
        self.power_on_us = 0
        self._seed = seed
        self._air_path = air_path
        self.raw_repl = False  # what the host last switched to
        self.to_raw = False  # as soon as it is at its prompt
        self.cable = Cable()
        self.reset_on_open = False
        # ROM and bootloader throw away what comes over the cable (deaf_s; a band that was not
        # flashed is kinder, so that no test waits for it); MicroPython's own start leaves it
        # for later, and no Ctrl-C interrupts it. While a port is open, virtual time keeps to the
        # wall clock, which these are on.
        self.deaf_s = 0.0
        self.deaf_until = 0.0
        self.busy_until = 0.0
        self.was_open = False
        self._install()

    def _install(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        for path in firmware.compiled().iterdir():
            target = self.root / path.name
            if path.is_dir():
                # Its own: an update may write beside it, and take it away.
                shutil.copytree(path, target, dirs_exist_ok=True)
            elif not target.exists():
                target.symlink_to(path)

    # --- process ----------------------------------------------------------------------------

    def environment(self, now_us: int, cause: int) -> dict[str, str]:
        """What the stand-ins read."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "MICROPYPATH": f"{firmware.stand_ins()}:.frozen:{self.root}:{self.root / 'a'}",
            "STAND_IN_DIR": str(self.directory),
            "STAND_IN_NAME": self.name,
            "STAND_IN_NOW_US": str(now_us),
            "STAND_IN_POWER_ON_US": str(self.power_on_us),
            "STAND_IN_RESET_CAUSE": str(cause),
            "STAND_IN_ROM_US": str(0 if cause == SOFT_RESET else ROM_US),
            "STAND_IN_IMPORT_US": str(IMPORT_US),
            "STAND_IN_UART": self.cable.uart.path,
            "STAND_IN_SEED": f"{self._seed} {self.name} {self.stats.starts}",
        }

    def provision(self, facts: Provision) -> None:
        """Run the firmware's own provisioning in the VM."""
        (self.root / "board.json").write_text(board_facts(facts.board), encoding="utf-8")
        code = provision_script(facts)
        done = subprocess.run(
            [*vm(), "-X", f"heapsize={heap()}", "-c", code],
            cwd=self.root,
            env=self.environment(0, PWRON_RESET),
            capture_output=True,
            timeout=60,
        )
        if facts.serial.encode() not in done.stdout:
            raise RuntimeError((done.stdout + done.stderr).decode(errors="replace"))

    def will_boot(self) -> bytes:
        """b"" when there is a program to start, else what the chip says instead."""
        return b""

    def start(self, now_us: int, cause: int, with_main: bool = True) -> None:
        """Start the VM; it connects to the air by itself."""
        self.stats.starts += 1
        slave = self.cable.repl.slave

        def child() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        env = self.environment(now_us, cause) | {"STAND_IN_AIR": str(self._air_path)}
        if with_main:
            env["STAND_IN_MAIN"] = "1"
        self.process = subprocess.Popen(
            [*vm(), "-X", f"heapsize={heap()}", "-i", "-c", "import start"],
            cwd=self.root,
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=child,
        )
        self.waiting = False
        self.timer_feeds = False
        if cause != SOFT_RESET:
            self.watchdog_ms = 0
        self.ctrl_c, self._held = False, b""

    def stop(self) -> None:
        """End the VM at once."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
        self.hang_up()
        if self.controller is not None:
            self.controller.power_off()

    def hang_up(self) -> None:
        """Close the connection to the VM, if there is one."""
        if self.sock is not None:
            self.sock.close()
        self.sock = self.reader = None

    def wipe_rtc(self) -> None:
        """What a loss of power or the EN pin does to RTC memory."""
        (self.directory / "rtc.bin").unlink(missing_ok=True)

    def close(self) -> None:
        """End the VM and free its terminals."""
        self.stop()
        self.cable.close()

    # --- cable ------------------------------------------------------------------------------

    def plug(self) -> str:
        """Put the cable in: a new port, and power."""
        self.powered = True
        return self.cable.plug()

    def unplug(self) -> None:
        """Pull the cable out: the port is gone, and the power with it."""
        self.cable.unplug()
        self.powered = False

    def from_host(self) -> bool:
        """Carry what the host sent; True when something came."""
        data = self.cable.from_host()
        if data and self.heard(data):
            self.asked = data
            return True
        if data and time.monotonic() < self.deaf_until:
            return False
        if b"\x01" in data or b"\x02" in data:
            self.raw_repl = data.rfind(b"\x01") > data.rfind(b"\x02")
        came, self._held = bool(data), self._held + data
        if not self._held or self.ctrl_c or time.monotonic() < self.busy_until:
            return came
        # While code runs, Ctrl-C is taken off the line as the chip's ISR does; with kbd_intr(-1),
        # and at the prompt, it is a byte like any other. What came behind it waits until it has
        # taken effect.
        cut = self._held.find(b"\x03") if self.interruptible() else -1
        if cut < 0:
            self.cable.hand_over(self._held)
            self._held = b""
        else:
            self.cable.hand_over(self._held[:cut])
            self._held = self._held[cut + 1 :]
            self.ctrl_c = self.ctrl_c_new = True
        return came

    def interrupt(self) -> None:
        """Ctrl-C, as the chip's ISR takes it off the line."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)

    def heard(self, data: bytes) -> bool:
        """Whether the host asks for download mode with these bytes; only a board has one."""
        return False

    def download(self, data: bytes) -> None:
        """Into download mode."""

    def leaves_download(self) -> bool:
        """Whether download mode is just over, and the chip starts."""
        return False

    def _proc(self, name: str) -> str:
        try:
            assert self.process is not None
            return Path(f"/proc/{self.process.pid}/{name}").read_text()
        except (OSError, AssertionError):
            return ""

    def interruptible(self) -> bool:
        """Whether the VM catches SIGINT now: that is where it keeps kbd_intr's state."""
        for line in self._proc("status").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) & 1 << (signal.SIGINT - 1))
        return False

    def at_prompt(self) -> bool:
        """Whether the VM sleeps without waiting for the air: it reads at its prompt."""
        return self._proc("stat").rpartition(")")[2].split()[:1] == ["S"]

    def enter_raw(self) -> None:
        """Type Ctrl-A, for a REPL that restarts in raw mode."""
        os.write(self.cable.repl.master, b"\x01")
