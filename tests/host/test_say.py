"""Messages end their lines between words on a terminal, and are one line everywhere else."""

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from support import ROOT
from zoneband.say import fitted

URL = "https://tracing.example.vn:8470/" + "x" * 60
TEXT = "Register this station anew. " * 4 + f"See {URL} for ZB-ESWY-1RZN."


def sized(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """A terminal: its far end, and the near one to write to."""
    far, near = pty.openpty()
    with os.fdopen(near, "w") as stream:
        yield far, stream
    os.close(far)


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_no_word_is_broken_at_the_edge_of_a_terminal(
    terminal: tuple[int, TextIO], columns: int
) -> None:
    far, stream = terminal
    sized(far, columns)
    lines = fitted(TEXT, stream).split("\n")
    assert len(lines) > 2 and " ".join(lines).split() == TEXT.split()
    assert all(len(line) <= columns for line in lines if URL not in line)
    assert URL in " ".join(lines)  # to copy


def test_a_script_gets_a_message_on_one_line() -> None:
    assert fitted(TEXT, io.StringIO()) == TEXT


def test_lines_that_a_message_has_stay_lines(terminal: tuple[int, TextIO]) -> None:
    far, stream = terminal
    sized(far, 80)
    assert fitted("one\n\n  two", stream) == "one\n\n  two"


def test_an_error_is_wrapped_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "zoneband", "dock", "--once", "--data", str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "host"), "ZONEBAND_PORTS": str(tmp_path / "none")}
    plain = subprocess.run(words, capture_output=True, text=True, env=env, timeout=60)
    assert plain.returncode == 3 and plain.stderr.count("\n") == 1
    far, near = pty.openpty()
    sized(far, 40)
    done = subprocess.run(words, stderr=near, env=env, timeout=60)
    said = os.read(far, 4096).decode().split("\r\n")
    os.close(far), os.close(near)
    assert done.returncode == 3 and " ".join(said).split() == plain.stderr.split()
    assert len(said) > 2 and all(len(line) <= 40 for line in said)
