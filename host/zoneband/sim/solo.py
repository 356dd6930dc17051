"""A band in a VM of its own, without an air: its waits take no time, its neighbours are made up.

For what needs days of a band's life or thousands of its starts. The firmware is compiled, as
flashing brings it; the stand-ins are those of every virtual band.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoneband.flash import app
from zoneband.sim import band as bands
from zoneband.sim import firmware as compiling
from zoneband.sim.band import PWRON_RESET, Provision


@dataclass(frozen=True)
class Compiled:
    """The firmware and the stand-ins, compiled once for many bands."""

    firmware: Path
    stand_ins: Path


Changes = Mapping[str, Sequence[tuple[str, str]]]
"""Path in firmware/ -> (text there, what stands there instead)."""
NO_CHANGES: Changes = {}


def compile_all(directory: Path, changes: Changes = NO_CHANGES) -> Compiled:
    """Compile into a directory. changes: what a trial of a trial takes out of the firmware; a text
    that is not there is a ValueError."""
    firmware = directory / "firmware"
    source = directory / "source"
    shutil.copytree(app.FIRMWARE, source, ignore=shutil.ignore_patterns("__pycache__"))
    for name, pairs in changes.items():
        text = (source / name).read_text()
        for old, new in pairs:
            if old not in text:
                raise ValueError(f"{name} holds no {old!r}")
            text = text.replace(old, new)
        (source / name).write_text(text)
    compiling.write(firmware, source)
    return Compiled(firmware, compiling.stand_ins())


class Solo:
    """One band's flash, and its VM whenever a script runs on it."""

    def __init__(
        self,
        directory: Path,
        compiled: Compiled,
        facts: Provision | None = None,
        config: Mapping[str, int] | None = None,
    ) -> None:
        """facts: make it that band; config: its config.json."""
        self.directory = directory
        self.root = directory / "root"
        self._compiled = compiled
        self.starts = 0
        self.root.mkdir(parents=True)
        for path in compiled.firmware.iterdir():
            (self.root / path.name).symlink_to(path)
        board = facts.board if facts else "virtual"
        (self.root / "board.json").write_text(bands.board_facts(board), encoding="utf-8")
        if config:
            (self.root / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
        if facts is not None:
            out = self.run(bands.provision_script(facts))
            assert facts.serial in out, out

    def path(self, name: str) -> Path:
        """A file of its hardware: bandlog.bin, bandkeys.bin, nvs.bin, rtc.bin."""
        return self.directory / name

    def environment(self, now_us: int, cause: int, power_on_us: int, cut: int) -> dict[str, str]:
        """What the stand-ins read."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "MICROPYPATH": f"{self._compiled.stand_ins}:.frozen:{self.root / 'a'}:{self.root}",
            "STAND_IN_DIR": str(self.directory),
            "STAND_IN_NAME": self.directory.name,
            "STAND_IN_NOW_US": str(now_us),
            "STAND_IN_POWER_ON_US": str(power_on_us),
            "STAND_IN_RESET_CAUSE": str(cause),
            "STAND_IN_SEED": f"solo {self.directory.name} {self.starts}",
        } | ({"STAND_IN_CUT": str(cut)} if cut else {})

    def start(
        self,
        code: str,
        now_us: int = 0,
        cause: int = PWRON_RESET,
        power_on_us: int = 0,
        cut: int = 0,
        heap: str = bands.heap(),
        terminal: int | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Run a script in a new VM. now_us: virtual time; power_on_us: when its run time began;
        cut: bytes of flash, NVS and RTC memory until the power goes (0: it stays); terminal: its
        stdin and stdout, where a station may be, else a line on which nothing comes and a pipe."""
        self.starts += 1
        cable = {} if terminal is None else {"STAND_IN_CABLE": "1"}
        quiet, held = os.pipe()
        try:
            return subprocess.Popen(
                [*bands.vm(), "-X", f"heapsize={heap}", "-c", code],
                cwd=self.root,
                env=self.environment(now_us, cause, power_on_us, cut) | cable,
                stdin=quiet if terminal is None else terminal,
                stdout=subprocess.PIPE if terminal is None else terminal,
                stderr=subprocess.PIPE,
                pass_fds=(held,),
            )
        finally:
            os.close(quiet)
            os.close(held)

    def run(self, code: str, timeout_s: float = 600, **how: Any) -> str:
        """Run a script to its end; what it printed. Raises RuntimeError when it failed, and
        subprocess.TimeoutExpired when it does not end."""
        process = self.start(code, **how)
        try:
            out, errors = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
        if process.returncode:
            raise RuntimeError((out + errors).decode(errors="replace")[-3000:])
        return out.decode()
