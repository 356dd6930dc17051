"""What several tests need: the VM, a band's store and flash, a log with records in it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(ROOT / "host" / "zoneband" / "sim" / "vm"))
from nor import NorFlash, PowerCut  # noqa: E402, F401

from zoneband.sim import band as bands  # noqa: E402


def run_in_vm(code: str, heap: str = "110wK", path: str = "") -> str:
    """Run code in the MicroPython VM with the firmware on its path; what it printed."""
    env = {**os.environ, "MICROPYPATH": f"{path}:.frozen:{ROOT / 'firmware'}"}
    done = subprocess.run(
        [*bands.vm(), "-X", f"heapsize={heap}", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        env=env,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class MemoryNvs:
    """The calls of esp32.NVS, kept in a dict that outlives a power cut."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get_i32(self, name: str) -> int:
        if name not in self.values:
            raise OSError(-4354)
        return self.values[name]

    def set_i32(self, name: str, value: int) -> None:
        assert len(name) <= 15 and -(1 << 31) <= value < 1 << 31
        self.values[name] = value

    def get_blob(self, name: str, buf: bytearray) -> int:
        if name not in self.values:
            raise OSError(-4354)
        buf[: len(self.values[name])] = self.values[name]
        return len(self.values[name])

    def set_blob(self, name: str, value: bytes) -> None:
        assert len(name) <= 15
        self.values[name] = bytes(value)

    def commit(self) -> None:
        pass


def flash_encounters(image: bytes, serial: str, receipt_key: bytes) -> list[tuple[int, Any]]:
    """(run time of the start, fields of wire.readers.read_encounter) in an image of `bandlog` of a
    virtual band, in order of their places."""
    from zoneband.batch import Batch
    from zoneband.server.opener import Opener
    from zoneband.server.parse import encounters, parse
    from zoneband.sim import keys
    from zoneband.wire import log

    chunks: list[tuple[int, bytes]] = []
    log_id = 0
    for at in range(0, len(image), log.SECTOR_BYTES):
        header = log.unpack_header(image[at : at + log.SLOT_BYTES])
        if header is not None:
            log_id = header[2]
            chunks.append((log.cursor(header[3], 0), image[at : at + log.SECTOR_BYTES]))

    class Header:
        pass

    made: Any = Header()
    made.log_id = log_id
    opener = Opener({keys.AUTHORITY_NUMBER: keys.PRIVATE_KEY}, serial, receipt_key)
    found = parse(Batch(made, tuple(chunks)), opener)
    return [(p.base_s + f[1], f) for p, f in encounters(found)]
