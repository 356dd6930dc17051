"""A seized band gives away nothing of its past: not where it was, and not whom it met.

After three days every 16 and 32 bytes of all that the band holds (its whole heap, RTC memory, raw
flash, NVS with its dead entries) are tried as a key of a passed ID or of a slot already written.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from zoneband.sim import keys, solo
from zoneband.sim.band import Provision
from zoneband.sim.solo import Compiled, Solo
from zoneband.wire import bluezone, log, sealing

START = 1_793_682_000
BASE = bytes(range(1, 33))
RECEIPT = bytes(range(101, 133))
SERIAL = "ZB-0000-0000"
# A minute behind the change of a slot, when much was written.
AFTER_A_SLOT = 86400 + 960
FILES = ("bandlog.bin", "bandkeys.bin", "nvs.bin", "rtc.bin")

# Three neighbours, a window a minute. At the end the VM stands still, in the middle of a wait.
LIFE = """
import _air, crowd, hashlib
def beacons(window, now_s):
    for n in range(3):
        rid = hashlib.sha256(b"%d %d" % (n, now_s // 900)).digest()[:12]
        yield rid, -55 - 10 * n, bytes((0, 0, 0, 0, 0, n))
crowd.install(beacons)
from band import run, scrub
{extra}
band = run.make()
assert band.active()
while _air.now_us < {until_s} * 1000000:
    band.burst()
{end}
print("stands at", band.keys.utc_s(), band.log.head)
import utime
while True:
    utime.sleep(1)
"""
# A station proves itself, sets the clock and is served, as band/session.py does it.
DOCK = """
from band import requests
from wire import messages
class Station:
    def send(self, message):
        pass
band.cable.begins()
band.tidy()
requests.answer(Station(), band, messages.clock_set(band.clock.utc_s() + 3, 0, 20))
band.tidy()
"""


@dataclass
class Image:
    """What somebody finds in a band, and what its keys stood at."""

    parts: dict[str, bytes]
    stands_s: int
    head: int


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return solo.compile_all(tmp_path_factory.mktemp("compiled"))


def seize(band: Solo, until_s: int, extra: str = "", end: str = "") -> Image:
    """Let it live until then, and take all that it holds."""
    process = band.start(LIFE.format(until_s=until_s, extra=extra, end=end))
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words[:2] == [b"stands", b"at"], process.communicate()
    parts: dict[str, bytes] = {}
    with open(f"/proc/{process.pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
            found = re.match(r"(\w+)-(\w+) rw", line)
            if found and "/" not in line:
                begin, end = int(found[1], 16), int(found[2], 16)
                memory.seek(begin)
                parts[line] = memory.read(end - begin)
    process.kill()
    process.wait()
    # The heap is among them: a word of the program itself is in it.
    assert any(b"band.keys" in data or b"_next_day_key" in data for data in parts.values())
    parts |= {name: band.path(name).read_bytes() for name in FILES}
    return Image(parts, int(words[2]), int(words[3]))


def passed_ids(stands_s: int) -> dict[bytes, str]:
    """Every key that gives an ID before the one the band stands at."""
    found: dict[bytes, str] = {}
    day, key = START // 86400, BASE
    while day <= stands_s // 86400:
        found[key] = f"day key {day}"
        sub = bluezone.first_slot_key(key)
        for slot in range(96):
            if day * 86400 + slot * 900 < stands_s:
                found[sub] = f"key of slot {slot} of day {day}"
            sub = bluezone.next_slot_key(sub)
        day, key = day + 1, bluezone.next_day_key(key)
    return found


def written_slots(image: bytes) -> dict[bytes, str]:
    """Every key that opens or forges a slot already written, as the authority can work them out."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    found: dict[bytes, str] = {}
    band_log_key = sealing.log_key(RECEIPT)
    for at in range(0, len(image), log.SECTOR_BYTES):
        sector = image[at : at + log.SECTOR_BYTES]
        header = log.unpack_header(sector[:32])
        slot, secret = 1, b""
        while header and slot < log.SLOTS and sector[slot * 32 : slot * 32 + 32] != log.ERASED:
            place = f"sector {header[3]} slot {slot}"
            group = sector[slot * 32 : slot * 32 + 96]
            if log.starts_group(group):
                parts = log.unpack_group(group)
                assert parts is not None
                info = sealing.info(SERIAL, sector[:32], group[:12])
                secret = suite.decrypt(parts[2], keys.PRIVATE_KEY, info=info)
                slot += log.GROUP_SLOTS
                continue
            found[secret] = f"secret of {place}"
            found[sealing.cipher_key(secret)] = f"cipher key of {place}"
            found[sealing.tag_key(secret, band_log_key)] = f"tag key of {place}"
            secret = sealing.next_secret(secret)
            slot += 1
    return found


def swapped(key: bytes) -> bytes:
    """As SHA-256 holds it inside on a little-endian machine."""
    return b"".join(key[i : i + 4][::-1] for i in range(0, len(key), 4))


def what_fits(image: Image) -> list[str]:
    """Every window that is such a key, and where it is."""
    past = passed_ids(image.stands_s) | written_slots(image.parts["bandlog.bin"])
    past |= {swapped(key): what + ", word by word" for key, what in past.items()}
    found: list[str] = []
    for name, data in image.parts.items():
        for i in range(len(data) - 15):
            for size in (16, 32):
                what = past.get(data[i : i + size])
                if what:
                    found.append(f"{what} at {i} of {name}")
    return found


def band(path: Path, compiled: Compiled) -> Solo:
    facts = Provision(SERIAL, START // 86400, BASE, None, RECEIPT, issued_utc_s=START)
    return Solo(path, compiled, facts, {"period_ms": 60000})


@pytest.mark.parametrize("until_s", [3 * 86400, 3 * 86400 + 431, AFTER_A_SLOT])
def test_no_key_of_the_past_is_left_in_a_band(
    tmp_path: Path, compiled: Compiled, until_s: int
) -> None:
    image = seize(band(tmp_path / "band", compiled), until_s)
    assert image.head > 700
    assert image.stands_s > START + until_s - 1000
    assert len(written_slots(image.parts["bandlog.bin"])) > 3 * 700
    assert what_fits(image) == []


def test_no_key_of_the_past_is_left_after_a_dock(tmp_path: Path, compiled: Compiled) -> None:
    image = seize(band(tmp_path / "band", compiled), AFTER_A_SLOT + 300, end=DOCK)
    assert what_fits(image) == []


def test_the_search_finds_what_garbage_keeps(tmp_path: Path, compiled: Compiled) -> None:
    # The same band without its scrubbing: were nothing found here, the test above would be void.
    extra = "scrub.free_memory = lambda: None"
    found = what_fits(seize(band(tmp_path / "band", compiled), AFTER_A_SLOT, extra))
    for kind in ("secret of sector", "cipher key of sector", "tag key of sector"):
        assert any(each.startswith(kind) for each in found), kind


@pytest.mark.parametrize("issued", [START, None])
def test_a_band_draws_nothing_before_its_radio_is_on(
    tmp_path: Path, compiled: Compiled, issued: int | None
) -> None:
    facts = Provision(SERIAL, START // 86400, BASE, None, RECEIPT, issued_utc_s=issued)
    band = Solo(tmp_path / "band", compiled, facts)
    told = band.run("""
import crowd
crowd.install(lambda window, now_s: ())
from band import run
band = run.make()
for _ in range(30):
    band.burst()
import os, bluetooth
print(band.log.head > 4, os.cold_draws, bluetooth.BLE().active())
""")
    assert told.split()[-3:] == ["True", "0", "True"]


def test_a_bands_radio_is_on_before_its_program_takes_the_heap(
    tmp_path: Path, compiled: Compiled
) -> None:
    # So nothing can draw before; and a heap that has grown may leave Bluetooth no room.
    told = Solo(tmp_path / "band", compiled).run("""
import crowd
crowd.install(lambda window, now_s: ())
import bluetooth, sys
real = bluetooth.BLE.active
def active(self, on=None):
    if on:
        print("on", *sorted(name for name in sys.modules if name.startswith("band")))
    return real(self, on)
bluetooth.BLE.active = active
from band import run
run.make()
""")
    assert [line for line in told.splitlines() if line.startswith("on")] == ["on band band.run"]
