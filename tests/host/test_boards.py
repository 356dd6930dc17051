"""Boards: each a file whose facts have sources; a new one is one new file."""

import hashlib
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import ROOT, run_in_vm
from typed import Typed
from zoneband import i18n
from zoneband.errors import UserError
from zoneband.flash import app, board_words, energy, image, partitions
from zoneband.flash import board as boards
from zoneband.sim import image as stand_in

ALL = list(boards.every())


def test_the_boards_of_the_field_are_there() -> None:
    assert {b.name for b in ALL} >= {
        "devkitc", "t-wristband", "m5stickcplus", "t-watch-2020", "xiao-s3", "c3-supermini",
    }  # fmt: skip
    assert {b.chip for b in ALL} == {"esp32", "esp32s3", "esp32c3"}


@pytest.mark.parametrize("board", ALL, ids=lambda b: b.name)
def test_every_fact_has_a_source_and_doubts_are_listed(board: boards.Board) -> None:
    assert board.unverified
    assert all(len(source) > 10 for source in board.sources.values())
    # Nobody had the real files here: no hash is made up.
    assert board.image.sha256 == ""
    assert board.image.file.endswith(f"-v{board.image.version}.bin")


@pytest.mark.parametrize("board", ALL, ids=lambda b: b.name)
def test_partitions_fill_the_flash_without_overlap(board: boards.Board) -> None:
    rows = partitions.layout(board)
    end = 0x9000
    for row in rows:
        assert row.offset >= end and row.offset % 4096 == 0 and row.size % 4096 == 0
        end = row.offset + row.size
    assert end == board.flash_kib * 1024
    assert partitions.find(rows, "bandlog").size >= 1_500_000
    table = partitions.pack(rows)
    assert partitions.unpack(table) == rows
    assert len(table) == 0xC00
    for at in (0, 40, len(rows) * 32 + 20):
        damaged = bytearray(table)
        damaged[at] ^= 1
        with pytest.raises(ValueError):
            partitions.unpack(bytes(damaged))


def test_the_table_is_what_esp_idf_reads() -> None:
    """Byte for byte the row that ESP-IDF's documentation gives for a partition."""
    table = partitions.pack(partitions.layout(boards.find("devkitc")))
    assert table[:32] == b"\xaa\x50\x01\x02\x00\x90\x00\x00\x00\x60\x00\x00nvs" + bytes(17)
    end = table.index(b"\xeb\xeb")
    assert table[end + 2 : end + 16] == b"\xff" * 14
    assert table[end + 16 : end + 32] == hashlib.md5(table[:end]).digest()


def test_a_new_board_is_one_new_file(tmp_path: Path) -> None:
    text = (ROOT / "boards" / "devkitc.toml").read_text()
    (tmp_path / "our-board.toml").write_text(
        text.replace('name = "devkitc"', 'name = "our-board"').replace("mah = 500", "mah = 1000")
    )
    done = subprocess.run(
        [sys.executable, "-m", "zoneband", "boards", "--boards", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "host"), "HOME": str(tmp_path)},
    )
    [found] = json.loads(done.stdout)
    assert found["name"] == "our-board" and found["hours_per_charge_model"] == 25.0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('chip = "esp32"', 'chip = "esp8266"', "chip is one of"),
        ("flash_kib = 4096", "flash_kib = 100", "flash_kib"),
        ('usb = "bridge"', 'usb = "parallel"', "usb"),
        ("offset = 0x1000", "offset = 0x0", "goes to 0x1000"),
        ('sha256 = ""', 'sha256 = "abc"', "image.sha256"),
        ("rssi_offset_db = 0", "rssi_offset_db = 900", "radio.rssi_offset_db"),
        ("rssi_offset_db = 0", "rssi_offset = 0", "radio.rssi_offset"),
        ("[radio]", "[radio]\nbogus = 1", "radio.bogus"),
        ("[layout]", "[[layout", "cannot be read"),
        ('name = "devkitc"', 'name = "other"', "name: other"),
    ],
)
def test_a_wrong_board_file_says_which_fact_is_wrong(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "devkitc.toml"
    text = (ROOT / "boards" / "devkitc.toml").read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=words) as told:
        boards.load(path)
    assert "\n" not in told.value.message and str(path) in told.value.message


def test_a_fact_without_a_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "devkitc.toml"
    lines = (ROOT / "boards" / "devkitc.toml").read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("battery = ")))
    with pytest.raises(UserError, match="no source for battery"):
        boards.load(path)


def test_the_firmware_never_asks_for_a_boards_name() -> None:
    names = [board.name for board in ALL]
    for path in (ROOT / "firmware").rglob("*.py"):
        text = path.read_text()
        assert not [name for name in names if f'"{name}"' in text], path


def test_hours_come_from_the_firmwares_own_schedule() -> None:
    assert energy.listening_share() == pytest.approx(110 / 2400)
    by_name = {b.name: energy.hours(b) for b in ALL}
    assert 12 < by_name["devkitc"] < 13 and by_name["t-wristband"] < energy.SHORT_H


# --- firmware image ----------------------------------------------------------------------------


def test_the_file_system_holds_the_firmware_as_its_manifest_says(tmp_path: Path) -> None:
    """Read back by MicroPython's own littlefs."""
    board = boards.find("m5stickcplus")
    made = app.build(board, app.compile_firmware(), b'{"period_ms": 3000}')
    disk = made.image.ljust(board.layout.vfs * 1024, b"\xff")
    (tmp_path / "disk.bin").write_bytes(disk)
    vm = ROOT / "host/zoneband/sim/vm"
    code = f"""
import sys, vfs, json, hashlib, binascii
sys.path.append({str(vm)!r})
from nor import NorFlash
vfs.mount(vfs.VfsLfs2(NorFlash({str(tmp_path / "disk.bin")!r}, 128)), "/band")
files = json.load(open("/band/manifest.json"))["files"]
bad = [n for n in files if binascii.hexlify(
    hashlib.sha256(open("/band/" + n, "rb").read()).digest()).decode() != files[n]]
print(json.dumps([len(files), bad, json.load(open("/band/board.json")),
    open("/band/config.json").read(), sys.implementation._mpy & 0xff]))
"""
    count, bad, facts, config, mpy = json.loads(run_in_vm(code))
    assert count > 30 and bad == [] and config == '{"period_ms": 3000}'
    assert facts["pmu"] == "axp192" and facts["rtc"] == "bm8563" and facts["led_on"] == 0
    assert mpy == made.mpy
    assert app.build(board, app.compile_firmware(), b'{"period_ms": 3000}') == made


def test_a_config_that_a_band_would_not_take_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("[]", "{", '{"window_ms": 5}', '{"colour": 1}', '{"period_ms": "fast"}'):
        path.write_text(text)
        with pytest.raises(UserError, match="no configuration"):
            app.check_config(path)


@given(st.binary(max_size=300))
def test_whatever_file_is_given_as_an_image_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UserError):
        image.split(boards.find("devkitc"), data)
    with pytest.raises(UserError):
        image.split(boards.find("xiao-s3"), b"\xe9" + data)


def test_bootloader_and_program_are_taken_and_nvs_is_left_alone() -> None:
    for name in ("devkitc", "xiao-s3"):
        board = boards.find(name)
        data = stand_in.make(board, 50_000)
        parts = image.split(board, data)
        assert parts.version == "v1.29.0"
        assert board.image.offset + len(parts.bootloader) <= partitions.TABLE_AT
        assert data.endswith(parts.program) and parts.program[0] == 0xE9
        assert struct.unpack("<H", parts.program[12:14])[0] == board.about.image_id


@pytest.mark.parametrize("board", ALL, ids=lambda b: b.name)
@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_board_is_shown_in_words(typed: Typed, board: boards.Board, language: str) -> None:
    code, out, _err = typed("boards", "show", board.name, lang=language)
    assert code == 0
    assert not re.search(r"[{}]|\b(?:True|False|None)\b|flash_kib|_pin|_db\b", facts_of(out)), out
    assert f"{board.battery.mah} mAh" in out
    for fact in board.sources:
        with i18n.reading(language):
            assert f"{board_words.name(fact)}: {board_words.value(board, fact)}" in out
            assert board_words.value(board, fact), fact


def facts_of(shown: str) -> str:
    """Without the sources, which quote, and without what nobody verified."""
    return "\n".join(re.findall(r"^  (?! |·).*", shown, re.MULTILINE))
