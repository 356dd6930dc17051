"""Files that are whole and on the disk, or not there at all; and the folders they are in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_folders: set[Path] = set()  # whose names this process knows to be on the disk


def write(path: Path, fill: Callable[[BinaryIO], object], mode: int = 0o644) -> None:
    """Make or replace a file by what `fill` writes; after a crash the old one or the new one is
    there. Raises OSError, and then leaves nothing of the new one."""
    temporary = path.with_name(path.name + ".new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(fd, "wb") as f:
            fill(f)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def folder(path: Path) -> None:
    """Make a folder, unless it is there; its name is on the disk when this returns. Raises
    OSError."""
    if path in _folders and path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True)
    # Also of one that is there: whoever made it may have been killed before this.
    _sync(path.parent)
    _folders.add(path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
