"""The ledger: bands, stations, batches, segments, marks, cases and swaps, in SQLite or PostgreSQL.

SQLAlchemy Core, which speaks to either (zoneband.server.database); migrations/ brings an older
ledger up to date, all of it or not at all. A ledger that a newer program wrote is refused, never
guessed at.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    inspect,
    select,
)
from sqlalchemy.exc import OperationalError

from zoneband.server import database

_MANY = 500  # values in one SQL list
_MIGRATIONS = Path(__file__).parent / "migrations" / "versions"

meta = MetaData()
# Alembic's own: which revision a ledger is of.
_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


class Unknown(Exception):
    """No such band."""


bands = Table(
    "bands",
    meta,
    Column("id", Integer, primary_key=True),
    Column("serial", String, unique=True, nullable=False),
    Column("board", String, nullable=False),
    Column("role", String, nullable=False),
    Column("base_day", Integer, nullable=False),
    Column("base_key", LargeBinary, nullable=False),
    Column("dock_key", LargeBinary, nullable=False),
    Column("receipt_key", LargeBinary, nullable=False),
    Column("log_format", Integer, nullable=False, default=0),  # the lowest that it writes
    # Whose key the band's dock key is of now; dock_key above is as it was enrolled.
    Column("group_number", Integer, nullable=False, default=1),
    Column("group_generation", Integer, nullable=False, default=1),
)
groups = Table(
    "groups",
    meta,
    Column("number", Integer, primary_key=True),  # 1 to 65535
    Column("name", String, unique=True, nullable=False),
    Column("created_s", BigInteger, nullable=False),
)
group_keys = Table(
    "group_keys",
    meta,
    Column("number", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),  # 1 to 255
    Column("key", LargeBinary, nullable=False),
    Column("created_s", BigInteger, nullable=False),
)
station_groups = Table(
    "station_groups",
    meta,
    Column("station", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("place", Integer, nullable=False),  # 0: the group of the station's new bands
)
orders = Table(
    "orders",
    meta,
    Column("serial", String, primary_key=True),
    Column("number", BigInteger, primary_key=True),  # of this band, from 1
    Column("kind", Integer, nullable=False),  # zoneband.wire.orders
    Column("data", LargeBinary, nullable=False),  # its body
    Column("made_s", BigInteger, nullable=False),
    Column("done_s", BigInteger),
)
stations = Table(
    "stations",
    meta,
    Column("name", String, primary_key=True),
    # zoneband.signing.key_id, and the Ed25519 key (32 bytes); NULL for a station that has none yet.
    Column("key_id", String, unique=True, index=True),
    Column("public_key", LargeBinary),
    Column("enrolled_s", BigInteger),
    Column("revoked_s", BigInteger),
)
station_codes = Table(
    "station_codes",
    meta,
    Column("code_sha256", String, primary_key=True),
    Column("station", String, nullable=False, index=True),  # the name that it is for
    Column("group_names", String, nullable=False),  # JSON: a list, or null for those it served
    Column("expires_s", BigInteger, nullable=False),
    Column("used_key_id", String),  # of the key that came with it, NULL until then
)
station_nonces = Table(
    "station_nonces",
    meta,
    # The first 16 bytes of the SHA-256 of "key_id nonce", of every request that was taken.
    Column("mark", LargeBinary(16), primary_key=True),
    Column("created_s", BigInteger, nullable=False, index=True),
)
batches = Table(
    "batches",
    meta,
    Column("name", String, primary_key=True),
    Column("station", String, nullable=False),
    Column("serial", String, nullable=False, index=True),
    Column("log_id", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("came_s", BigInteger, nullable=False),
    Column("ingested", Boolean, nullable=False),
    # Its encounters that were not kept: of dropped days, or of whoever was erased.
    Column("refused", Integer, nullable=False, default=0),
    Column("dropped_s", BigInteger),  # when its slots were dropped; NULL: they are kept
)
slots = Table(
    "slots",
    meta,
    Column("serial", String, primary_key=True),
    Column("log_id", BigInteger, primary_key=True),
    Column("sector", BigInteger, primary_key=True),
    # Masks of 16 bytes, a bit a slot: records that were taken; slots that some batch brought; those
    # that a tag proves; those that are as the band left them; those that are not; those that are
    # only if a key group that no record proves is the band's.
    Column("seen", LargeBinary, nullable=False),
    Column("held", LargeBinary, nullable=False),
    Column("proved", LargeBinary, nullable=False),
    Column("settled", LargeBinary, nullable=False),
    Column("wrong", LargeBinary, nullable=False),
    Column("doubted", LargeBinary, nullable=False),
    # How many slots are or were so: zoneband.server.parse says what each means.
    Column("torn", Integer, nullable=False),
    Column("altered", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("foreign", Integer, nullable=False),
    Column("sealed", Boolean, nullable=False),  # a slot of format 1 was proved
    Column("chosen", LargeBinary),  # the proved slots, where batches do not agree on the sector
    Column("gone", LargeBinary, nullable=False, default=bytes(16)),  # mask: dropped or erased
)
pieces = Table(
    "pieces",
    meta,
    # What batches brought, sector by sector, in the order in which they came.
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),  # of the batch
    Column("station", String, nullable=False),
    Column("serial", String, nullable=False),
    Column("log_id", BigInteger, nullable=False),
    Column("sector", BigInteger, nullable=False),
    Column("slots", LargeBinary, nullable=False),  # mask
    UniqueConstraint("name", "sector"),
    Index("pieces_of_sectors", "serial", "log_id", "sector"),
)
losses = Table(
    "losses",
    meta,
    # Slots from cursor `first` to before `end` that the band declared lost.
    Column("serial", String, primary_key=True),
    Column("log_id", BigInteger, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("end", BigInteger, primary_key=True),
    Column("reason", Integer, nullable=False),
)
resends = Table(
    "resends",
    meta,
    # Answers that asked a station to pull again from a cursor.
    Column("serial", String, primary_key=True),
    Column("log_id", BigInteger, primary_key=True),
    Column("cursor", BigInteger, primary_key=True),
    Column("name", String, primary_key=True),  # of the batch
)
strips = Table(
    "strips",
    meta,
    # Batches from whose files slots that are gone must still be cut.
    Column("name", String, primary_key=True),
)
kept_receipts = Table(
    "kept_receipts",
    meta,
    # Receipts over slots that are gone: they cannot be made again.
    Column("serial", String, primary_key=True),
    Column("log_id", BigInteger, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("upto", BigInteger, nullable=False),
    Column("mac", LargeBinary, nullable=False),
)
retention = Table(
    "retention",
    meta,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("first_day", Integer, nullable=False),  # UTC day since 1970: days before are dropped
    Column("ran_s", BigInteger, nullable=False),
)
erasures = Table(
    "erasures",
    meta,
    Column("id", String, primary_key=True),
    Column("made_s", BigInteger, nullable=False),
    Column("entry", String, nullable=False),  # JSON, as zoneband.server.erasures writes it
    Column("counts", String),  # JSON: how much was erased, by kind
    Column("done_s", BigInteger),
)
erased_spans = Table(
    "erased_spans",
    meta,
    # What of a band nobody may bring again.
    Column("id", Integer, primary_key=True),
    Column("erasure", String, nullable=False, index=True),  # erasures.id
    Column("serial", String, nullable=False, index=True),
    Column("from_s", BigInteger, nullable=False),
    # NULL: until the band is handed to somebody else than by the hand-out of this number.
    Column("to_s", BigInteger),
    Column("number", BigInteger),
)
erased_people = Table(
    "erased_people",
    meta,
    # Hand-outs of whose persons no record is kept.
    Column("serial", String, primary_key=True),
    Column("number", BigInteger, primary_key=True),
)
rights = Table(
    "rights",
    meta,
    # What wearers asked for by law; kept for good: it proves that they gave consent, and had
    # what they asked for. Times are UTC.
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),  # zoneband.server.rights.KINDS
    Column("serial", String, nullable=False, index=True),
    Column("number", BigInteger, nullable=False),  # of the hand-out; 0: not known
    Column("came_s", BigInteger, nullable=False),
    Column("answer_by_s", BigInteger, nullable=False),
    Column("done_by_s", BigInteger, nullable=False),
    Column("answered_s", BigInteger),
    Column("done_s", BigInteger),
    Column("erasure", String),  # erasures.id, of a deletion that is done
)
key_halves = Table(
    "key_halves",
    meta,
    Column("serial", String, primary_key=True),
    Column("log_id", BigInteger, primary_key=True),
    Column("cursor", BigInteger, primary_key=True),
    Column("half", Integer, nullable=False),  # 0 or 1
    Column("day", Integer, nullable=False),
    Column("key", LargeBinary, nullable=False),  # 16 bytes
    Column("utc_s", BigInteger),  # NULL: no clock point of its boot is known
    Column("boot_id", BigInteger),
    Column("run_s", Float),
)
chains = Table(
    "chains",
    meta,
    Column("id", Integer, primary_key=True),  # growing
    Column("band", Integer, nullable=False, index=True),  # bands.id
    Column("base_day", Integer, nullable=False),
    Column("base_key", LargeBinary, unique=True, nullable=False),
    Column("from_s", BigInteger),  # when the band drew it; NULL: at its enrolment
)
clock_spans = Table(
    "clock_spans",
    meta,
    Column("id", Integer, primary_key=True),
    Column("serial", String, nullable=False, index=True),
    Column("boot_id", BigInteger, nullable=False),
    # From run_s to until_s the offset of UTC to run time was the same.
    Column("run_s", Float, nullable=False),
    Column("until_s", Float, nullable=False),
    Column("utc_s", Float, nullable=False),  # at run_s
    Column("error_ms", BigInteger, nullable=False),
    Column("quality", Integer, nullable=False),  # server.timeline.Quality
    Column("of_band", Boolean, nullable=False),  # the band's own running UTC, as its IDs follow it
    UniqueConstraint("serial", "boot_id", "run_s", "until_s", "quality", "of_band"),
)
marks = Table(
    "marks",
    meta,
    Column("id", Integer, primary_key=True),
    Column("serial", String, nullable=False, index=True),
    Column("log_id", BigInteger, nullable=False),
    Column("sector", BigInteger, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("utc_s", BigInteger),  # NULL: no clock point of its boot is known
    Column("boot_id", BigInteger),
    Column("run_s", Float),
    Column("value", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),
    UniqueConstraint("serial", "log_id", "sector", "slot"),
)
segments = Table(
    "segments",
    meta,
    Column("path", String, primary_key=True),
    Column("day", Integer, nullable=False, index=True),
    Column("rows", Integer, nullable=False),
    Column("level", Integer, nullable=False),  # how often merged
    Column("unresolved", Integer, nullable=False),
    Column("tried", Integer, nullable=False),  # newest chain when these were looked up
    Column("loose", Integer, nullable=False),  # rows whose time no station vouched for
)
cases = Table(
    "cases",
    meta,
    Column("id", Integer, primary_key=True),  # the case's number, as people say it
    Column("serial", String, nullable=False, index=True),
    Column("number", BigInteger),  # of the hand-out, that is the wearer; NULL: not known yet
    # Days in Vietnam, YYYY-MM-DD: first day of illness or day of the test, one of them; and since
    # when the wearer is isolated.
    Column("onset", String),
    Column("tested", String),
    Column("isolated", String),
    Column("state", String, nullable=False),  # open, closed or withdrawn
    Column("declared_s", BigInteger),  # NULL: before this was kept
    Column("ended_s", BigInteger),
    Column("reason", String),
    # Accounts: who declared it, and who else confirmed that.
    Column("declared_by", String),
    Column("confirmed_by", String),
    Column("confirmed_s", BigInteger),
)
case_codes = Table(
    "case_codes",
    meta,
    # What health staff give with a finding, so that a tracer may declare one case.
    Column("code_sha256", String, primary_key=True),
    Column("given_by", String, nullable=False),  # the account
    Column("given_s", BigInteger, nullable=False),
    Column("expires_s", BigInteger, nullable=False),
    Column("case_number", Integer),  # cases.id, NULL until it is used
)
swaps = Table(
    "swaps",
    meta,
    Column("id", Integer, primary_key=True),
    # From from_s to before to_s the wearer of either band had the other one on.
    Column("serial_a", String, nullable=False, index=True),
    Column("serial_b", String, nullable=False, index=True),
    Column("from_s", BigInteger, nullable=False),
    Column("to_s", BigInteger, nullable=False),
    Column("noted_s", BigInteger, nullable=False),
)
sealed = Table(
    "sealed",
    meta,
    Column("name", String, primary_key=True),  # SHA-256 of the record, and its file's name
    Column("station", String, nullable=False),
    Column("kind", Integer, nullable=False),  # zoneband.seal.Kind
    Column("key_number", Integer, nullable=False),
    Column("came_s", BigInteger, nullable=False),
    Column("state", String, nullable=False),  # what became of it: zoneband.server.sealed
    Column("serial", String, index=True),  # known once it was opened
    Column("number", BigInteger),  # of the hand-out
)
events = Table(
    "events",
    meta,
    Column("name", String, primary_key=True),
    Column("serial", String, nullable=False, index=True),
    Column("number", BigInteger, nullable=False),
    Column("event", String, nullable=False),  # returned, lost, found, replaced, retired
    Column("utc_s", BigInteger, nullable=False),
    Column("new_serial", String, index=True),
    Column("new_number", BigInteger),
)


tracers = Table(
    "tracers",
    meta,
    Column("name", String, primary_key=True),
    Column("password", String, nullable=False),  # Argon2id, in its own (PHC) form
    Column("totp_secret", String, nullable=False),  # base32
    Column("totp_used", BigInteger, nullable=False),  # newest 30-second step whose code was taken
    Column("added_s", BigInteger, nullable=False),
    Column("roles", String, nullable=False),  # zoneband.server.roles, with spaces between
)
sessions = Table(
    "sessions",
    meta,
    Column("token_sha256", String, primary_key=True),
    Column("tracer", String, nullable=False, index=True),  # tracers.name
    Column("began_s", BigInteger, nullable=False),
    Column("seen_s", BigInteger, nullable=False),
)
login_tries = Table(
    "login_tries",
    meta,
    # Wrong tries in a row, of a name or from an address.
    Column("subject", String, primary_key=True),
    Column("failed", Integer, nullable=False),
    Column("last_s", BigInteger, nullable=False),
)
calls = Table(
    "calls",
    meta,
    # Every call to a contact of a case, and what came of it; the last one of each counts.
    Column("id", Integer, primary_key=True),
    Column("case_number", Integer, nullable=False, index=True),  # cases.id
    Column("serial", String, nullable=False),
    Column("holder", Integer, nullable=False),  # which wearer in turn, 0 when not known
    Column("state", String, nullable=False),  # zoneband.server.calls
    Column("tracer", String, nullable=False),
    Column("at_s", BigInteger, nullable=False),
)


def open_ledger(directory: Path) -> Engine:
    """The ledger of a server's directory, made or migrated to this program's form. Raises UserError
    when a newer program wrote it, or its database cannot be opened."""
    directory.mkdir(parents=True, exist_ok=True)
    return open_at(database.url_of(directory), directory)


def open_at(url: URL, directory: Path) -> Engine:
    """A directory's ledger that is at some URL, as `open_ledger`."""
    engine = database.connect(url)
    try:
        with engine.connect() as db:
            database.check(db)
            found = revision(db)
        if found != newest():
            with engine.begin() as db:
                database.lock(db)
                if inspect(db).get_table_names():
                    # Read only here: Alembic takes as long as half of a verb.
                    from zoneband.server import migrating

                    migrating.migrate(db, directory)
                else:
                    _make(db)
    except OperationalError as error:
        if url.get_backend_name() == "sqlite":
            raise
        raise database.told(url, error) from error
    return engine


def newest() -> str:
    """The revision of this program: each migration's file begins with its own."""
    return max(path.name for path in _MIGRATIONS.glob("[0-9]*.py")).partition("_")[0]


def revision(db: Connection) -> str | None:
    """The revision that a ledger is of; None for one with nothing in it."""
    if not inspect(db).has_table(_version.name):
        return None
    return db.execute(select(_version.c.version_num)).scalar()


def _make(db: Connection) -> None:
    # A new ledger is as the migrations would leave it.
    meta.create_all(db, checkfirst=False)
    _version.create(db)
    db.execute(_version.insert().values(version_num=newest()))


def rows(db: Connection, column: Column[Any], values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Every row of a table whose column has one of the values, by column name; in no order."""
    every = list(values)
    for at in range(0, len(every), _MANY):
        found = select(column.table).where(column.in_(every[at : at + _MANY]))
        for row in db.execute(found).mappings():
            yield {str(name): value for name, value in row.items()}
