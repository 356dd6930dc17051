"""The table of names (MicroPython's qstr pools) does not grow in a worn band.

It is a chain of pools of 20, 40 ... 640 names (py/qstr.c); the next is of 1,280, about 9 KB in one
piece on an ESP32. A heap that has been in use for weeks may have no such piece, however much of it
is free. There, all other modules have their names in ROM: only the firmware's take room.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from zoneband.flash import app
from zoneband.sim import firmware as compiling
from zoneband.sim.solo import Solo, compile_all

POOLS = sum(20 << n for n in range(6))
# For what an engineer brings over the cable. Names that an ESP32 has in ROM are counted as well.
SPARE = 20
# Loaded only where a band is made, or only on a computer.
ELSEWHERE = ("band/setup.mpy", "wire/enrol.mpy", "wire/readers.mpy")


def names(compiled: bytes) -> Iterator[bytes]:
    """A compiled file's names (docs.micropython.org/en/latest/reference/mpyfiles.html, version 6),
    but for those that each MicroPython has built in, which stand in it by number."""
    at = 4

    def number() -> int:
        nonlocal at
        value = 0
        while True:
            value = value << 7 | compiled[at] & 0x7F
            at += 1
            if not compiled[at - 1] & 0x80:
                return value

    count, _objects = number(), number()
    for _n in range(count):
        size = number()
        if not size & 1:
            yield compiled[at : at + (size >> 1)]
            at += (size >> 1) + 1  # and a NUL


def test_all_that_a_worn_band_ever_loads_leaves_its_table_of_names_as_it_is() -> None:
    loaded = {"loader.mpy": app.compile_firmware()["loader.mpy"]} | {
        name: data for name, data in app.compile_app().items() if name not in ELSEWHERE
    }
    found = {name for data in loaded.values() for name in names(data)}
    assert b"carry_out" in found and b"band.session" in found
    # A module's path is one more, and so are a line's own names in boot.py and main.py.
    assert len(found) + len(loaded) <= POOLS - SPARE


def test_a_traceback_names_a_module_by_a_name_that_the_band_has_anyway() -> None:
    for path, data in app.compile_app().items():
        assert next(names(data)).decode() == path.removesuffix(".mpy").replace("/", ".")


def test_a_virtual_band_has_room_for_the_stand_ins_names_from_its_start(tmp_path: Path) -> None:
    solo = Solo(tmp_path / "band", compile_all(tmp_path / "compiled"))
    app_files = (
        name.removesuffix(".mpy").replace("/", ".")
        for name in app.compile_app()
        if name not in ELSEWHERE
    )
    stand_ins = (path.stem for path in compiling.stand_ins().glob("*.mpy"))
    tell = "micropython.qstr_info()\n"
    # A script that holds as much as the pool takes is not taken for the pool.
    code = "held = bytes(20000)\nimport micropython, _air\n" + tell
    code += "".join(f"import {name}\n" for name in (*stand_ins, *app_files) if name != "start")
    at_start, after = re.findall(
        r"n_pool=(\d+), n_qstr=(\d+),", solo.run(code + tell, heap="400wK")
    )
    assert at_start[0] == after[0], (at_start, after)
    assert POOLS < int(at_start[1]) < int(after[1])
