"""Tracing at scale: whom 100 cases met in 10 M encounters of 10,000 bands, and whom these met; in
100 M of 100,000; and the same question on Spark and SQLite."""

import functools
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.city import City
from bench.rows import rows
from zoneband.server import store
from zoneband.tracing import degrees as degrees_of
from zoneband.tracing import local_spark
from zoneband.tracing.degrees import Exposed, Span, contacts, prepare
from zoneband.tracing.duck import DuckSession
from zoneband.tracing.engine import DUCKDB, opened
from zoneband.tracing.rules import DEFAULT, load

_CASES, _DAYS = 100, 10
_TRIES = 3  # of what takes moments, and is slower while the computer has other work

_ASK = """
import json, sys, time
from pathlib import Path
import duckdb  # as a server has read it, like all that the others read
from zoneband.server import store
from zoneband.tracing import degrees, engine, rules
from zoneband.tracing.degrees import Span, Wearer
files = [Path(path) for path in json.load(open(sys.argv[1]))]
cases = json.loads(sys.argv[2])
until_s, most = int(sys.argv[3]), int(sys.argv[4])
rule = rules.load()[rules.DEFAULT]
spans = [Span(number, *case) for number, case in enumerate(cases)]
began = time.monotonic()
with engine.opened(files, store.damaged, engine=sys.argv[5]) as (db, bad):
    assert not bad
    degrees.prepare(db, rule, {})
    wearers = lambda at: [Wearer(band, until_s) for band, _at_s in at]
    links = degrees.chains(db, rule, spans, most, wearers)
spent = time.monotonic() - began
# Not ru_maxrss: a child begins with its parent's.
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps([spent, peak, [[link.degree, link.band] for link in links]]))
"""


@functools.cache
def _city(bands: int = 10_000) -> tuple[City, tempfile.TemporaryDirectory[str]]:
    """The city and its segments, made once a run; they go with the process."""
    folder = tempfile.TemporaryDirectory(prefix="zoneband-city-")
    city = City(bands)
    root = Path(folder.name)
    segments, count = city.write(root)
    assert count > 990 * bands, count
    paths = [str(root / path) for _day, path, _rows in segments]
    (root / "files.json").write_text(json.dumps(paths))
    os.sync()  # what this set-up wrote is not the query's to wait for
    return city, folder


@functools.cache
def _truth(bands: int, degrees: int) -> tuple[list[set[int]], list[set[int]]]:
    city, _folder = _city(bands)
    return city.truth().reach(city.cases(_CASES, _DAYS), degrees, city.to_s)


def _ask(degrees: int, bands: int = 10_000, engine: str = DUCKDB) -> tuple[float, float, Any]:
    """Seconds and MB of a fresh process, and what it finds: that is held against the truth."""
    city, folder = _city(bands)
    cases = city.cases(_CASES, _DAYS)
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, f"{folder.name}/files.json", json.dumps(cases)]
        + [str(city.to_s), str(degrees), engine],
        capture_output=True,
        text=True,
        check=True,
    )
    spent, peak, links = json.loads(asked.stdout)
    sure, may = _truth(bands, degrees)
    for degree in range(degrees):
        found = {band for each, band in links if each <= degree + 1}
        assert sure[degree] <= found <= may[degree], f"F{degree + 1} differs from the truth"
    return spent, peak, links


@rows(("f1_10m_s", "s", "<=", 0.5), ("f1_10m_mb", "MB", "<=", 512))
def f1_10m() -> dict[str, float]:
    """Everybody who must be called for 100 cases, each infectious for 10 days, in 10 M encounters
    of a city of 10,000 bands over 14 days (bench/city.py), by the default rule set. A fresh process
    answers, first checking every segment's digest; the answer is the truth. The best of three, and
    the most memory of these."""
    asked = [_ask(1) for _try in range(_TRIES)]
    return {
        "f1_10m_s": min(spent for spent, _peak, _links in asked),
        "f1_10m_mb": max(peak for _spent, peak, _links in asked),
    }


@rows(("f3_10m_s", "s", "<=", 2.0))
def f3_10m() -> dict[str, float]:
    """The same with everybody whom these met who must be called, and whom those met, each from the
    first exposure on; the best of three."""
    return {"f3_10m_s": min(_ask(3)[0] for _try in range(_TRIES))}


@rows(("f1_100m_s", "s", "<=", 3.0), ("f1_100m_mb", "MB", "<=", 1024), large=True)
def f1_100m() -> dict[str, float]:
    """As f1_10m, of a city of 100,000 bands: 104 M encounters, 2.1 GB, made in some minutes."""
    spent, peak, _links = _ask(1, 100_000)
    return {"f1_100m_s": spent, "f1_100m_mb": peak}


@rows(("f3_100m_s", "s", "<=", 10.0), large=True)
def f3_100m() -> dict[str, float]:
    """As f3_10m, of that city."""
    return {"f3_100m_s": _ask(3, 100_000)[0]}


@rows(("duckdb_vs_spark", "×", None, None), large=True)
def duckdb_vs_spark() -> dict[str, float]:
    """How many times as long as DuckDB a Spark of two threads takes for f1_10m, at its second
    asking; both name the same bands."""
    on_duck, _peak, found = _ask(1)
    with tempfile.TemporaryDirectory(prefix="zoneband-spark-") as name:
        with local_spark.spark(Path(name), memory="2g") as url:
            _ask(1, engine=url)
            on_spark, _peak, same = _ask(1, engine=url)
    assert sorted(same) == sorted(found), "Spark's rows differ"
    return {"duckdb_vs_spark": on_spark / on_duck}


@rows(("duckdb_vs_sqlite", "×", None, None), large=True)
def duckdb_vs_sqlite() -> dict[str, float]:
    """How many times as long as DuckDB an SQLite takes that has all encounters indexed by observer
    and by contact, and what they are joined with, to the same text and the same rows; loading it is
    not counted."""
    city, folder = _city()
    rule = load()[DEFAULT]
    spans = [Span(number, *case) for number, case in enumerate(city.cases(_CASES, _DAYS))]
    files = [Path(path) for path in json.loads(Path(folder.name, "files.json").read_text())]
    with opened(files, store.damaged) as (db, bad), closing(sqlite3.connect("")) as other:
        assert isinstance(db, DuckSession) and not bad
        prepare(db, rule, {})
        began = time.monotonic()
        found = contacts(db, rule, spans, called_only=True)
        on_duck = time.monotonic() - began
        tables = (
            "encounters",
            "cases",
            "offsets",
            "steps",
            "spread",
            "beside",
            "rule",
            "signs",
            "known",
        )
        for name in tables:
            read = db.db.execute(f"SELECT * FROM {name}")
            columns = [each[0] for each in read.description or ()]
            other.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            while some := read.fetchmany(100_000):
                other.executemany(f"INSERT INTO {name} VALUES ({marks})", some)
        for name in ("observer", "contact"):
            other.execute(f"CREATE INDEX by_{name} ON encounters ({name}, start_s)")
        other.execute("CREATE INDEX by_span ON spread (span_s)")
        other.execute("ANALYZE")
        text = Path(degrees_of.__file__).with_name("contacts.sql").read_text(encoding="utf-8")
        began = time.monotonic()
        same = [Exposed(*row) for row in other.execute(text)]
        on_sqlite = time.monotonic() - began
    assert same == found, "SQLite's rows differ"
    return {"duckdb_vs_sqlite": on_sqlite / on_duck}
