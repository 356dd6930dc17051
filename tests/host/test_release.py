"""From the authority's sources to a station's shelf: only what it signed, and the right one."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support import ROOT, run_in_vm
from zoneband import authority, release, station, updates
from zoneband.errors import UserError
from zoneband.flash import app
from zoneband.release import Bundle, Version
from zoneband.seal import PublicKey
from zoneband.wire import bundle

PASSPHRASE = "a long passphrase"
FIRMWARE = release.firmware_version()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's data directory."""
    where = tmp_path_factory.mktemp("data")
    authority.make(where, PASSPHRASE)
    return where


@pytest.fixture(scope="module")
def made(data: Path) -> Bundle:
    """The firmware as it stands, released."""
    return release.make(authority.signing_key(data, PASSPHRASE), authority.current(data))


def signed(data: Path, version: Version, back: Version | None = None, *boards: str) -> Bundle:
    """A bundle of another version than the firmware's, with nothing of use in it."""
    public = authority.current(data)
    manifest = bundle.pack(
        public.number, version, back or (0, 0, 0), 6, 1, hashlib.sha256(b"x").digest(),
        boards,
    )  # fmt: skip
    key = authority.signing_key(data, PASSPHRASE)
    signature = key.sign(bundle.LABEL + manifest)
    return Bundle(public.number, version, back, boards, 6, manifest, signature, b"x")


def keep(data: Path, folder: Path, each: Bundle) -> None:
    path = folder / "one.zbu"
    path.write_bytes(each.pack())
    updates.add(data, path)


def command(*words: str, data: Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": "", "PYTHONPATH": str(ROOT / "host"), "ZONEBAND_DATA": str(data), "LANG": "C",
        "ZONEBAND_PASSPHRASE": PASSPHRASE, "COLUMNS": "200",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "zoneband", "--lang", "en", *words],
        capture_output=True, text=True, env=env, cwd=cwd, timeout=100,
    )  # fmt: skip


def test_the_same_firmware_gives_the_same_bytes(data: Path, made: Bundle) -> None:
    again = release.make(authority.signing_key(data, PASSPHRASE), authority.current(data))
    assert again.pack() == made.pack()
    assert release.unpack(made.pack()) == made


def test_two_versions_need_less_than_a_bands_file_system_holds(made: Bundle) -> None:
    """Beside the one that flashing brought: a block for each file, and each directory's two."""
    files = app.compile_firmware()
    blocks = sum(len(each) // app.BLOCK + 1 for each in files.values()) + 16
    in_one = 2 * (len(made.app) // app.BLOCK + 1)
    assert blocks + in_one < 512 * 1024 // app.BLOCK
    assert len(made.app) < bundle.APP_MAX


def test_the_loader_finds_every_module_in_the_one_file(made: Bundle, tmp_path: Path) -> None:
    (tmp_path / "b.app").write_bytes(made.app)
    files = app.compile_app()
    vm = ROOT / "host/zoneband/sim/vm"
    code = f"""
import hashlib, binascii, vfs
import loader
vfs.mount(loader.App({str(tmp_path / "b.app")!r}), "/b")
for name, size in {sorted((n, len(d)) for n, d in files.items())!r}:
    told = hashlib.sha256()
    with open("/b/" + name, "rb") as f:
        # In pieces: this heap is a band's, and nearly full of these very words.
        for at in range(0, size, 512):
            told.update(f.read(min(512, size - at)))
    print(name, binascii.hexlify(told.digest()).decode())
for name in ("band/nothing.mpy", "ban", "band/app", "/", "app.mpy"):
    try:
        open("/b/" + name)
        print("opened", name)
    except OSError:
        pass
"""
    found = [line.split() for line in run_in_vm(code, path=str(vm)).splitlines()]
    assert found == [[n, hashlib.sha256(files[n]).hexdigest()] for n in sorted(files)]


def test_no_altered_byte_passes(data: Path, made: Bundle) -> None:
    whole = made.pack()
    head = 11 + len(made.manifest) + 64
    for at in [*range(head), head, len(whole) - 1]:
        altered = bytearray(whole)
        altered[at] ^= 1 << at % 8
        try:
            found = release.unpack(bytes(altered))
        except ValueError:
            continue
        with pytest.raises(UserError):
            updates.check(data, found)
    for size in range(0, len(whole), 997):
        with pytest.raises(ValueError):
            release.unpack(whole[:size])


def test_a_version_that_the_sources_do_not_say_is_refused(data: Path) -> None:
    key, public = authority.signing_key(data, PASSPHRASE), authority.current(data)
    with pytest.raises(UserError, match="version.py"):
        release.make(key, public, (9, 9, 9))
    with pytest.raises(UserError, match="newer"):
        release.make(key, public, replaces=FIRMWARE)
    with pytest.raises(UserError):
        release.make(key, public, only=("no-such-board",))
    for text in ("1.2", "1.2.3.4", "a.b.c", "0.0.0", "1.2.256", "-1.0.0", ""):
        with pytest.raises(UserError):
            release.read_version(text)
    assert release.read_version("1.20.255") == (1, 20, 255)


def test_another_keys_update_is_not_kept(data: Path, made: Bundle, tmp_path: Path) -> None:
    other = tmp_path / "other"
    authority.make(other, PASSPHRASE)
    with pytest.raises(UserError, match="did not sign"):
        keep(other, tmp_path, made)
    nobody = tmp_path / "nobody"
    with pytest.raises(UserError, match="does not know"):
        keep(nobody, tmp_path, made)
    before = tmp_path / "before"
    authority.trust(before, PublicKey(made.number, authority.current(data).key))
    with pytest.raises(UserError, match="does not know"):
        keep(before, tmp_path, made)
    assert updates.every(other) == updates.every(nobody) == updates.every(before) == []


def find(where: Path, board: str, version: Version) -> Bundle | None:
    """What a band gets that takes updates of the authority's first key."""
    return updates.find(where, board, version, 1)


def test_a_band_gets_the_newest_that_fits_it(data: Path, tmp_path: Path) -> None:
    where = tmp_path / "station"
    authority.trust(where, authority.current(data))
    assert find(where, "devkitc", (0, 1, 0)) is None
    first = signed(data, (0, 2, 0))
    second = signed(data, (0, 3, 0), None, "devkitc", "xiao-s3")
    for each in (second, first):
        keep(where, tmp_path, each)
    assert updates.every(where) == [first, second]
    assert find(where, "devkitc", (0, 1, 0)) == second
    assert find(where, "t-wristband", (0, 1, 0)) == first
    assert find(where, "t-wristband", (0, 2, 0)) is None
    assert find(where, "devkitc", (0, 3, 0)) is None
    # One that spoils on the shelf is given to nobody.
    path = next(updates.directory(where).glob("*0.3.0*"))
    path.write_bytes(path.read_bytes()[:-1] + b"y")
    assert find(where, "devkitc", (0, 1, 0)) == first


def test_what_is_stepped_back_from_is_given_to_nobody(data: Path, tmp_path: Path) -> None:
    where = tmp_path / "station"
    authority.trust(where, authority.current(data))
    bad, good = signed(data, (0, 3, 0)), signed(data, (0, 2, 0), (0, 3, 0))
    keep(where, tmp_path, bad)
    assert find(where, "devkitc", (0, 2, 0)) == bad
    keep(where, tmp_path, good)
    assert find(where, "devkitc", (0, 3, 0)) == good
    assert find(where, "devkitc", (0, 1, 0)) == good
    assert find(where, "devkitc", (0, 2, 0)) is None


def test_one_version_signed_with_two_keys_is_kept_twice_and_each_band_gets_its_own(
    tmp_path: Path,
) -> None:
    both, where = tmp_path / "authority", tmp_path / "station"
    for _ in range(2):
        authority.make(both, PASSPHRASE)
        authority.trust(where, authority.current(both))
        keep(where, tmp_path, signed(both, (0, 9, 0)))
    assert [each.number for each in updates.every(where)] == [1, 2]
    for signer in (1, 2):
        found = updates.find(where, "devkitc", (0, 1, 0), signer)
        assert found is not None and found.number == signer
    assert updates.find(where, "devkitc", (0, 1, 0), 0) is None


def test_the_commands_make_show_and_keep_an_update(data: Path, tmp_path: Path) -> None:
    done = command("release", "-o", str(tmp_path / "made.zbu"), "--boards", "xiao-s3,devkitc",
                   "--version", release.name_of(FIRMWARE), data=data)  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = command("release", "show", str(tmp_path / "made.zbu"), data=data)
    assert shown.returncode == 0 and "devkitc, xiao-s3" in shown.stdout, shown
    facts = json.loads(
        command("release", "show", str(tmp_path / "made.zbu"), "--json", data=data).stdout
    )
    assert facts["version"] == release.name_of(FIRMWARE) and facts["key"] == 1
    added = command("update", "add", str(tmp_path / "made.zbu"), data=data)
    assert added.returncode == 0, added.stderr
    [listed] = json.loads(command("update", "list", "--json", data=data).stdout)
    assert listed == facts
    assert len(list((station.directory(data) / "updates").iterdir())) == 1
    shutil.rmtree(station.directory(data) / "updates")
    # One line each, and the exit code that says what kind it is.
    altered = release.read(tmp_path / "made.zbu")
    unsigned = tmp_path / "unsigned.zbu"
    unsigned.write_bytes(replace(altered, signature=bytes(64)).pack())
    for words, code in (
        (("update", "add", str(unsigned)), 5),
        (("update", "add", str(ROOT / "README.md")), 2),
        (("update", "list"), 3),
        (("release", "--version", "9.9.9"), 2),
        (("release", "--boards", "none-such"), 2),
        (("release", "show", "/none"), 2),
    ):
        failed = command(*words, data=data, cwd=tmp_path)
        assert (failed.returncode, failed.stderr.count("\n")) == (code, 1), (words, failed)
    empty = tmp_path / "empty"
    assert command("release", data=empty, cwd=tmp_path).returncode == 2
    assert not list(tmp_path.glob("zoneband-*"))
