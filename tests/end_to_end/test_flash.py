"""From a blank board to a tested band: the real esptool and mpremote on virtual chips."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial
import serial.rfc2217

from support import ROOT
from zoneband import authority, seal, serials
from zoneband.flash import board as boards
from zoneband.flash import image, repl
from zoneband.flash.keys import BandKeys
from zoneband.flash.keys import make as make_keys
from zoneband.inventory import State
from zoneband.seal import Kind
from zoneband.sim.keys import dock_key
from zoneband.sim.rom import RomFaults
from zoneband.sim.simulation import Hardware
from zoneband.sim.workshop import PASSPHRASE, Workshop
from zoneband.wire import bluezone, log


def enrolments(shop: Workshop, serial: str) -> list[dict[str, object]]:
    """Opened enrolments of a band that wait for the server."""
    keys = authority.unlock(shop.data, PASSPHRASE)
    found = []
    for record in shop.spool.waiting_sealed():
        kind, number = seal.read_head(record.data)
        facts = seal.unseal(keys[number], record.data)
        if kind == Kind.ENROLMENT and facts["serial"] == serial:
            found.append(facts)
    return found


def test_a_blank_board_becomes_a_tested_band_that_the_server_can_enrol(
    shop: Workshop, slot: int
) -> None:
    board = shop.tray.add()
    port = shop.tray.put(slot, board)
    result = shop.flash(port)
    assert (result.outcome, result.new, result.note) == ("done", True, ""), result
    assert serials.read(result.serial or "") == result.serial
    assert result.mac == ":".join(f"{byte:02x}" for byte in board.mac)
    assert result.tests == {
        "ids": True, "hmac": True, "seal": True, "ring": True, "radio": True,
        "clock_chip": None, "power_chip": None, "cue": None,
    }  # fmt: skip
    band = shop.greet(port)
    assert (band.serial, band.board) == (result.serial, "devkitc")
    assert band.sectors == 381
    [facts] = enrolments(shop, result.serial or "")
    assert facts["board"] == "devkitc" and facts["role"] == "band"
    # The IDs that the server will look for are those that the band sends.
    wanted = bluezone.first_slot_key(bytes.fromhex(str(facts["base_key"])))
    image_of_keys = shop.partition(board, "bandkeys")
    slots = [wanted]
    for _n in range(95):
        slots.append(bluezone.next_slot_key(slots[-1]))
    assert any(key in image_of_keys for key in slots)
    [row] = [row for row in shop.inventory.rows() if row.serial == result.serial]
    assert (row.state, row.enrolment) == ("new", "waiting")


def test_flashing_again_keeps_log_keys_and_serial_and_writes_nothing(
    shop: Workshop, slot: int
) -> None:
    board = shop.tray.add()
    port = shop.tray.put(slot, board)
    first = shop.flash(port)
    head = shop.fill(port, 200)
    assert head > 200
    shop.greet(port)
    before = shop.partition(board, "bandlog")
    again = shop.flash(port)
    assert (again.outcome, again.serial, again.new) == ("done", first.serial, False), again
    assert sorted(again.skipped) == ["bootloader", "program", "table", "vfs"]
    after = shop.partition(board, "bandlog")
    size = log.SLOT_BYTES
    for at in range(0, len(before), size):
        assert before[at : at + size] in (log.ERASED, after[at : at + size])
    assert len(enrolments(shop, first.serial or "")) == 1


def test_erasing_makes_another_band_and_retires_the_first(shop: Workshop, slot: int) -> None:
    port = shop.tray.put(slot, shop.tray.add())
    first = shop.flash(port)
    shop.fill(port, 20)
    second = shop.flash(port, erase=True)
    assert second.outcome == "done" and second.new
    assert second.serial != first.serial
    assert shop.inventory.gone(first.serial or "") == State.RETIRED
    band = shop.greet(port)
    assert band.head < 40 and band.serial == second.serial


def test_one_step_alone_does_that_step(shop: Workshop, slot: int) -> None:
    board = shop.tray.add()
    port = shop.tray.put(slot, board)
    assert shop.flash(port, steps=("image", "table")).outcome == "done"
    assert b"manifest.json" not in shop.partition(board, "vfs")
    early = shop.flash(port, steps=("test",))
    assert early.outcome == "failed" and "Traceback" not in early.message
    assert shop.flash(port, steps=("app",)).outcome == "done"
    assert shop.partition(board, "bandkeys").strip(b"\xff") == b""
    keys = shop.flash(port, steps=("keys",))
    assert keys.outcome == "done" and keys.new and keys.tests == {}
    test = shop.flash(port, steps=("test",))
    assert test.outcome == "done" and test.serial == keys.serial and test.tests["radio"]


@pytest.mark.parametrize("chip", ["xiao-s3", "c3-supermini"])
def test_chips_with_other_boot_roms_are_flashed_too(tmp_path: Path, chip: str) -> None:
    with Workshop(tmp_path, chip) as shop:
        port = shop.tray.put(1, shop.tray.add())
        result = shop.flash(port)
        assert result.outcome == "done", result
        assert result.tests["cue"] is True  # both have an LED


def test_a_board_with_clock_and_power_chips_has_them_tested(tmp_path: Path) -> None:
    with Workshop(tmp_path, "m5stickcplus") as shop:
        port = shop.tray.put(1, shop.tray.add())
        result = shop.flash(port)
        assert result.outcome == "done", result
        assert result.tests["clock_chip"] and result.tests["power_chip"] and result.tests["cue"]
        bare = shop.tray.put(2, shop.tray.add(Hardware("esp32", 4096, "")))
        missing = shop.flash(bare)
        assert missing.outcome == "failed" and missing.tests["clock_chip"] is False
        assert "clock chip" in missing.message and "power chip" in missing.message


def test_the_band_in_the_air_is_the_one_that_was_enrolled(shop: Workshop, slot: int) -> None:
    """Board -> flash -> hand-out -> air: what another radio hears resolves to this band."""
    from zoneband.dock.job import ISSUE, DockJob

    board = shop.tray.add(Hardware(battery=True))
    port = shop.tray.put(slot, board)
    result = shop.flash(port)
    [facts] = enrolments(shop, result.serial or "")
    shop.inventory.ask(result.serial or "", ISSUE)
    docked = DockJob(str(port), shop.spool, "st", True, dock_key, inventory=shop.inventory).run()
    assert docked.outcome == "done", docked
    shop.tray.pull(slot)
    sent: list[bytes] = []
    for _n in range(100):
        shop.sim.call(lambda: None)
        assert board.controller is not None
        sent = [s.data for s in board.controller.segments if bluezone.find_id(s.data) >= 0]
        if sent:
            break
        threading.Event().wait(0.1)
    day = bytes.fromhex(str(facts["base_key"]))
    at = bluezone.find_id(sent[-1])
    ids = bluezone.day_ids(day) + bluezone.day_ids(bluezone.next_day_key(day))
    assert sent[-1][at : at + 12] in ids


# --- faults ------------------------------------------------------------------------------------


def good_after(shop: Workshop, slot: int, port: Path) -> None:
    """The same board, begun again, is a good band."""
    again = shop.flash(port)
    assert again.outcome == "done", again.message


def test_a_cable_pulled_at_any_block_leaves_a_board_that_can_be_flashed(
    shop: Workshop, slot: int
) -> None:
    for block in (1, 3, 5):
        board = shop.tray.add(faults=RomFaults(mute_after_block=block))
        port = shop.tray.put(slot, board)
        job = shop.job(port)
        done = threading.Thread(target=job.run)
        done.start()
        for _n in range(200):
            threading.Event().wait(0.05)
            if shop.sim.call(lambda board=board: board.rom.programmed_bytes) and block > 1:
                break
            if not done.is_alive():
                break
        threading.Event().wait(0.3)
        shop.tray.pull(slot)
        done.join(60)
        assert not done.is_alive()
        assert job.result.outcome == "failed"
        assert "plug it in" in job.result.message.lower(), job.result.message
        board.rom.faults = RomFaults()
        good_after(shop, slot, shop.tray.put(slot, board))
        shop.tray.pull(slot)


def test_a_damaged_block_is_noticed_and_the_board_put_aside(shop: Workshop, slot: int) -> None:
    board = shop.tray.add(faults=RomFaults(damage_block=3))
    port = shop.tray.put(slot, board)
    result = shop.flash(port)
    assert result.outcome == "failed" and "does not read back" in result.message
    assert result.serial is None
    good_after(shop, slot, port)  # it was one block only


def test_a_wrong_chip_is_refused_and_left_as_it_is(shop: Workshop, slot: int) -> None:
    board = shop.tray.add(Hardware("esp32c3", 4096))
    port = shop.tray.put(slot, board)
    for chosen in ("devkitc", None):
        result = shop.flash(port, board=chosen)
        assert result.outcome == "failed", result
    assert board.flash.read_bytes().strip(b"\xff") == b""
    assert "another chip" in shop.flash(port).message
    # Nobody chose: the chip alone says which board it is, and its image is not recorded.
    assert "c3-supermini" in shop.flash(port, board=None).message


def test_a_flash_that_is_too_small_is_refused_before_anything_is_written(
    shop: Workshop, slot: int
) -> None:
    board = shop.tray.add(Hardware("esp32", 2048))
    result = shop.flash(shop.tray.put(slot, board))
    assert result.outcome == "failed" and "too small" in result.message
    assert board.flash.read_bytes().strip(b"\xff") == b""


def test_a_board_that_never_answers_is_told_so(shop: Workshop, slot: int) -> None:
    port = shop.tray.put(slot, shop.tray.add(faults=RomFaults(mute=True)))
    result = shop.flash(port)
    assert result.outcome == "failed" and "No chip answers" in result.message
    assert result.seconds < 15


def test_a_port_in_use_is_told_so(shop: Workshop, slot: int) -> None:
    port = shop.tray.put(slot, shop.tray.add())
    with serial.Serial(str(port), exclusive=True):
        result = shop.flash(port)
    assert result.outcome == "failed" and "Another program" in result.message


def test_a_half_provisioned_band_gets_new_keys(shop: Workshop, slot: int) -> None:
    board = shop.tray.add()
    port = shop.tray.put(slot, board)
    shop.flash(port, steps=("image", "table", "app"))
    cut = make_keys(1, 1, bytes(32))
    from zoneband.flash.repl import Repl, get_attention, restart

    get_attention(str(port))
    with Repl(str(port), 1) as repl:
        repl.begin()
        repl.ask(
            "import esp32\nfrom band.keys import BandKeys\n"
            'BandKeys(esp32.Partition.find(1, label="bandkeys")[0])'
            f'.provision({cut.base_day}, bytes.fromhex("{cut.base_key.hex()}"))\nprint("{{}}")'
        )
    restart(str(port))
    result = shop.flash(port)
    assert result.outcome == "done" and result.new and "half provisioned" in result.note
    assert cut.base_key not in board.flash.read_bytes()


@pytest.mark.parametrize(("times", "outcome"), [(1, "done"), (2, "failed")])
def test_a_raw_repl_that_does_not_begin_is_tried_once_more(
    shop: Workshop, slot: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    times: int, outcome: str,
) -> None:  # fmt: skip
    """As when a byte is lost on the line: mpremote waits for an answer in vain."""
    port = shop.tray.put(slot, shop.tray.add())
    left = tmp_path / "left"
    left.write_text("x" * times)
    monkeypatch.setattr(
        repl,
        "_MPREMOTE",
        f"""
import pathlib, sys
from mpremote import main, transport_serial
real = transport_serial.SerialTransport.enter_raw_repl
def enter(self, *words, **more):
    left = pathlib.Path({str(left)!r})
    if text := left.read_text():
        left.write_text(text[1:])
        raise transport_serial.TransportError("could not enter raw repl")
    real(self, *words, **more)
transport_serial.SerialTransport.enter_raw_repl = enter
sys.stdin.read()
sys.exit(main.main())
""",
    )
    result = shop.flash(port)
    assert result.outcome == outcome, result.message
    assert left.read_text() == ""


def test_a_run_cut_between_the_bands_keys_and_our_note_is_taken_up_again(
    shop: Workshop, slot: int
) -> None:
    board = shop.tray.add()
    port = shop.tray.put(slot, board)
    first = shop.flash(port)
    with shop.inventory._change() as db:  # pyright: ignore[reportPrivateUsage]
        db.execute("UPDATE made SET done_s=NULL WHERE serial=?", (first.serial,))
        db.execute("UPDATE sealed SET ready=0 WHERE serial=?", (first.serial,))
    assert enrolments(shop, first.serial or "") == []
    again = shop.flash(port)
    assert (again.outcome, again.serial, again.new) == ("done", first.serial, False)
    assert len(enrolments(shop, first.serial or "")) == 1


def test_a_board_with_another_bands_keys_is_a_copy(shop: Workshop, slot: int) -> None:
    original = shop.tray.add()
    first = shop.flash(shop.tray.put(slot, original))
    contents = original.flash.read_bytes()
    shop.tray.pull(slot)
    copy = shop.tray.add()
    copy.restore(contents)
    port = shop.tray.put(slot, copy)
    result = shop.flash(port)
    assert result.outcome == "failed" and "a copy" in result.message
    assert str(first.serial) in result.message and "--erase" in result.message
    own = shop.flash(port, erase=True)
    assert own.outcome == "done" and own.serial != first.serial
    assert shop.inventory.gone(first.serial or "") is None


def test_a_computer_whose_random_numbers_repeat_makes_no_second_band(
    shop: Workshop, slot: int
) -> None:
    def same(group: int, generation: int, group_key: bytes) -> BandKeys:
        return make_keys(group, generation, group_key, lambda n: bytes(n))

    from zoneband.flash.job import FlashJob, FlashResult
    from zoneband.flash.plan import Plan

    def flash(port: Path) -> FlashResult:
        plan = Plan(shop.request())
        return FlashJob(str(port), plan, shop.spool, shop.inventory, make_keys=same).run()

    waiting = len(shop.spool.waiting_sealed())
    first = flash(shop.tray.put(slot, shop.tray.add()))
    assert first.outcome == "done", first.message
    shop.tray.pull(slot)
    board = shop.tray.add()
    second = flash(shop.tray.put(slot, board))
    assert second.outcome == "failed"
    assert "random numbers repeat" in second.message
    assert shop.partition(board, "bandkeys").strip(b"\xff") == b""
    assert len(shop.spool.waiting_sealed()) == waiting + 1


def test_a_lost_authority_key_stops_before_any_board_is_touched(tmp_path: Path) -> None:
    with Workshop(tmp_path) as shop:
        board = shop.tray.add()
        port = shop.tray.put(1, board)
        for file in (shop.data / "authority").iterdir():
            file.unlink()
        done = flash_sh("--port", str(port), "--board", "devkitc", data=shop.data)
        assert done.returncode == 2 and "public key is missing" in done.stderr
        assert done.stderr.count("\n") == 1
        assert board.flash.read_bytes().strip(b"\xff") == b""
        # A rotated key: what was sealed before opens with the old one, what comes with the new.
        authority.make(shop.data, PASSPHRASE)
        first = shop.flash(port)
        assert authority.make(shop.data, PASSPHRASE).number == 2
        second = shop.flash(port, erase=True)
        numbers = {}
        for record in shop.spool.waiting_sealed():
            kind, number = seal.read_head(record.data)
            keys = authority.unlock(shop.data, PASSPHRASE)
            numbers[seal.unseal(keys[number], record.data)["serial"]] = number
        assert numbers == {first.serial: 1, second.serial: 2}


def test_an_image_of_another_version_of_compiled_files_is_told_so(
    shop: Workshop, slot: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from zoneband.flash.plan import Plan

    port = shop.tray.put(slot, shop.tray.add())
    job = shop.job(port)
    real = Plan.regions

    def older(self: Plan, board: boards.Board):  # noqa: ANN202
        found, made = real(self, board)
        return found, replace(made, mpy=5) if made else None

    monkeypatch.setattr(Plan, "regions", older)
    result = job.run()
    assert result.outcome == "failed" and "compiled files" in result.message


# --- the images --------------------------------------------------------------------------------


def test_no_image_is_flashed_that_nobody_recorded_or_that_changed(
    tmp_path: Path, shop: Workshop
) -> None:
    from zoneband.errors import UserError
    from zoneband.flash.plan import Plan

    with pytest.raises(UserError, match="Nobody has recorded") as told:
        Plan(shop.request(board="t-watch-2020"))
    assert "micropython.org/download" in told.value.message
    assert "boards pin t-watch-2020" in told.value.message
    altered = tmp_path / "altered.bin"
    data = bytearray(shop.tray.image.read_bytes())
    data[-100] ^= 1
    altered.write_bytes(data)
    with pytest.raises(UserError, match="not the image that was recorded"):
        Plan(shop.request(image=altered))
    with pytest.raises(UserError, match="no MicroPython image"):
        altered.write_bytes(b"hello" * 9000)
        image.pin(shop.data, shop.kind, altered)
    with pytest.raises(UserError, match="another chip"):
        image.pin(shop.data, boards.find("xiao-s3"), shop.tray.image)


# --- the command -------------------------------------------------------------------------------


def flash_sh(*words: str, data: Path, lang: str = "en") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "ZONEBAND_DATA": str(data), "COLUMNS": "150", "PYTHONPATH": ""}
    return subprocess.run(
        ["/bin/sh", str(ROOT / "flash.sh"), "--lang", lang, *words],
        capture_output=True,
        text=True,
        timeout=110,
        env=env,
    )


def test_the_shell_script_flashes_and_says_what_was_tested(shop: Workshop, slot: int) -> None:
    port = shop.tray.put(slot, shop.tray.add())
    dry = flash_sh("--dry-run", "--port", str(port), "--board", "devkitc", data=shop.data)
    assert dry.returncode == 0 and "program" in dry.stdout and "0x00010000" in dry.stdout
    assert shop.tray.slots[slot].flash.read_bytes().strip(b"\xff") == b""
    done = flash_sh(
        "--port", str(port), "--board", "devkitc", "--baud", "921600", data=shop.data, lang="vi"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Xong" in done.stdout and "✓ sóng" in done.stdout
    facts = flash_sh(
        "--port", str(port), "--board", "devkitc", "--json", "--baud", "921600", data=shop.data
    )
    [result] = json.loads(facts.stdout)
    assert result["outcome"] == "done" and result["serial"] in done.stdout
    assert (shop.data / "labels" / f"{result['serial']}.png").exists()
    assert len(list((shop.data / "labels").glob("*.pdf"))) == 1


def test_help_names_every_option_and_bad_words_are_one_line(shop: Workshop) -> None:
    help_text = flash_sh("--help", data=shop.data).stdout
    for option in (
        "--tray", "--port", "--board", "--image", "--steps", "--erase", "--esptool-args",
        "--dry-run", "--json", "--baud", "--once", "--config", "--venue",
    ):  # fmt: skip
        assert option in help_text, option
    for words in (
        ("--steps", "image,nothing"),
        ("--board", "no-such-board"),
        ("--esptool-args", "--port /dev/ttyUSB0"),
        ("--config", "/none"),
    ):
        done = flash_sh(*words, "--port", "/dev/none", data=shop.data)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, (words, done.stderr)


def test_a_tray_goes_on_when_one_fails_and_takes_the_next_board(shop: Workshop) -> None:
    first = next(n for n in range(1, 100) if n not in shop.tray.slots)
    slots = [first, first + 1, first + 2]
    faulty = shop.tray.add(faults=RomFaults(damage_block=2))
    for n, board in zip(slots, (shop.tray.add(), faulty, shop.tray.add()), strict=True):
        shop.tray.put(n, board)
    env = {
        **os.environ, "PYTHONPATH": str(ROOT / "host"), "ZONEBAND_PORTS": str(shop.tray.ports),
    }  # fmt: skip
    words = ["flash", "--tray", "--json", "--board", "devkitc", "--baud", "921600"]
    run = subprocess.Popen(
        [sys.executable, "-m", "zoneband", *words, "--data", str(shop.data)],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    assert run.stdout is not None
    try:
        results = [json.loads(run.stdout.readline()) for _n in range(3)]
        by_slot = {Path(r["port"]).name: r["outcome"] for r in results}
        assert by_slot == {
            f"slot-{slots[0]}": "done", f"slot-{slots[1]}": "failed", f"slot-{slots[2]}": "done",
        }  # fmt: skip
        shop.tray.pull(slots[1])
        shop.tray.put(slots[1], shop.tray.add())
        following = json.loads(run.stdout.readline())
        assert Path(following["port"]).name == f"slot-{slots[1]}"
        assert following["outcome"] == "done"
        assert following["serial"] not in {r["serial"] for r in results}
    finally:
        run.terminate()
        run.wait(20)
        for n in slots:
            shop.tray.pull(n)


def test_boards_that_were_cut_at_random_become_good_bands_and_keep_what_they_held(
    tmp_path: Path,
) -> None:
    """The short form of `zoneband campaign flash`."""
    from zoneband.sim import interrupts

    found = interrupts.run(tmp_path, 4, 7)
    assert [each.faults for each in found] == [()] * 4, found


def test_no_key_is_ever_on_the_provisioning_computers_disk() -> None:
    from bench.flashing import clear

    assert clear() == {"flash_secrets_in_clear": 0.0}


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_a_port_over_the_network_works_too(shop: Workshop, slot: int, scheme: str) -> None:
    port = shop.tray.put(slot, shop.tray.add())
    shop.flash(port)
    with Bridge(port, scheme) as url:
        result = shop.flash(url, baud=115_200)
    assert result.outcome == "done", result.message
    assert len(result.skipped) == 4


class NoLines(serial.Serial):
    """A port whose control lines are not wired, as a pty's are not."""

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...

    @property
    def cts(self) -> bool:
        return True

    dsr = cd = cts

    @property
    def ri(self) -> bool:
        return False


class Bridge:
    """A serial port on a socket, raw or by RFC 2217; one client after the other."""

    def __init__(self, port: Path, scheme: str) -> None:
        self._port = port
        self._scheme = scheme
        self._server = socket.create_server(("127.0.0.1", 0))
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"{self._scheme}://127.0.0.1:{self._server.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._server.close()

    def _serve(self) -> None:
        while not self._stop:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client, NoLines(str(self._port), 115_200, timeout=0) as line:
                try:
                    self._carry(client, line)
                except OSError:
                    continue

    def _carry(self, client: socket.socket, line: serial.Serial) -> None:
        telnet = None
        if self._scheme == "rfc2217":
            out = SimpleNamespace(write=client.sendall)
            telnet = serial.rfc2217.PortManager(line, out)
        while True:
            ready = select.select([client, line.fd], [], [], 0.2)[0]
            if client in ready:
                data = client.recv(4096)
                if not data:
                    return
                line.write(b"".join(telnet.filter(data)) if telnet else data)
            if line.fd in ready:
                data = line.read(4096)
                client.sendall(b"".join(telnet.escape(data)) if telnet else data)
