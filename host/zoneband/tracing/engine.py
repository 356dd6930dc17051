"""The engine that every question is asked of, over the encounters' Parquet files: DuckDB in this
process, or Apache Spark over Spark Connect. Both run the same text (contacts.sql, evidence.sql)
over the same view and the same small tables beside it; values are bound only by these tables.

A missing or damaged file costs its own rows only, and is named. An engine that cannot answer is a
Fault: no other one answers in its place.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from zoneband.arrow import column

DUCKDB = "duckdb"
COLUMNS = (
    "observer", "contact", "start_s", "duration_s", "sightings", "rssi_mean", "rssi_max", "due_s",
    "clock", "log_id", "sector", "slot", "boot_id", "run_s", "shares",
)  # fmt: skip
"""What the questions read of a segment, all BIGINT; what older segments lack is NULL."""
Number = int | float | None
NOBODY = -2


class Wearing(NamedTuple):
    """In [from_s, to_s) a band was on whoever usually wears another one; wearer=NOBODY: whoever
    had it is left out. Of one band these do not overlap."""

    band: int
    wearer: int
    from_s: int
    to_s: int


class Bad(NamedTuple):
    """A segment that cannot be read; missing: it is not there at all."""

    path: Path
    missing: bool


class Fault(Exception):
    """The engine cannot answer. code: why, as zoneband.tracing.case_words puts into words; values:
    what is filled in there. wrong: what was given names no engine."""

    def __init__(self, code: str, *, wrong: bool = False, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.wrong = wrong
        self.values = values


class Session(Protocol):
    """One connection to an engine. What goes wrong in Spark is a Fault."""

    def segments(self, files: Sequence[Path]) -> set[Path]:
        """Make the view `segments` of COLUMNS over these files; those that cannot be read are left
        out and returned."""
        ...

    def put(self, name: str, made: pa.Table) -> None:
        """Make or replace a small table."""
        ...

    def run(self, sql: str) -> None:
        """Run a statement that answers nothing."""
        ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that a question is answered by, in its order."""
        ...


@contextmanager
def opened(
    files: Sequence[Path],
    damaged: Callable[[Iterable[Path]], set[Path]] = lambda _paths: set(),
    wearings: Sequence[Wearing] = (),
    engine: str = DUCKDB,
) -> Generator[tuple[Session, list[Bad]]]:
    """A session with the view `encounters` over the files that are there and readable, and those
    that are not. damaged: which files are not as they were written; engine: as `checked` takes it.
    Raises Fault.

    Whose a band was is settled in the view: observer and contact are the band ids of the wearers'
    usual bands, observer_band and contact_band the bands themselves."""
    bad = [Bad(path, True) for path in files if not path.is_file()]
    missing = {each.path for each in bad}
    there = [path for path in files if path not in missing]
    name = checked(engine)
    with ThreadPoolExecutor(1) as aside:
        looked = aside.submit(damaged, there)  # while the engine starts
        with _session(name) as session:
            spoilt = looked.result()
            bad += [Bad(path, False) for path in there if path in spoilt]
            unreadable = session.segments([path for path in there if path not in spoilt])
            bad += [Bad(path, False) for path in there if path in unreadable]
            if wearings:
                table(session, "wearings", Wearing._fields, wearings)
            session.run(f"CREATE TEMPORARY VIEW encounters AS {_encounters(bool(wearings))}")
            yield session, bad


def checked(engine: str) -> str:
    """The engine as it was given: "duckdb", or a Spark Connect URL (sc://HOST:PORT, and what Spark
    lets follow it). Raises Fault where it is neither."""
    if engine == DUCKDB:
        return engine
    try:
        url = urlsplit(engine)
        good = url.scheme == "sc" and bool(url.hostname) and url.path in ("", "/")
        # Spark's own options follow a semicolon after the path, which urlsplit leaves in it.
        good = good or (url.scheme == "sc" and bool(url.hostname) and url.path.startswith("/;"))
        good = good and (url.port is None or url.port > 0)
    except ValueError:
        good = False
    if not good:
        raise Fault("engine_url", wrong=True, engine=shown(engine))
    return engine


def shown(engine: str) -> str:
    """The engine as people may see it: without what follows a semicolon, such as a token."""
    return engine.partition("/;")[0].partition(";")[0]


def table(
    session: Session, name: str, columns: Sequence[str], rows: Iterable[Sequence[Number]]
) -> None:
    """Make or replace a small table; a column that holds a float is DOUBLE, any other BIGINT."""
    every = list(rows)
    found: list[pa.Array] = []
    for at in range(len(columns)):
        values = [row[at] for row in every]
        real = any(isinstance(value, float) for value in values)
        numbers = np.array([value or 0 for value in values], np.float64 if real else np.int64)
        there = np.array([value is not None for value in values], np.bool_)
        found.append(column(numbers, there))
    session.put(name, pa.Table.from_arrays(found, names=list(columns)))


def _session(engine: str) -> AbstractContextManager[Session]:
    if engine == DUCKDB:
        from zoneband.tracing import duck

        return duck.session()
    from zoneband.tracing import spark

    return spark.session(engine)


def _encounters(worn: bool) -> str:
    rest = ", ".join(f"e.{name}" for name in COLUMNS[2:])
    if not worn:
        who = "e.observer, e.contact, e.observer AS observer_band, e.contact AS contact_band"
        return f"SELECT {who}, {rest} FROM segments e"
    who = (
        "COALESCE(o.wearer, e.observer) AS observer, COALESCE(c.wearer, e.contact) AS contact, "
        "e.observer AS observer_band, e.contact AS contact_band"
    )
    joins = " ".join(
        f"LEFT JOIN wearings {name} ON {name}.band = e.{column} "
        f"AND e.start_s >= {name}.from_s AND e.start_s < {name}.to_s"
        for name, column in (("o", "observer"), ("c", "contact"))
    )
    return f"SELECT {who}, {rest} FROM segments e {joins}"
