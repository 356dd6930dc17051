"""Which database holds a server's ledger, and what differs between the two that can.

SQLite in the server's own directory, until a PostgreSQL is named by its URL; the URL is then kept
in the directory (`ledger-url`), so that every verb and every later start finds the same ledger. It
never holds a password: that comes from systemd's credential `ledger-password`, from
$ZONEBAND_LEDGER_PASSWORD, or from where PostgreSQL's own tools look ($PGPASSWORD, $PGPASSFILE,
~/.pgpass).
"""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from zoneband import durable, secret_files
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

VARIABLE = "ZONEBAND_LEDGER"
PASSWORD_VARIABLE = "ZONEBAND_LEDGER_PASSWORD"
_CREDENTIAL = "ledger-password"
_EXAMPLE = "postgresql://zoneband@db.example/zoneband"
_DRIVER = "postgresql+psycopg"
# Seconds and milliseconds after which a database that does not answer counts as gone.
_WAITS: dict[str, str | int] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "tcp_user_timeout": 30_000,
}
_BUSY_S = 30.0  # SQLite waits for whoever writes
# A request of each thread that FastAPI has, and what these open beside: a trace holds one until
# its engine has answered.
_POOL: dict[str, int] = {"pool_size": 5, "max_overflow": 45}
# What PostgreSQL says, by SQLSTATE: https://www.postgresql.org/docs/15/errcodes-appendix.html
_DISK_FULL, _LOCKED = "53100", "55P03"
_say = logging.getLogger(__name__)


def read_url(given: str) -> URL:
    """A PostgreSQL URL as the driver takes it. Raises UserError for any other, and for one with a
    password, which everybody on the computer could read."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in ("postgresql", "postgres", _DRIVER):
        raise UserError(
            _("--ledger takes the URL of a PostgreSQL database, such as {example}.").format(
                example=_EXAMPLE
            ),
            ExitCode.USAGE,
        )
    if url.password is not None or "password" in url.query:
        raise UserError(
            _("Leave the password out of the ledger's URL: set {variable}, or use PGPASSFILE.")
            .format(variable=PASSWORD_VARIABLE),
            ExitCode.USAGE,
        )  # fmt: skip
    return url.set(drivername=_DRIVER)


def url_of(directory: Path) -> URL:
    """Where the ledger of a server's directory is. Raises UserError for a kept URL that is none."""
    kept = directory / "ledger-url"
    if kept.exists():
        return read_url(kept.read_text(encoding="utf-8", errors="replace").strip())
    return URL.create("sqlite", database=str(sqlite_file(directory)))


def sqlite_file(directory: Path) -> Path:
    """Where a ledger in SQLite is."""
    return directory / "ledger.sqlite"


def put_away(directory: Path) -> Path:
    """Where a ledger in SQLite is kept when it has moved to PostgreSQL: with all that it held."""
    return directory / "ledger.sqlite.moved"


def exists(directory: Path) -> bool:
    """Whether there is a server's ledger in a directory, or the URL of one."""
    return sqlite_file(directory).exists() or (directory / "ledger-url").exists()


def keep(directory: Path, url: URL) -> None:
    """From now on the ledger of a directory is at a URL."""
    line = url.set(drivername="postgresql").render_as_string(hide_password=True) + "\n"
    durable.write(directory / "ledger-url", lambda f: f.write(line.encode()), 0o600)


def connect(url: URL) -> Engine:
    """An engine whose commits are on the disk when they return. Raises UserError without the
    driver."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _BUSY_S}, **_POOL)
        event.listen(engine, "connect", _durable_sqlite)
        return engine
    given = {name: value for name, value in _WAITS.items() if name not in url.query}
    given |= {} if (secret := _password()) is None else {"password": secret}
    try:
        engine = create_engine(
            url,
            connect_args=given,
            pool_pre_ping=True,
            **_POOL,
        )
    except ImportError as error:
        raise UserError(
            _("A ledger on PostgreSQL needs psycopg: pip install 'psycopg[binary]'."),
            ExitCode.USAGE,
        ) from error
    event.listen(engine, "connect", _durable_postgresql)
    return engine


def _password() -> str | None:
    # None: PostgreSQL's own library looks for it.
    return secret_files.find(_CREDENTIAL, PASSWORD_VARIABLE)


def _durable_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    # What is deleted is overwritten, not only left out.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _durable_postgresql(connection: Any, _record: object) -> None:
    # A receipt must not be given for what a power cut still takes back; some servers commit so.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()


def told(url: URL, error: DBAPIError) -> UserError:
    """Why a PostgreSQL could not be opened or used, in one line."""
    where = url.set(drivername="postgresql").render_as_string(hide_password=True)
    reason = " ".join(str(error.orig).split())
    if "password" in reason or "authentication failed" in reason:
        return UserError(
            _("PostgreSQL refuses the user or password of {url}: set {variable}, or PGPASSFILE.")
            .format(url=where, variable=PASSWORD_VARIABLE)
        )  # fmt: skip
    return UserError(
        _("The ledger {url} cannot be opened: {reason}").format(url=where, reason=reason)
    )


@contextmanager
def telling(directory: Path) -> Generator[None]:
    """What is done meanwhile ends in one line when the ledger's database goes away. Raises
    UserError."""
    try:
        yield
    except DBAPIError as error:
        if not is_gone(error):
            raise
        raise told(url_of(directory), error) from error


def check(db: Connection) -> None:
    """Raise UserError for a database that cannot hold all names."""
    if is_postgresql(db) and db.execute(text("SHOW server_encoding")).scalar() != "UTF8":
        raise UserError(_("The ledger's database must be made with the encoding UTF8."))


def lock(db: Connection) -> None:
    """Let nobody else migrate before this transaction ends. All of it then happens or nothing:
    Python's SQLite would begin no transaction for what makes and changes tables."""
    if is_postgresql(db):
        db.execute(text("SELECT pg_advisory_xact_lock(hashtext('zoneband ledger'))"))
    else:
        db.exec_driver_sql("BEGIN IMMEDIATE")


def is_postgresql(db: Connection) -> bool:
    """Whether a connection is to PostgreSQL."""
    return db.dialect.name == "postgresql"


def upsert(db: Connection, table: Table) -> sqlite.Insert:
    """An insert with `on_conflict_do_nothing` and `on_conflict_do_update`, which both databases
    have under the same names."""
    if is_postgresql(db):
        # Of no use to most servers, and a tenth of a second to read.
        from sqlalchemy.dialects import postgresql

        made: Any = postgresql.insert(table)
        return made
    return sqlite.insert(table)


# Each is made once: that takes longer than it takes a database to carry it out.
_inserts: dict[tuple[str, str], sqlite.Insert] = {}
_replacements: dict[tuple[str, str], sqlite.Insert] = {}


def insert_new(db: Connection, table: Table) -> sqlite.Insert:
    """An insert that leaves alone what is there already."""
    key = db.dialect.name, table.name
    if key not in _inserts:
        _inserts[key] = upsert(db, table).on_conflict_do_nothing()
    return _inserts[key]


def insert_or_replace(db: Connection, table: Table) -> sqlite.Insert:
    """An insert of whole rows, instead of those that have the same primary key."""
    key = db.dialect.name, table.name
    if key not in _replacements:
        new = upsert(db, table)
        keys = list(table.primary_key.columns)
        changed = {column.name: new.excluded[column.name] for column in table.columns}
        for column in keys:
            del changed[column.name]
        _replacements[key] = new.on_conflict_do_update(index_elements=keys, set_=changed)
    return _replacements[key]


def forget(engine: Engine) -> None:
    """Let deleted rows leave the disk: SQLite's go from its log. PostgreSQL's own log (WAL) holds
    them until it is used again; of its tables those that name a wearer are written anew, and in
    those of bands' logs, which may be large, old rows lie in room that the next rows take."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as db:
            db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        for table in ("marks", "clock_spans", "slots"):
            db.exec_driver_sql(f"VACUUM {table}")
        # Nobody can read a table meanwhile: that waits for no question that takes long.
        db.exec_driver_sql("SET lock_timeout = '5s'")
        try:
            for table in ("sealed", "events", "cases", "calls", "swaps"):
                _write_anew(db, table)
        finally:
            db.exec_driver_sql("SET lock_timeout = 0")


def _write_anew(db: Connection, table: str) -> None:
    try:
        db.exec_driver_sql(f"VACUUM FULL {table}")
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCKED:
            raise
        _say.warning(_("Old rows of %s leave the disk at the next run."), table)
        db.exec_driver_sql(f"VACUUM {table}")


def is_full(error: SQLAlchemyError) -> bool:
    """Whether the ledger's disk is full."""
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "sqlstate", None)
    return code == _DISK_FULL if code else "disk is full" in str(error.orig)


def is_gone(error: Exception) -> bool:
    """Whether the ledger's database went away, or is not there."""
    if not isinstance(error, DBAPIError):
        return False
    # What a server says as it stops, starts, or takes no more connections; none: nothing came.
    code = getattr(error.orig, "sqlstate", None)
    away = code is None or code[:2] in ("08", "57") or code == "53300"
    return error.connection_invalidated or (
        isinstance(error, OperationalError) and hasattr(error.orig, "sqlstate") and away
    )


def on_loss(engine: Engine, then: Callable[[], None]) -> None:
    """Call `then` when a connection was lost: whether its commit happened is not known."""

    @event.listens_for(engine, "handle_error")
    def lost(context: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        if context.is_disconnect:
            then()
