"""The launcher and the tree: what a stranger meets first."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support import ROOT


def launch(path: str, *words: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(root / "zoneband"), *words],
        capture_output=True,
        text=True,
        env={"PATH": path},
        timeout=60,
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout without .venv and a PATH with only what a test puts there."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("zoneband", "requirements"):
        (root / name).symlink_to(ROOT / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dirname", "cat", "cksum", "rm", "uname", "sh"):
        real = subprocess.check_output(["sh", "-c", f"command -v {name}"], text=True).strip()
        (tools / name).symlink_to(real)
    # The launcher finds its own folder by its path, so it must be a real file there.
    (root / "zoneband").unlink()
    (root / "zoneband").write_text((ROOT / "zoneband").read_text())
    return root


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text("#!/bin/sh\n" + text)
    (folder / name).chmod(0o755)


def one_line(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_without_a_new_enough_python_one_line_says_what_to_install(bare: Path) -> None:
    tools = bare.parent / "bin"
    one_line(launch(str(tools), "doctor", root=bare), 2, "apt install python3")
    program(tools, "python3", "exit 1\n")
    one_line(launch(str(tools), "doctor", root=bare), 2, "Python 3.11")


def test_without_venv_one_line_says_what_to_install(bare: Path) -> None:
    tools = bare.parent / "bin"
    program(tools, "python3", 'case "$2" in *ensurepip*) exit 1;; esac\nexit 0\n')
    one_line(launch(str(tools), "doctor", root=bare), 2, "apt install python3-venv")


def test_on_arm_the_demo_says_what_is_missing(bare: Path) -> None:
    tools = bare.parent / "bin"
    (tools / "uname").unlink()
    program(tools, "uname", '[ "$1" = -s ] && echo Linux || echo aarch64\n')
    one_line(launch(str(tools), "demo", root=bare), 2, "no MicroPython VM")


def test_requirements_are_hashed_and_name_no_host() -> None:
    for name in ("station.txt", "all.txt"):
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text and "--index" not in text and "--find" not in text
        pins = re.findall(r"^[a-z0-9._-]+==", text, re.M | re.I)
        assert len(pins) > 15
        for block in re.split(r"\n(?=[a-zA-Z0-9])", text):
            if "==" in block.split("\n")[0]:
                assert "--hash=sha256:" in block
    station = (ROOT / "requirements/station.txt").read_text()
    for heavy in ("duckdb", "pyarrow", "bumble", "fastapi", "jonnor"):
        assert heavy not in station


def test_an_error_is_one_line_and_its_code(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "host"), "LANG": "C"}
    for words, code in (
        (["dock", "--once", "--port", "/dev/none", "--data", str(tmp_path)], 3),
        (["--lang", "xx", "doctor"], 2),
        (["station", "init", "--server", "http://10.1.2.3", "--code", "x"], 2),
        (["upload", "--data", str(tmp_path)], 2),
        (["serve", "--host", "0.0.0.0"], 2),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "zoneband", *words],
            capture_output=True, text=True, env=env, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stdout + done.stderr


def test_a_wheel_holds_the_shared_formats_and_the_firmware(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
        + ["-w", str(tmp_path), str(ROOT)],
        check=True,
        timeout=100,
    )
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "zoneband/wire/frames.py",
        "zoneband/firmware/main.py",
        "zoneband/firmware/band/ring.py",
        "zoneband/sim/vm/machine.py",
        "zoneband/locale/vi/LC_MESSAGES/zoneband.po",
        "zoneband/tracing/evidence.sql",
    ):
        assert wanted in names
    # Installed alone, it finds its shared formats and its firmware.
    where = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(where)
    done = subprocess.run(
        [sys.executable, "-c", "from zoneband.wire import frames; from zoneband.flash import app;"
         "print(frames.__file__, (app.FIRMWARE / 'main.py').exists())"],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(where)},
    )  # fmt: skip
    assert done.stdout.split() == [str(where / "zoneband/wire/frames.py"), "True"], done.stderr


def test_bench_prints_one_list_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zoneband", "bench", "--json", "--only"]
        + ["log_erases_per_124,littlefs_bytes_per_slot_byte"],
        capture_output=True, text=True, cwd=ROOT, timeout=100,
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == ["log_erases_per_124", "littlefs_bytes_per_slot_byte"]
    for row in rows:
        assert set(row) == {"name", "value", "unit", "bar", "ok"}
        assert isinstance(row["value"], float)
    assert (rows[0]["bar"], rows[0]["ok"]) == (1.01, True)
    assert (rows[1]["bar"], rows[1]["ok"]) == (None, None)
    unknown = subprocess.run(
        [sys.executable, "-m", "zoneband", "bench", "--only", "nothing"],
        capture_output=True, text=True, cwd=ROOT, timeout=100,
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
    )  # fmt: skip
    assert unknown.returncode == 2 and unknown.stderr.count("\n") == 1


def test_modules_stay_small() -> None:
    for path in (ROOT / "firmware").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 250, path
    for path in (ROOT / "host").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 600, path
