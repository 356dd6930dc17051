"""Room on a disk."""

import errno
import os
import shutil
from pathlib import Path

LOW_BYTES = 200 * 1024 * 1024
RESERVE_BYTES = 64 * 1024 * 1024
BLOCK_BYTES = 4096  # what a file takes at least


def nearest(folder: Path) -> Path:
    """The folder, or of those above it the nearest that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def free_bytes(folder: Path) -> int:
    """How much an unprivileged program may still write there; the folder itself may be missing."""
    return shutil.disk_usage(nearest(folder)).free


def reserve(folder: Path) -> None:
    """Raise OSError (ENOSPC) when RESERVE_BYTES or less are free, as for whoever could fill a disk:
    the rest is for what must go on, such as the server's ledger and audit log."""
    if free_bytes(folder) <= RESERVE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
