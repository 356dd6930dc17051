"""Processes of Zoneband that start in milliseconds, can be killed at any moment, and live by a
clock that can jump.

One process has read the whole program and forks the others: a verb, as `zoneband` would run it, or
a function. What they make durable is noted for zoneband.campaigns.powerloss.
"""

import contextlib
import ctypes
import importlib
import json
import mmap
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

_PRELOAD = (
    "zoneband.cli.main", "zoneband.cli.serve", "zoneband.cli.upload", "zoneband.server.app",
    "zoneband.server.wholeness", "zoneband.campaigns.docks", "uvicorn",
    "uvicorn.protocols.http.auto", "uvicorn.lifespan.on",
)  # fmt: skip
_ROOT = Path(__file__).parents[2]
NO_LIMIT = resource.RLIM_INFINITY


class Clock:
    """How far a process's clock is ahead, in a file that it shares."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        self.path = path
        with path.open("r+b") as f:
            self._shared = mmap.mmap(f.fileno(), 8)

    @property
    def ahead_s(self) -> float:
        """Seconds that the clock is ahead."""
        return struct.unpack("<d", self._shared)[0]

    @ahead_s.setter
    def ahead_s(self, seconds: float) -> None:
        self._shared[:] = struct.pack("<d", seconds)


class Child:
    """A process out of the nursery."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = -1  # it has ended, and is gone

    def over(self) -> bool:
        """Whether it has ended."""
        return self.wait(0)

    def alive(self) -> bool:
        """Whether it runs."""
        return not self.over()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after that long at most."""
        if self._fd >= 0 and select.select([self._fd], [], [], seconds)[0]:
            os.close(self._fd)
            self._fd = -1
        return self._fd < 0

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self._fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    def kill(self) -> None:
        """`kill -9`, and until it is gone."""
        self.send(signal.SIGKILL)
        self.wait(30)

    def limit(self, file_bytes: int) -> None:
        """From here on a file can grow no further than that, as on a full disk; NO_LIMIT: it
        can."""
        if self._fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (file_bytes, NO_LIMIT))


class Nursery:
    """Starts processes. Use as a context manager: at its end all of them are killed."""

    def __init__(self, changes: str = "") -> None:
        """changes: Python that each process runs first, for tests of a trial."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
        )
        self._children: list[Child] = []
        self._ask({"changes": changes})

    def _ask(self, words: dict[str, Any]) -> int:
        told, answers = self._process.stdin, self._process.stdout
        assert told is not None and answers is not None
        told.write(json.dumps(words).encode() + b"\n")
        told.flush()
        return int(answers.readline())

    def start(
        self,
        call: str,
        words: list[str],
        out: Path,
        clock: Clock,
        journal: Path | None = None,
        env: dict[str, str] | None = None,
        file_bytes: int = NO_LIMIT,
    ) -> Child:
        """Run "module:function" with the words as its command line; what it prints is added to
        `out`; journal: where what it makes durable is noted; file_bytes: as Child.limit."""
        facts = {"call": call, "words": words, "out": str(out), "clock": str(clock.path)}
        facts |= {"journal": str(journal) if journal else ""}
        child = Child(self._ask({**facts, "env": env or {}, "file_bytes": file_bytes}))
        self._children = [each for each in self._children if each.alive()]
        self._children.append(child)
        return child

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._children:
            child.kill()
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(30)


# --- in the nursery itself ------------------------------------------------------------------------


def main() -> None:
    """Read the program, then fork for each line that comes."""
    ahead: list[mmap.mmap] = []
    real = time.time

    def utc_s() -> float:
        return real() + struct.unpack("<d", ahead[0])[0] if ahead else real()

    time.time = utc_s  # before anybody keeps the real one
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it does not outlive its trial
    for name in _PRELOAD:
        with contextlib.suppress(ImportError, AttributeError):
            importlib.import_module(name)
    changes = ""
    for line in sys.stdin:
        facts = json.loads(line)
        if "changes" in facts:
            changes = facts["changes"]
            print(0, flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = _live(facts, changes, ahead)
            finally:
                sys.stdout.flush()
                os._exit(status)
        print(pid, flush=True)


def _live(facts: dict[str, Any], changes: str, ahead: list[mmap.mmap]) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    out = os.open(facts["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, to in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(fd, to)
    with open(facts["clock"], "r+b") as f:
        ahead.append(mmap.mmap(f.fileno(), 8))
    if facts["journal"]:
        from zoneband.campaigns import powerloss

        powerloss.keep_journal(facts["journal"])
    os.environ.update(facts["env"])
    _hurry()
    exec(changes, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (facts["file_bytes"], NO_LIMIT))
    module, _, function = facts["call"].partition(":")
    sys.argv = ["zoneband", *facts["words"]]
    work: Callable[[], object] = getattr(importlib.import_module(module), function)
    try:
        work()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _hurry() -> None:
    # A trial has no minutes to wait for a server that is away.
    from zoneband import upload

    upload._FIRST_WAIT_S = 0.02  # pyright: ignore[reportPrivateUsage]
    upload._LONGEST_WAIT_S = 0.1  # pyright: ignore[reportPrivateUsage]
