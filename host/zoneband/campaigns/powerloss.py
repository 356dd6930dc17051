"""What a loss of power takes from a directory: all that nobody had synced.

`kill -9` alone cannot show a missing fsync, since the kernel still writes what it holds. So a
process notes what it syncs and renames, and afterwards everything else is taken back: a file whose
bytes were not synced is emptied, a name whose directory was not synced is gone. SQLite's own files
are left as they are: with synchronous=FULL it syncs for itself, from C.
"""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SQLITE = (".sqlite", ".sqlite-wal", ".sqlite-shm")


def keep_journal(path: str) -> None:
    """From here on this process notes in a file what it syncs, renames and makes."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(*words: object) -> None:
        os.write(fd, json.dumps(words).encode() + b"\n")

    sync, replace, make = os.fsync, os.replace, os.mkdir

    def fsync(of: int) -> None:
        sync(of)
        found = os.fstat(of)
        if stat.S_ISDIR(found.st_mode):
            note("folder", found.st_ino)
        else:
            note("file", found.st_ino, found.st_size)

    def replacing(source: Any, target: Any, **more: Any) -> None:
        found = os.stat(source)
        # Noted first: a name that is there and that nobody noted would count as an old one.
        note("name", os.stat(Path(target).parent).st_ino, Path(target).name, found.st_ino)
        replace(source, target, **more)

    def making(of: Any, *more: Any, **named: Any) -> None:
        make(of, *more, **named)
        note("name", os.stat(Path(of).parent).st_ino, Path(of).name, os.stat(of).st_ino)

    patches: dict[str, Callable[..., None]] = {
        "fsync": fsync, "replace": replacing, "rename": replacing, "mkdir": making,
    }  # fmt: skip
    for name, function in patches.items():
        setattr(os, name, function)


def inodes(root: Path) -> set[int]:
    """All files and folders there are, which count as durable."""
    return {path.stat().st_ino for path in root.rglob("*")}


def take_back(root: Path, journal: Path, durable: set[int]) -> int:
    """Leave of a directory what a loss of power leaves, by the journal of those who wrote there,
    all of whom are gone; durable: `inodes` of when it began. How much was taken back."""
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("]")]
    synced: dict[int, int] = {}
    pending: dict[int, dict[str, int]] = {}
    named: set[tuple[int, str, int]] = set()
    for kind, inode, *more in lines:
        if kind == "file":
            synced[inode] = more[0]
        elif kind == "name":
            pending.setdefault(inode, {})[more[0]] = more[1]
        else:
            named |= {(inode, name, of) for name, of in pending.pop(inode, {}).items()}
    taken = 0
    for path in sorted(root.rglob("*")):
        if not path.exists() or path.name.endswith(_SQLITE) or path.name == "lock":
            continue
        found = path.stat()
        if found.st_ino in durable:
            continue
        if (path.parent.stat().st_ino, path.name, found.st_ino) not in named:
            taken += _remove(path)
        elif path.is_file() and synced.get(found.st_ino) != found.st_size:
            os.truncate(path, 0)
            taken += 1
    return taken


def _remove(path: Path) -> int:
    if not path.is_dir():
        path.unlink()
        return 1
    inside = sum(_remove(each) for each in path.iterdir())
    path.rmdir()
    return inside + 1
