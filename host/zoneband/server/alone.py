"""One server on a data directory, and one on a ledger: two would merge and sweep each other's
segments away."""

import fcntl
import logging
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.server import database

_LOOK_S = 15.0
_say = logging.getLogger(__name__)


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


@contextmanager
def alone_on_ledger(directory: Path, look_s: float = _LOOK_S) -> Generator[None]:
    """Hold the ledger of a server's directory against servers of other directories; PostgreSQL
    frees it however the process ends. look_s: how often a lost connection is made anew. Raises
    UserError while another one holds it, or the database does not answer."""
    url = database.url_of(directory)
    if url.get_backend_name() == "sqlite":
        yield  # it lies in the directory, which is held
        return
    engine = database.connect(url)
    held: Connection | None = None
    try:
        try:
            held = _hold(engine)
        except DBAPIError as error:
            raise database.told(url, error) from error
        if held is None:
            shown = url.set(drivername="postgresql").render_as_string(hide_password=True)
            raise UserError(
                _("A tracing server of another data directory uses {url}: each has its own ledger.")
                .format(url=shown)
            )  # fmt: skip
        over = threading.Event()
        watch = threading.Thread(target=_watch, args=(engine, held, over, look_s), daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()
    finally:
        engine.dispose()


def _hold(engine: Engine) -> Connection | None:
    # A connection that holds the ledger for as long as it lives.
    db = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    if db.execute(text("SELECT pg_try_advisory_lock(hashtext('zoneband server'))")).scalar():
        return db
    db.close()
    return None


def _watch(engine: Engine, held: Connection | None, over: threading.Event, look_s: float) -> None:
    # Until the server ends. A database that was away has forgotten who held it.
    while not over.wait(look_s):
        try:
            if held is None:
                held = _hold(engine)
                if held is None:
                    _say.error(_("Another tracing server has taken this one's ledger."))
            else:
                held.execute(text("SELECT 1"))
        except DBAPIError:
            if held is not None:
                held.invalidate()
                held.close()
            held = None
    if held is not None:
        held.close()
