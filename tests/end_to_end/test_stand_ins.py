"""The stand-ins keep an ESP32's traps: each is sprung on a virtual band, through real mpremote."""

import subprocess
import sys
import time

import pytest

from street import Street
from zoneband.dock.link import Link
from zoneband.dock.session import BandSession
from zoneband.sim.keys import dock_key
from zoneband.sim.simulation import Reset

TRAPS = {
    "a rotation while advertising is refused in silence": """
import bluetooth
b = bluetooth.BLE(); b.active(True); b.config(addr_mode=3)
was = bytes(b.config('mac')[1])
b.gap_advertise(100000, b'abc', connectable=False)
b.config(addr_mode=3); print(bytes(b.config('mac')[1]) == was)
b.gap_advertise(None); b.config(addr_mode=3); print(bytes(b.config('mac')[1]) == was)
""",
    "an address that is to be random and was never made is an error, and so is one of no radio": """
import bluetooth
b = bluetooth.BLE()
def mac():
    try: return b.config('mac')
    except OSError as e: return e.errno
off = mac(); b.active(True); print(mac()[0] == 0)
b.gap_advertise(100000, b'abc', connectable=False)
b.config(addr_mode=3); refused = mac(); b.gap_advertise(None)
print((off, refused) == (19, 22))
b.config(addr_mode=3); print(mac()[0] != 1)
""",
    "there is no rxbuf": """
import bluetooth
b = bluetooth.BLE(); b.active(True)
try: b.config(rxbuf=1000)
except ValueError: print(True); print(False)
""",
    "a handler that raises is never called again; stopping a scan calls it on the spot": """
import bluetooth
b = bluetooth.BLE(); b.active(True); n = []
def handler(event, data):
    n.append(event)
    if len(n) == 1: raise RuntimeError
b.irq(handler)
b.gap_scan(1000, 30000, 30000); b.gap_scan(None)
print(n == [6])
b.gap_scan(1000, 30000, 30000); b.gap_scan(None)
print(len(n) == 2)
""",
    "a scan over a scan is an error": """
import bluetooth
b = bluetooth.BLE(); b.active(True)
b.gap_scan(0, 30000, 30000)
try: b.gap_scan(100, 30000, 30000)
except OSError as e: print(e.errno == 114)
b.gap_scan(None); print(False)
""",
    "time is whole seconds since power came, ticks wrap at 2**30": """
import time
print(type(time.time()) is int and time.time() < 1000000)
print(time.ticks_add(2**30 - 1, 1) != 0)
""",
    "Bluetooth finds no memory when Python's heap has grown before it": """
import bluetooth
held = bytearray(120000)
try: bluetooth.BLE().active(True)
except OSError as e: print(e.errno == 12)
del held
print(not bluetooth.BLE().active(True))
""",
    "random bytes can be foretold while the radio is off": """
import bluetooth, sys
b = bluetooth.BLE()
def anew(on):
    for name in ('os', 'bluetooth'): sys.modules.pop(name, None)
    import os, bluetooth
    bluetooth.BLE().active(on)
    return os.urandom(8)
print(anew(False) == anew(False))
print(anew(True) == anew(False))
""",
    "RTC memory holds 2,048 bytes": """
import machine
r = machine.RTC(); r.memory(bytes(2048))
try: r.memory(bytes(2049))
except ValueError: print(len(r.memory()) == 2048)
print(False)
""",
    "flash only clears bits until it is erased": """
import esp32
p = esp32.Partition.find(1, label='bandlog')[0]
last = p.ioctl(4, 0) - 1
p.ioctl(6, last); p.writeblocks(last, b'\\x0f', 0); p.writeblocks(last, b'\\xf0', 0)
b = bytearray(1); p.readblocks(last, b, 0); print(b == b'\\x00')
p.ioctl(6, last); p.readblocks(last, b, 0); print(b != b'\\xff')
""",
    "NVS keeps what was overwritten readable in its pages": """
import esp32
n = esp32.NVS('zoneband'); n.set_blob('trap', b'first-value'); n.set_blob('trap', b'x'); n.commit()
print(b'first-value' in open('../nvs.bin', 'rb').read())
b = bytearray(20); print(n.get_blob('trap', b) != 1)
""",
}


@pytest.mark.parametrize("trap", list(TRAPS))
def test_the_trap(street: Street, trap: str) -> None:
    street.later(5)  # no Ctrl-C gets through before boot.py
    port = street.sim.plug(street.bands[0])
    street.sim.run_on()
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", port, "exec", TRAPS[trap]],
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[-2:] == ["True", "False"], done.stdout


def test_a_boot_that_fails_leaves_the_band_at_its_prompt(street: Street) -> None:
    # By its lock too: no main.py, no loader that starts it anew.
    band = street.bands[0]
    boot = band.root / "boot.py"
    text = boot.read_text()
    boot.unlink()
    boot.write_text("raise KeyboardInterrupt\n" + text)
    street.sim.reset(band, Reset.POWER)
    street.later(5)
    port = street.sim.plug(band)
    street.sim.run_on()
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", port, "resume", "exec"]
        + ["import sys; print('main' in sys.modules, 'loader' in sys.modules)"],
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.stdout.split()[-2:] == ["False", "False"], done.stdout + done.stderr


def boot_id(street: Street) -> tuple[int, int]:
    """(boot id, whole seconds of run time) as the first band tells them."""
    band = street.bands[0]
    link = Link(street.sim.plug(band))
    street.sim.run_on()
    session = BandSession(link, dock_key)
    session.greet()
    pair = session.clock()
    session.bye()
    link.close()
    return pair.boot_id, pair.run_s


@pytest.mark.parametrize("kind", list(Reset))
def test_run_time_goes_through_every_reset_but_the_loss_of_power(
    street: Street, kind: Reset
) -> None:
    street.later(100)
    before, run_s = boot_id(street)
    assert run_s >= 98
    street.sim.reset(street.bands[0], kind)
    after, later_s = boot_id(street)
    if kind in (Reset.POWER, Reset.EN):
        assert after != before and later_s < 30
    else:
        assert after == before and later_s >= run_s


def test_rtc_memory_and_run_time_go_through_deep_sleep(street: Street) -> None:
    street.later(100)
    before, run_s = boot_id(street)
    band = street.bands[0]
    subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", street.sim.plug(band), "resume", "exec"]
        + ["--no-follow", "import machine; machine.deepsleep(3000)"],
        capture_output=True,
        timeout=40,
    )
    deadline = time.monotonic() + 20
    while band.stats.starts < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    after, later_s = boot_id(street)
    assert band.stats.starts == 2
    assert after == before and later_s >= run_s + 3
