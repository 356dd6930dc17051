"""The audit log's file: lines of JSON that are only ever added, each bound to the one before.

A line ends in the SHA-256 of all of it before that ("sha256"); "prev" is the one of the line
before, 64 zeros in the first; "seq" counts from 1. So a change of any byte shows, and a line that
is missing or replaced; that lines are missing at the end shows only against a hash of the last line
(the head) that was kept elsewhere.

A line is on the disk when `write` returns. One process writes at a time (flock). What a kill tore
off stays where it is: the next line, "mended", says how many bytes it is and their SHA-256.
"""

import fcntl
import hashlib
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

NAME = "audit.log"  # in the server's directory
START = "0" * 64
MENDED = "mended"
_END = re.compile(rb',"sha256":"([0-9a-f]{64})"\}\n')
_BEGIN = re.compile(rb'\{"seq":([1-9][0-9]{0,14}),')
_END_BYTES = len(',"sha256":""}\n') + 64
# Ends what was torn off, so that it stands for no line whatever it lacks.
_TORN = b"#\n"
_TAIL_BYTES = 65_536
# More than any torn remainder is; what is longer was not written by this program.
_MOST_TORN_BYTES = 1 << 20


@dataclass(frozen=True)
class Head:
    """The newest line: its number and its SHA-256 in hexadecimal."""

    seq: int
    sha256: str


@dataclass(frozen=True)
class Fault:
    """What is wrong with a log first. kind: altered, missing (lines seq to last), order, replaced
    (the line before seq), torn (at the end)."""

    kind: str
    seq: int
    last: int


@dataclass(frozen=True)
class Report:
    """What a log is found to be: good lines up to the first fault, their head, how many torn
    remainders were mended, and whether a kept head is that of one of the lines."""

    lines: int
    head: Head
    mended: int
    fault: Fault | None
    kept: bool


class AuditLog:
    """One log, to write to. Calls may come from several threads, and other processes may write."""

    def __init__(self, path: Path, utc: Callable[[], float] = time.time) -> None:
        """utc: Unix seconds now."""
        self._path = path
        self._utc = utc
        self._mine = threading.Lock()
        self._head: Head | None = None  # of the file as it was `_size` bytes long
        self._size = 0

    def write(self, event: str, account: str | None, **facts: Any) -> int:
        """Add a line; its number. It is on the disk when this returns. Raises OSError, and then
        nothing was added."""
        with self._mine, _held(self._path) as fd:
            size = os.fstat(fd).st_size
            head, torn = self._catch_up(fd, size)
            out = b""
            if torn:
                out = b"" if torn.endswith(b"\n") else _TORN
                rest = torn + out
                lost = {"bytes": len(rest), "torn_sha256": hashlib.sha256(rest).hexdigest()}
                line, head = self._line(head, MENDED, None, lost)
                out += line
            line, head = self._line(head, event, account, facts)
            self._add(fd, size, out + line)
            self._head, self._size = head, size + len(out + line)
            return head.seq

    def _line(
        self, head: Head, event: str, account: str | None, facts: dict[str, Any]
    ) -> tuple[bytes, Head]:
        known = {"seq": head.seq + 1, "utc_s": int(self._utc()), "event": event}
        values = known | {"account": account} | facts | {"prev": head.sha256}
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        body = text.encode("utf-8", "backslashreplace")[:-1]
        digest = hashlib.sha256(body).hexdigest()
        return body + f',"sha256":"{digest}"}}\n'.encode(), Head(head.seq + 1, digest)

    def _add(self, fd: int, size: int, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        except BaseException:
            # Nothing of it counts; what cannot be taken back now is mended later.
            self._head = None
            with suppress(OSError):
                os.ftruncate(fd, size)
            raise

    def _catch_up(self, fd: int, size: int) -> tuple[Head, bytes]:
        # The newest line, and what was torn behind it. A file that lost lines while this process
        # lives is gone on with as if it had them: so that shows.
        if self._head is not None and size <= self._size:
            return self._head, b""
        if self._head is not None:
            found, torn = _tail(fd, self._size, size)
            return found or self._head, torn
        found, torn = _tail(fd, max(0, size - _TAIL_BYTES), size)
        if found is None and size > _TAIL_BYTES:
            found, torn = _tail(fd, 0, size)
        return found or Head(0, START), torn


@contextmanager
def _held(path: Path) -> Generator[int]:
    new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if new:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        yield fd
    finally:
        os.close(fd)


def _tail(fd: int, first: int, size: int) -> tuple[Head | None, bytes]:
    # The last line of some part of a file that looks whole, altered or not, and what is behind it.
    head, whole, at = None, 0, 0
    data = os.pread(fd, size - first, first)
    for line in io.BytesIO(data):
        at += len(line)
        found = _END.fullmatch(line[-_END_BYTES:])
        if found is not None:
            begun = _BEGIN.match(line)
            seq = int(begun[1]) if begun else (head.seq + 1 if head else 1)
            head, whole = Head(seq, found[1].decode()), at
    return head, data[whole:]


def parse(line: bytes) -> dict[str, Any] | None:
    """A line, its newline with it, as it was written; None when it is not what its own hash
    says."""
    found = _END.fullmatch(line[-_END_BYTES:])
    if found is None or hashlib.sha256(line[:-_END_BYTES]).hexdigest() != found[1].decode():
        return None
    try:
        read: Any = json.loads(line)
    except ValueError:
        return None
    return cast(dict[str, Any], read) if isinstance(read, dict) else None


def verify(lines: Iterable[bytes], kept: str | None = None) -> Report:
    """Hold a log against itself. lines: with their newlines; kept: a head that was written down
    before."""
    head, mended, count, found = Head(0, START), 0, 0, kept is None
    torn = b""

    def report(fault: Fault | None) -> Report:
        return Report(count, head, mended, fault, found)

    for line in lines:
        values = parse(line)
        expected = head.seq + 1
        if values is None:
            torn += line
            if not line.endswith(b"\n"):
                return report(Fault("torn", expected, expected))
            if len(torn) > _MOST_TORN_BYTES:
                break
            continue
        seq: Any = values.get("seq")
        if torn:
            lost = len(torn), hashlib.sha256(torn).hexdigest()
            told = values.get("bytes"), values.get("torn_sha256")
            if values.get("event") != MENDED or seq != expected or told != lost:
                break
            mended += 1
            torn = b""
        if seq != expected:
            ahead = isinstance(seq, int) and seq > expected
            last = seq - 1 if ahead else expected
            return report(Fault("missing" if ahead else "order", expected, last))
        if values.get("prev") != head.sha256:
            return report(Fault("replaced", expected, expected))
        head = Head(expected, str(values["sha256"]))
        count += 1
        found = found or kept == head.sha256
    if torn:
        return report(Fault("altered", head.seq + 1, head.seq + 1))
    return report(None)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a log as it is now, while others may write on. Raises OSError."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        left = os.fstat(file.fileno()).st_size
        fcntl.flock(file, fcntl.LOCK_UN)
        while left:
            line = file.readline(min(left, _MOST_TORN_BYTES))
            if not line:
                return
            left -= len(line)
            yield line
