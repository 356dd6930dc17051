"""Room on a disk."""

import shutil
from pathlib import Path

LOW_BYTES = 200 * 1024 * 1024


def free_bytes(folder: Path) -> int:
    """How much an unprivileged program may still write there; the folder itself may be missing."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
