"""esptool, run as a program: what it finds on a port, what it writes, and why it gave up.

It is GPL, so it stays a program of its own; its text is read here and nowhere else (esptool 5.6).
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

# A block that inflates to a lot of padding may take this long without a word.
SILENT_S = 30.0
_PROGRAM = Path(__file__).parent / "run_esptool.py"
_SETTINGS = """[esptool]
connect_attempts = 4
erase_write_timeout_per_mb = 20
"""
_PERCENT = re.compile(r"^Writing at 0x[0-9a-f]+ .*?(\d+\.\d)% ")
_COMPRESSED = re.compile(r"^Compressed \d+ bytes to (\d+)\.\.\.")
_MAC = re.compile(r"^MAC: +([0-9a-f:]{17})", re.M)
_CHIP = re.compile(r"^Chip type: +([A-Z0-9]+(?:-[SCHP]\d+)?)", re.M)
_FLASH = re.compile(r"^Detected flash size: +(\d+)(KB|MB)", re.M)
_SKIPPED = "already in flash, skipping write"
_LOST = "Lost connection"


@dataclass(frozen=True)
class Found:
    """A chip on a port: its name as esptool prints it ("ESP32-S3"), MAC, flash in KiB."""

    chip: str
    mac: str
    flash_kib: int


@dataclass(frozen=True)
class Region:
    """What is to stand at a place in flash (bytes from its begin)."""

    name: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class Written:
    """What a run did: MAC of the chip, names of the regions that stood there already."""

    mac: str
    skipped: tuple[str, ...]


Progress = Callable[[float], None]  # share of the bytes that are over the line, 0..1


class Esptool:
    """esptool on one port at one speed; `extra`: more of its own global options."""

    def __init__(self, port: str, baud: int, extra: Sequence[str] = ()) -> None:
        self._port = port
        self._baud = baud
        self._extra = list(extra)
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self.mac = ""  # of the chip that answered last

    def find(self) -> Found:
        """Ask the chip what it is; writes nothing."""
        text = self._run(["flash-id"], None)
        chip, flash = _CHIP.search(text), _FLASH.search(text)
        if chip is None or flash is None or not self.mac:
            raise UserError(_("This chip is not understood. Plug it in again; else put it aside."))
        size = int(flash[1]) * (1024 if flash[2] == "MB" else 1)
        name = chip[1]
        return Found(name if re.search(r"-[SCHP]\d", name) else name.split("-")[0], self.mac, size)

    def erase(self, chip: str) -> str:
        """Erase all of the flash; the chip's MAC."""
        self._run(["--chip", chip], ["erase-flash"])
        return self.mac

    def write(
        self,
        chip: str,
        regions: Sequence[Region],
        progress: Progress | None = None,
    ) -> Written:
        """Write regions, each read back by its MD5; those that stand there already are skipped.

        Another chip, or a flash that is too small for a region, is refused before anything is
        written."""
        with tempfile.TemporaryDirectory(prefix="zoneband-flash") as folder:
            words = ["write-flash", "--flash-size", "detect", "--skip-flashed"]
            for region in regions:
                path = Path(folder) / f"{region.name}.bin"
                path.write_bytes(region.data)
                words += [hex(region.offset), str(path)]
            meter = _Meter(regions, progress)
            text = self._run(["--chip", chip], words, meter.line)
        skipped = [
            region.name
            for region in regions
            if re.search(rf"/{region.name}\.bin' at 0x[0-9a-f]+ {_SKIPPED}", text)
        ]
        return Written(self.mac, tuple(skipped))

    def stop(self) -> None:
        """End a run from another thread."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()

    def _run(
        self,
        options: list[str],
        command: list[str] | None,
        line: Callable[[str], None] = lambda _line: None,
    ) -> str:
        # What it printed; a UserError in the user's words when it failed.
        if command is None:
            options, command = [], options
        with tempfile.NamedTemporaryFile("w", suffix=".cfg", prefix="zoneband-esptool") as settings:
            settings.write(_SETTINGS)
            settings.flush()
            env = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "COLUMNS")}
            env |= {"ESPTOOL_CFGFILE": settings.name, "PYTHONUTF8": "1"}
            self._process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), "--port", self._port, "--baud", str(self._baud)]
                + options + self._extra + command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                env=env,
            )  # fmt: skip
            if self._stopped:
                self._process.kill()
            return self._follow(self._process, line)

    def _follow(self, process: subprocess.Popen[str], line: Callable[[str], None]) -> str:
        said: list[str] = []
        silent = False

        def give_up() -> None:
            nonlocal silent
            silent = True
            process.kill()

        assert process.stdout is not None
        watch = threading.Timer(SILENT_S, give_up)
        watch.start()
        try:
            for each in process.stdout:
                watch.cancel()
                watch = threading.Timer(SILENT_S, give_up)
                watch.start()
                said.append(each)
                if each.startswith(_LOST):
                    # It would go on with whatever board is plugged in here next.
                    process.kill()
                    break
                if mac := _MAC.match(each):
                    self.mac = mac[1]
                line(each)
        finally:
            watch.cancel()
            process.stdout.close()
        code = process.wait()
        text = "".join(said)
        if code:
            raise UserError(_silence() if silent else explain(text))
        return text


class _Meter:
    # Progress over all regions: esptool tells a share of each one's compressed bytes, and what a
    # region compresses to only when its turn comes. Until then its plain size stands for it.
    def __init__(self, regions: Sequence[Region], progress: Progress | None) -> None:
        self._sizes = [len(region.data) for region in regions]
        self._progress = progress
        self._at = -1

    def line(self, text: str) -> None:
        """Take a line of output."""
        if self._progress is None:
            return
        if _COMPRESSED.match(text) or _SKIPPED in text:
            self._at += 1
            self._tell(1.0 if _SKIPPED in text else 0.0)
        elif percent := _PERCENT.match(text):
            self._tell(float(percent[1]) / 100)

    def _tell(self, share: float) -> None:
        assert self._progress is not None
        at = min(max(self._at, 0), len(self._sizes) - 1)
        done = sum(self._sizes[:at]) + share * self._sizes[at]
        self._progress(min(1.0, done / max(1, sum(self._sizes))))


def _silence() -> str:
    return _("The board fell silent in the middle. Plug it in again and flash it once more.")


# What esptool says, and what a volunteer can do about it; the first that is found counts.
def _explanations() -> tuple[tuple[str, str], ...]:
    used = _("Another program uses this port: close it, or run zoneband doctor.")
    pulled = _("The board was pulled out. Nothing is lost: plug it in and flash it once more.")
    return (
        ("Permission denied", _("This port may not be opened by this user. Run: zoneband doctor")),
        ("Could not exclusively lock port", used),
        ("Device or resource busy", used),
        ("could not open port", pulled),
        ("serial exception error", pulled),
        (_LOST, pulled),
        (
            "Failed to connect",
            _(
                "No chip answers here. Hold the board's BOOT button while you plug it in, or try "
                "another cable: some only charge."
            ),
        ),
        ("Wrong chip argument", _("This board has another chip than the one you chose.")),
        ("will not fit in", _("This board's flash is too small.")),
        (
            "MD5 of file does not match",
            _("What was written does not read back: the flash is faulty. Put this board aside."),
        ),
        ("No more data to read", _silence()),
        ("Serial data stream stopped", _silence()),
    )


def explain(text: str) -> str:
    """Why esptool gave up, from all that it printed, as one line for the user."""
    for words, meaning in _explanations():
        if words in text:
            return meaning
    last = [line.strip() for line in text.splitlines() if "rror" in line]
    return _("esptool gave up: {why}").format(why=last[-1] if last else "?")


def check_extra(words: str) -> list[str]:
    """The words of --esptool-args. Raises UserError for those that Zoneband sets itself."""
    extra = words.split()
    for word in extra:
        if word.split("=")[0] in ("--port", "-p", "--baud", "-b", "--chip", "-c"):
            raise UserError(
                _("--esptool-args may not hold {word}: there is an option of its own.").format(
                    word=word
                ),
                ExitCode.USAGE,
            )
    return extra
