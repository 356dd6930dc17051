"""How fast and how surely boards become bands, on a virtual tray whose lines keep their pace."""

import base64
import json
import os
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.rows import rows

# Assumed: 64 KiB erased in 150 ms, a page of 256 bytes programmed in 0.4 ms, as data sheets of such
# flash call typical. Shown beside the ratio, since the virtual chip takes no time for either; a
# real one programs while the next block comes, so this is an upper bound.
_ERASE_S, _PROGRAM_S = 0.150, 0.0004


@contextmanager
def _shop(**values: Any) -> Iterator[Any]:
    from zoneband.sim.workshop import Workshop

    with tempfile.TemporaryDirectory() as folder, Workshop(Path(folder), **values) as shop:
        yield shop


@rows(("flash_tray_8", "bands", ">=", 7))
def tray() -> dict[str, float]:
    """`flash.sh --tray` on eight boards, the third with bad flash: how many good bands came, if
    the bad one was named."""
    from zoneband.sim.image import PROGRAM_BYTES
    from zoneband.sim.rom import RomFaults

    root = Path(__file__).parents[2]
    with _shop(program_bytes=PROGRAM_BYTES, baud=460_800) as shop:
        for slot in range(1, 9):
            shop.tray.put(
                slot, shop.tray.add(faults=RomFaults(damage_block=9 if slot == 3 else None))
            )
        env = os.environ | {"ZONEBAND_PORTS": str(shop.tray.ports), "ZONEBAND_DATA": str(shop.data)}
        done = subprocess.run(
            ["/bin/sh", str(root / "flash.sh"), "--tray", "--once", "--board", shop.kind.name]
            + ["--json"],
            capture_output=True,
            text=True,
            env=env,
            timeout=600,
        )
        results = json.loads(done.stdout)
        bad = [Path(r["port"]).name for r in results if r["outcome"] != "done"]
        assert bad == ["slot-3"] and done.returncode == 4, results
        good = [r["serial"] for r in results if r["outcome"] == "done"]
        assert len(set(good)) == len(good)
        for slot in (1, 8):
            assert shop.greet(shop.tray.ports / f"slot-{slot}").serial in good
    return {"flash_tray_8": float(len(good))}


def _line_s(shop: Any, baud: int) -> float:
    # What image and firmware need on the line: the image deflated as a whole, the firmware's own
    # compiled files as they are.
    from zoneband.flash import app

    image = len(zlib.compress(shop.tray.image.read_bytes(), 9))
    compiled = sum(len(d) for n, d in app.compile_firmware().items() if n.endswith(".mpy"))
    return (image + compiled) * 10 / baud


def _ratio(baud: int) -> dict[str, float]:
    from zoneband.sim.image import PROGRAM_BYTES

    with _shop(program_bytes=PROGRAM_BYTES, baud=baud) as shop:
        board = shop.tray.add()
        port = shop.tray.put(1, board)
        result = shop.flash(port)
        assert result.outcome == "done", result
        rom = board.rom
        modelled_s = rom.erased_sectors / 16 * _ERASE_S + rom.programmed_bytes / 256 * _PROGRAM_S
        return {
            f"flash_line_ratio_{baud}": result.seconds / _line_s(shop, baud),
            f"flash_modelled_s_{baud}": result.seconds + modelled_s,
        }


@rows(
    ("flash_line_ratio_460800", "ratio", "<=", 1.25),
    ("flash_modelled_s_460800", "s", None, None),
)
def line_460800() -> dict[str, float]:
    """A blank board to a tested band over what the line needs; and with modelled flash time."""
    return _ratio(460_800)


@rows(
    ("flash_line_ratio_921600", "ratio", "<=", 1.25),
    ("flash_modelled_s_921600", "s", None, None),
)
def line_921600() -> dict[str, float]:
    """The same at 921,600 baud."""
    return _ratio(921_600)


@rows(("flash_unchanged_s", "s", "<=", 5))
def unchanged() -> dict[str, float]:
    """Updating a band on which everything stands already, with a whole image."""
    from zoneband.sim.image import PROGRAM_BYTES

    with _shop(program_bytes=PROGRAM_BYTES) as shop:
        port = shop.tray.put(1, shop.tray.add())
        assert shop.flash(port).outcome == "done"
        began = time.monotonic()
        again = shop.flash(port)
        spent = time.monotonic() - began
        assert again.outcome == "done" and len(again.skipped) == 4
        return {"flash_unchanged_s": spent}


@rows(("flash_interrupts_ok", "boards", ">=", 40), large=True)
def interrupts() -> dict[str, float]:
    """Of forty boards whose flashing was cut at random and begun again, those that are good bands
    with their log and keys kept."""
    from zoneband.sim import interrupts as cuts

    with tempfile.TemporaryDirectory() as folder:
        found = cuts.run(Path(folder), 40, int(time.time()))
    return {"flash_interrupts_ok": float(sum(not each.faults for each in found))}


def _forms(secret: bytes) -> Iterable[bytes]:
    # As it is, and as text would hold it.
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield base64.b64encode(secret).rstrip(b"=")
    yield base64.urlsafe_b64encode(secret).rstrip(b"=")


def secrets_in(folder: Path, secrets: Iterable[bytes]) -> list[str]:
    """Files below a folder that hold a secret in clear."""
    forms = [form for secret in secrets for form in _forms(secret)]
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [str(path) for form in forms if form in data]
    return found


@rows(("flash_secrets_in_clear", "secrets", "<=", 0))
def clear() -> dict[str, float]:
    """Keys of five bands found in the provisioning computer's files, temporary ones of the run
    included, while it went on and after it."""
    from zoneband.flash.job import FlashJob
    from zoneband.flash.keys import BandKeys, make
    from zoneband.flash.plan import Plan

    made: list[BandKeys] = []
    seen: list[str] = []

    def make_keys(group: int, generation: int, group_key: bytes) -> BandKeys:
        made.append(make(group, generation, group_key))
        return made[-1]

    with _shop() as shop, tempfile.TemporaryDirectory() as temporary:
        before, tempfile.tempdir = tempfile.tempdir, temporary
        try:
            for _n in range(5):
                port = shop.tray.put(1, shop.tray.add())

                def look(_step: str, _share: float) -> None:
                    keys = [k for m in made for k in (m.base_key, m.dock_key, m.receipt_key)]
                    for folder in (shop.data, Path(temporary)):
                        seen.extend(secrets_in(folder, keys))

                job = FlashJob(
                    str(port), Plan(shop.request()), shop.spool, shop.inventory, look, make_keys
                )
                assert job.run().outcome == "done"
                shop.tray.pull(1)
            look("", 0.0)
        finally:
            tempfile.tempdir = before
        # The search itself finds what is there.
        (shop.data / "planted").write_bytes(made[0].base_key.hex().encode())
        assert secrets_in(shop.data, [made[0].base_key])
    return {"flash_secrets_in_clear": float(len(seen))}
