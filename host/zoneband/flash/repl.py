"""A band's REPL: get its attention, run scripts on it by mpremote, let its program start again.

mpremote runs as a program, each script through a pipe of its own, so that keys are neither in a
file nor on a command line.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from zoneband.dock.link import LinkLost, open_port

_PROMPT = b">>>"
_REBOOT = b"soft reboot"
# A start takes about a second; a board that comes back over USB needs a moment more, and a small
# computer that writes a whole tray of boards at once a good deal more.
ATTENTION_S = 15.0
_BEAT_S = 0.03
_END = "zoneband-end"
_NOT_RAW = "could not enter raw repl"  # what mpremote says
# Where the application lies: boot.py has said so already where it runs before a raw REPL.
_FIND = "import loader\nloader.find()\n"
# It loads while the band starts, and begins when its standard input ends.
_MPREMOTE = "import sys\nfrom mpremote import main\nsys.stdin.read()\nsys.exit(main.main())"


class NoRepl(Exception):
    """No MicroPython prompt came, or it fell silent."""


class ScriptFailed(Exception):
    """A script ended in an exception on the band; the text is its last line."""


def get_attention(port: str, timeout_s: float = ATTENTION_S) -> None:
    """Ctrl-C until the prompt comes: a starting board throws away what it hears too early.

    Raises NoRepl, or LinkLost when the port cannot be opened."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            with open_port(port) as line:
                _attend(line, deadline)
                return
        except LinkLost:
            # A native USB port is gone while the chip starts.
            if time.monotonic() + 0.3 > deadline:
                raise
            time.sleep(0.2)
    raise NoRepl


def _attend(line: Any, deadline: float) -> None:
    heard = b""
    while time.monotonic() < deadline:
        # Ctrl-B too: whoever was cut off may have left it in the raw REPL.
        line.write(b"\r\x03\x02")
        heard = _read(line, heard, _BEAT_S)
        if heard.rstrip().endswith(_PROMPT):
            return
    raise NoRepl


def _read(line: Any, heard: bytes, timeout_s: float) -> bytes:
    # What was heard last, with all that has come since.
    line.timeout = timeout_s
    heard += line.read(1)
    while line.in_waiting:
        heard += line.read(line.in_waiting)
    return heard[-512:]


def restart(port: str) -> None:
    """Whatever runs ends, and after a soft reset the band's program starts anew. Raises as
    get_attention."""
    deadline = time.monotonic() + ATTENTION_S
    with open_port(port) as line:
        _attend(line, deadline)
        heard = b""
        line.write(b"\x04")
        while _REBOOT not in heard:
            if time.monotonic() > deadline:
                raise NoRepl
            heard = _read(line, heard, 0.2)


class Repl:
    """Scripts on one band, in turn; at most `scripts` of them, and one to leave running. Use as a
    context manager, and `begin` before the first script: until then the port is free."""

    def __init__(self, port: str, scripts: int) -> None:
        self._port = port
        self._scripts = scripts
        self._tried = False  # whether mpremote was started a second time
        self._launch()

    def _launch(self) -> None:
        pipes = [os.pipe() for _n in range(self._scripts + 1)]
        self._inputs = [write for _read, write in pipes]
        # Without "resume": a soft reset comes first, since beside a program that was broken off the
        # heap has no room for the self-test.
        words = ["connect", self._port]
        for read, _write in pipes[:-1]:
            words += ["run", f"/dev/fd/{read}"]
        # Nor has what they leave, in small pieces all over it, room for a band and a dock.
        words += ["soft-reset", "run", "--no-follow", f"/dev/fd/{pipes[-1][0]}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MPREMOTE, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[read for read, _write in pipes],
        )
        for read, _write in pipes:
            os.close(read)
        self._said = b""

    def __enter__(self) -> "Repl":
        return self

    def begin(self) -> None:
        """Take the port, and the band from whatever it does."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.kill()
            self._process.stdin.close()
        for pipe in self._inputs:
            with contextlib.suppress(OSError):
                os.close(pipe)
        self._inputs.clear()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, script: str, timeout_s: float = 15.0) -> Iterator[dict[str, Any]]:
        """Run a script; the JSON objects that it prints, as they come. Raises NoRepl when nothing
        comes for timeout_s, ScriptFailed when the script fails.

        When not even the first script could begin, since a byte was lost on the line, all begins
        once more."""
        first = len(self._inputs) > self._scripts
        self._send(self._inputs.pop(0), f"{_FIND}{script}\nprint({_END!r})\n")
        last = ""
        while (line := self._line(timeout_s)) is not None:
            if line == _END:
                return
            try:
                found = json.loads(line)
            except ValueError:
                last = line or last
                continue
            if isinstance(found, dict):
                yield found
        if _NOT_RAW in last and first and not self._tried:
            self._tried = True
            self._end()
            get_attention(self._port)
            self._launch()
            self.begin()
            yield from self.run(script, timeout_s)
            return
        if "Error" in last or "Exception" in last:
            raise ScriptFailed(last)
        raise NoRepl

    def leave(self, script: str) -> None:
        """Start the last script and let it run on; the port is free when this returns."""
        while len(self._inputs) > 1:
            os.close(self._inputs.pop(0))
        self._send(self._inputs.pop(0), script)
        try:
            self._process.wait(ATTENTION_S)
        except subprocess.TimeoutExpired as error:
            raise NoRepl from error

    def _send(self, pipe: int, text: str) -> None:
        try:
            with os.fdopen(pipe, "wb") as f:
                f.write(text.encode())
        except OSError as error:
            raise NoRepl from error

    def ask(self, script: str) -> dict[str, Any]:
        """The first object that a script prints. Raises as `run`; NoRepl when it prints none."""
        answers = list(self.run(script))
        if not answers:
            raise NoRepl
        return answers[0]

    def _line(self, timeout_s: float) -> str | None:
        # The next line, None at the end or when it does not come in time.
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._said:
                left = deadline - time.monotonic()
                if left <= 0 or not waiting.select(left):
                    self._process.kill()
                    return None
                data = os.read(self._process.stdout.fileno(), 4096)
                if not data:
                    return None
                self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line.decode(errors="replace").strip("\r\x04")
