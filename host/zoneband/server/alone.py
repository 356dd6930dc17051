"""One server on a data directory: two would merge and sweep each other's segments away."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from zoneband.errors import UserError
from zoneband.i18n import _


class Running(UserError):
    """Another process holds the directory."""


@contextmanager
def alone(directory: Path) -> Generator[None]:
    """Hold a server's directory; the kernel frees it however the process ends. Raises Running
    while another process holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            raise Running(
                _("A tracing server runs on {path} already (process {process}).").format(
                    path=directory, process=holder
                )
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def held(directory: Path) -> bool:
    """Whether a server holds a directory now."""
    try:
        fd = os.open(directory / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
