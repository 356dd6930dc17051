"""Tracing at scale: whom 100 cases met in 10 M encounters of 10,000 bands, and whom these met."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.city import City
from bench.rows import rows

_CASES, _DAYS = 100, 10

_ASK = """
import json, sys, time
from pathlib import Path
from zoneband.server import store
from zoneband.tracing import degrees, engine, rules
from zoneband.tracing.degrees import Span, Wearer
files = [Path(path) for path in json.load(open(sys.argv[1]))]
cases = json.loads(sys.argv[2])
until_s, most = int(sys.argv[3]), int(sys.argv[4])
rule = rules.load()[rules.DEFAULT]
spans = [Span(number, *case) for number, case in enumerate(cases)]
began = time.monotonic()
with engine.opened(files, store.damaged) as (db, bad):
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
def _city() -> tuple[City, tempfile.TemporaryDirectory[str]]:
    """The city and its segments, made once a run; they go with the process."""
    folder = tempfile.TemporaryDirectory(prefix="zoneband-city-")
    city = City()
    root = Path(folder.name)
    segments, count = city.write(root)
    assert count > 9_900_000, count
    paths = [str(root / path) for _day, path, _rows in segments]
    (root / "files.json").write_text(json.dumps(paths))
    os.sync()  # what this set-up wrote is not the query's to wait for
    return city, folder


def _ask(degrees: int) -> tuple[float, float]:
    """Seconds and MB of a fresh process; what it finds is held against the truth."""
    city, folder = _city()
    cases = city.cases(_CASES, _DAYS)
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, f"{folder.name}/files.json", json.dumps(cases)]
        + [str(city.to_s), str(degrees)],
        capture_output=True,
        text=True,
        check=True,
    )
    spent, peak, links = json.loads(asked.stdout)
    sure, may = city.truth().reach(cases, degrees, city.to_s)
    for degree in range(degrees):
        found = {band for each, band in links if each <= degree + 1}
        assert sure[degree] <= found <= may[degree], f"F{degree + 1} differs from the truth"
    return spent, peak


@rows(("f1_10m_s", "s", "<=", 0.5), ("f1_10m_mb", "MB", "<=", 512))
def f1_10m() -> dict[str, float]:
    """Everybody who must be called for 100 cases, each infectious for 10 days, in 10 M encounters
    of a city of 10,000 bands over 14 days (bench/city.py), by the default rule set. A fresh process
    answers, first checking every segment's SHA-256; the answer is the truth."""
    spent, peak = _ask(1)
    return {"f1_10m_s": spent, "f1_10m_mb": peak}


@rows(("f3_10m_s", "s", "<=", 2.0))
def f3_10m() -> dict[str, float]:
    """The same with everybody whom these met who must be called, and whom those met, each from the
    first exposure on."""
    return {"f3_10m_s": _ask(3)[0]}
