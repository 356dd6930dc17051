"""The virtual boot ROM: what the real esptool makes of it, and what noise does to it."""

import os
import select
import struct
import subprocess
import sys
import tempfile
import threading
import tty
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoneband.sim.rom import BootRom, RomFaults

MIB = 1 << 20
MAC = bytes.fromhex("240ac4112233")
SYNC = b"\x07\x07\x12\x20" + 32 * b"\x55"


@contextmanager
def port_of(rom: BootRom) -> Iterator[str]:
    """A pty on which this chip answers."""
    master, slave = os.openpty()
    tty.setraw(slave)  # the slave stays open: without it, reading fails between two programs
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            if select.select([master], [], [], 0.02)[0]:
                for frame, _ in rom.feed(os.read(master, 65536)):
                    os.write(master, frame)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        done.set()
        thread.join()
        os.close(master)
        os.close(slave)


def esptool(rom: BootRom, *args: str, stub: bool = True, chip: str = "auto") -> tuple[int, str]:
    """Run the real program on a freshly reset chip; exit code and output."""
    rom.reset()
    how = ["--after", "no-reset-stub"] if stub else ["--after", "no-reset", "--no-stub"]
    with port_of(rom) as port:
        done = subprocess.run(
            [sys.executable, "-m", "esptool", "--chip", chip, "--port", port]
            + ["--baud", "460800", "--before", "no-reset", *how, *args],
            capture_output=True,
            text=True,
            timeout=60,
        )
    return done.returncode, done.stdout + done.stderr


def image(size: int, seed: int) -> bytes:
    """Half of it can be compressed, as in a program."""
    random = Random(seed)
    return b"".join(random.choice([random.randbytes(32), bytes(32)]) for _ in range(size // 32))


def frame(op: int, data: bytes, checksum: int = 0) -> bytes:
    body = struct.pack("<BBHI", 0, op, len(data), checksum) + data
    return b"\xc0" + body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def block(op: int, seq: int, data: bytes) -> bytes:
    checksum = 0xEF
    for byte in data:
        checksum ^= byte
    return frame(op, struct.pack("<IIII", len(data), seq, 0, 0) + data, checksum)


def status(answers: list[tuple[bytes, int]]) -> list[str]:
    """The status each answer of a ROM ends with."""
    return [answer[-5:-3].hex() for answer, _ in answers]


def start_stub(rom: BootRom, at: int) -> None:
    rom.feed(frame(0x05, struct.pack("<IIII", 64, 1, 64, at)))
    rom.feed(block(0x07, 0, bytes(64)))
    assert rom.feed(frame(0x06, struct.pack("<II", 0, at)))[-1][0] == b"\xc0OHAI\xc0"
    assert rom.in_stub


@pytest.mark.parametrize(
    ("chip", "mib", "says"),
    [
        ("esp32", 4, ["ESP32-D0WD-V3 (revision v3.1)", "Dual Core", "240MHz", "40MHz\n"]),
        ("esp32s3", 8, ["ESP32-S3 (QFN56) (revision v0.2)", "Dual Core", "quad"]),
        ("esp32c3", 4, ["ESP32-C3 (QFN32) (revision v0.4)", "Single Core", "Embedded Flash 4MB"]),
    ],
)
def test_each_chip_is_known_for_what_it_is(
    tmp_path: Path, chip: str, mib: int, says: list[str]
) -> None:
    rom = BootRom(chip, tmp_path / "flash.bin", mib * MIB, MAC)
    for stub in (True, False):
        code, text = esptool(rom, "flash-id", stub=stub)
        assert code == 0, text
        for words in [*says, "24:0a:c4:11:22:33", f"Detected flash size: {mib}MB"]:
            assert words in text
        assert rom.baud == 460800 and rom.in_stub == stub
    rom.reset()
    assert rom.baud == 115200 and not rom.in_stub


@pytest.mark.parametrize("stub", [True, False])
def test_what_is_written_stands_in_flash_and_is_read_back(tmp_path: Path, stub: bool) -> None:
    path = tmp_path / "flash.bin"
    path.write_bytes(Random(1).randbytes(4 * MIB))  # NOR: nothing can be written unless erased
    before = path.read_bytes()
    rom = BootRom("esp32", path, 4 * MIB, MAC)
    parts = {0x1000: image(30000, 2), 0x10000: image(100000, 3), 0x3FF000: image(4096, 4)}
    args: list[str] = []
    for at, data in parts.items():
        (tmp_path / hex(at)).write_bytes(data)
        args += [hex(at), str(tmp_path / hex(at))]

    code, text = esptool(rom, "write-flash", *args, stub=stub, chip="esp32")
    assert code == 0 and text.count("Hash of data verified") == 3, text
    assert rom.erased_sectors == 8 + 25 + 1
    after = path.read_bytes()
    for at, data in parts.items():
        assert after[at : at + len(data)] == data
        end = at + len(data) + -len(data) % 4096
        assert set(after[at + len(data) + -len(data) % 4 : end]) <= {0xFF}
        assert after[end : end + 4096] == before[end : end + 4096]

    code, text = esptool(rom, "write-flash", "--skip-flashed", *args, stub=stub, chip="esp32")
    assert code == 0 and text.count("already in flash") == 3, text
    assert path.read_bytes() == after
    back = tmp_path / "back"
    code, text = esptool(rom, "read-flash", "0x10000", "5000", str(back), stub=stub, chip="esp32")
    assert code == 0 and back.read_bytes() == after[0x10000 : 0x10000 + 5000], text


def test_a_region_is_erased_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    path.write_bytes(bytes(4 * MIB))
    rom = BootRom("esp32s3", path, 4 * MIB, MAC)
    assert esptool(rom, "erase-region", "0x3000", "0x2000")[0] == 0
    assert path.read_bytes() == bytes(0x3000) + b"\xff" * 0x2000 + bytes(4 * MIB - 0x5000)
    assert rom.erased_sectors == 2
    assert esptool(rom, "erase-flash")[0] == 0
    assert path.read_bytes() == b"\xff" * 4 * MIB


def test_a_damaged_block_is_noticed_and_another_try_repairs_it(tmp_path: Path) -> None:
    rom = BootRom("esp32c3", tmp_path / "flash.bin", 4 * MIB, MAC, RomFaults(damage_block=2))
    part = tmp_path / "part"
    part.write_bytes(image(100000, 5))
    code, text = esptool(rom, "write-flash", "0x10000", str(part), chip="esp32c3")
    assert code == 2 and "MD5 of file does not match data in flash!" in text
    code, text = esptool(rom, "write-flash", "0x10000", str(part), chip="esp32c3")
    assert code == 0, text


def test_another_chip_than_was_asked_for_is_refused(tmp_path: Path) -> None:
    rom = BootRom("esp32s3", tmp_path / "flash.bin", 4 * MIB, MAC)
    code, text = esptool(rom, "flash-id", chip="esp32")
    assert code == 2 and "This chip is ESP32-S3, not ESP32. Wrong chip argument?" in text


def test_a_transfer_that_breaks_off_leaves_the_rest_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    path.write_bytes(bytes(4 * MIB))
    rom = BootRom("esp32s3", path, 4 * MIB, MAC, RomFaults(mute_after_block=1))
    start_stub(rom, 0x40380000)
    assert rom.feed(frame(0x02, struct.pack("<IIII", 0xC000, 3, 0x4000, 0x1000)))
    assert rom.feed(block(0x03, 0, b"\x5a" * 0x4000))
    assert rom.feed(block(0x03, 1, b"\x5a" * 0x4000)) == []  # hung
    assert path.read_bytes()[:0x6000] == bytes(0x1000) + b"\x5a" * 0x4000 + bytes(0x1000)
    rom.reset()
    assert len(rom.feed(frame(0x08, SYNC))) == 8


def test_programming_only_clears_bits_and_the_rom_tells(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    rom = BootRom("esp32", path, 4 * MIB, MAC)
    rom.feed(frame(0x0D, bytes(8)))
    rom.feed(frame(0x02, struct.pack("<IIII", 1024, 2, 512, 0)))
    assert status(rom.feed(block(0x03, 0, b"\xf0" * 512))) == ["0000"]
    path.write_bytes(bytes(4 * MIB))  # somebody else programmed what was erased for the next block
    assert status(rom.feed(block(0x03, 1, b"\x0f" * 512))) == ["0108"]
    assert path.read_bytes() == bytes(4 * MIB)


def test_the_answer_to_a_new_speed_goes_out_at_the_old_one(tmp_path: Path) -> None:
    rom = BootRom("esp32c3", tmp_path / "flash.bin", 4 * MIB, MAC)
    (answer,) = rom.feed(frame(0x0F, struct.pack("<II", 921600, 0)))
    assert answer[1] == 115200 and rom.baud == 921600
    assert {baud for _, baud in rom.feed(frame(0x08, SYNC))} == {921600}


def test_errors_are_told_as_a_rom_tells_them(tmp_path: Path) -> None:
    rom = BootRom("esp32", tmp_path / "flash.bin", 4 * MIB, MAC)
    begin = struct.pack("<IIII", 1024, 1, 1024, 0)
    assert status(rom.feed(frame(0x02, begin))) == ["0106"]  # the flash is not attached
    rom.feed(frame(0x0D, bytes(8)))
    assert status(rom.feed(block(0x03, 0, bytes(1024)))) == ["0106"]  # nothing begun
    assert status(rom.feed(frame(0x02, begin[:-1]))) == ["0105"]
    assert status(rom.feed(frame(0x02, struct.pack("<IIII", 1024, 1, 1024, 3 * MIB)))) == ["0106"]
    assert status(rom.feed(frame(0x02, begin))) == ["0000"]
    assert status(rom.feed(frame(0x03, struct.pack("<IIIIB", 1, 0, 0, 0, 7), 7))) == ["0107"]
    assert status(rom.feed(frame(0x0E, struct.pack("<II", 0, 65)))) == ["010a"]
    assert status(rom.feed(frame(0x77, b""))) == ["0105"] * 8
    assert status(rom.feed(frame(0x10, begin))) == ["0000"]
    assert status(rom.feed(block(0x11, 0, b"no deflated data"))) == ["010b"]
    assert not rom.wants_boot
    assert status(rom.feed(frame(0x02, bytes(16)) + frame(0x04, bytes(4)))) == ["0000"] * 2
    assert rom.wants_boot and rom.feed(frame(0x08, SYNC)) == []


def test_the_stub_tells_late_what_went_wrong_while_it_programmed(tmp_path: Path) -> None:
    rom = BootRom("esp32", tmp_path / "flash.bin", 4 * MIB, MAC)
    start_stub(rom, 0x40080000)
    rom.feed(frame(0x10, struct.pack("<IIII", 4096, 1, 4096, 0)))
    squeezed = zlib.compress(bytes(9000))
    (answer,) = rom.feed(block(0x11, 0, squeezed))
    assert answer[0][-3:-1] == b"\x00\x00"
    (answer,) = rom.feed(frame(0x13, struct.pack("<IIII", 0, 4096, 0, 0)))
    assert answer[0][-3:-1] == b"\xc9\x00"  # too much data


OPS = st.sampled_from([*range(0x02, 0x15), *range(0xD0, 0xD5)])
# Words that mean something: small sizes, addresses in flash and RAM, all ones.
WORD = st.sampled_from([0, 1, 4, 64, 4096, 0x10000, 0xFFFF, 0x400000, 0x40380000, 0xFFFFFFFF])
COMMAND = st.builds(
    lambda op, words, tail: frame(op, struct.pack(f"<{len(words)}I", *words) + tail),
    OPS,
    st.lists(WORD, max_size=6),
    st.binary(max_size=8),
)
DATA = st.builds(block, st.sampled_from([0x03, 0x07, 0x11]), WORD, st.binary(max_size=200))
NOISE = st.one_of(st.binary(max_size=64), COMMAND, DATA, st.just(frame(0x0D, bytes(8))))


@given(
    st.sampled_from(["esp32", "esp32s3", "esp32c3"]), st.booleans(), st.lists(NOISE, max_size=20)
)
def test_noise_never_breaks_it(chip: str, stub: bool, noise: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        flash = Path(directory) / "flash.bin"
        rom = BootRom(chip, flash, 65536, MAC)
        if stub:
            start_stub(rom, 0x40080000 if chip == "esp32" else 0x40380000)
        for piece in noise:
            for answer, baud in rom.feed(piece):
                assert answer[0] == answer[-1] == 0xC0 and answer.count(0xC0) == 2
                assert baud > 0
        assert flash.stat().st_size == 65536
        rom.reset()
        assert len(rom.feed(b"\xc0\xc0" + frame(0x08, SYNC))) == 8


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.integers(1, 50))
def test_frames_may_come_in_pieces_of_any_size(blobs: list[bytes], step: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        whole = BootRom("esp32", Path(directory) / "a", 4096, MAC)
        pieces = BootRom("esp32", Path(directory) / "b", 4096, MAC)
        line = b"".join(blob + frame(0x0A, (blob * 4)[:4]) for blob in blobs)
        answers = [a for n in range(0, len(line), step) for a in pieces.feed(line[n : n + step])]
        assert answers == whole.feed(line)
