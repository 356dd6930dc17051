"""The query over many cases, against the count of one contact after the other; and chains."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support import ROOT
from zoneband.server import store
from zoneband.tracing import degrees, engine, rules
from zoneband.tracing.degrees import Exposed, Span, Wearer
from zoneband.tracing.duck import DuckSession
from zoneband.tracing.engine import NOBODY, Wearing
from zoneband.tracing.exposure import judge
from zoneband.tracing.query import Pair, evidence
from zoneband.tracing.rules import RuleSet

DAY = 20_760
BEGIN = DAY * 86_400 + 5 * 3600  # noon in Vietnam
MIDNIGHT = 12 * 3600
RULES = rules.load()
# observer, contact, start, duration, sightings, mean, max
Row = tuple[int, int, int, int, int, int, int]


def segment(root: Path, rows: list[Row], day: int = DAY) -> Path:
    names = (
        "observer", "contact", "start_s", "duration_s", "sightings", "rssi_mean", "rssi_max",
    )  # fmt: skip
    columns: dict[str, Any] = {
        name: np.array([row[i] for row in rows], np.int64) for i, name in enumerate(names)
    }
    columns["rotating_id"] = np.zeros((len(rows), 12), np.uint8)
    for name in ("due_s", "boot_id", "run_s", "clock", "log_id", "sector"):
        columns[name] = np.zeros(len(rows), np.int64)
    columns["slot"] = np.arange(len(rows))
    return root / store.write(root, day, columns)


rows = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from([-1, 1, 2, 3, 4]),
        st.integers(0, 3000)
        | st.integers(MIDNIGHT - 900, MIDNIGHT + 900)
        | st.integers(85_000, 90_000),
        st.integers(0, 900) | st.just(65_535),
        st.integers(1, 400),
        st.integers(-95, -45),
        st.integers(0, 20),
    ).map(lambda r: (r[0], r[1], BEGIN + r[2], r[3], r[4], r[5], r[5] + r[6])),
    min_size=1,
    max_size=40,
)
rule_sets = st.builds(
    RuleSet,
    window_s=st.sampled_from([240, 300, 420, 900]),
    steps=st.sampled_from([((52.0, 1.0),), ((55.0, 1.0), (63.0, 0.5)), ((40.0, 2.5), (70.5, 0.1))]),
    min_minutes=st.floats(0.5, 30),
    period_s=st.sampled_from([900, 3600, 86_400, 1_209_600]),
    drop_shorter_min=st.sampled_from([0.0, 2.0, 10.0]),
    drop_beyond_db=st.sampled_from([None, 40.0, 55.0]),
    bridge_s=st.sampled_from([0, 60, 300, 600]),
) | st.sampled_from(sorted(RULES.values(), key=lambda rule: rule.name))


LONG_BRIDGE = replace(RULES["vietnam"], bridge_s=600)


def pauses(from_s: int, to_s: int) -> list[Row]:
    """Two records with a pause between them; windows begin each 300 s."""
    begin = BEGIN - BEGIN % 300
    spans = (0, from_s), (to_s, to_s + 600)
    return [(1, 2, begin + a, b - a, 50, -60, -55) for a, b in spans]


def moments(count: int) -> list[Row]:
    """One sighting each 5 minutes: hardly a minute together, though in many windows."""
    return [(1, 2, BEGIN + n * 300, 0, 1, -60, -55) for n in range(count)]


def on_sqlite(db: DuckSession) -> list[Exposed]:
    """The same text over the same tables in another engine."""
    other = sqlite3.connect(":memory:")
    for name in (
        "encounters", "cases", "offsets", "steps", "spread", "beside", "rule", "signs", "known",
    ):  # fmt: skip
        found = db.db.execute(f"SELECT * FROM {name}")
        columns = [each[0] for each in found.description or ()]
        other.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        marks = ", ".join("?" * len(columns))
        other.executemany(f"INSERT INTO {name} VALUES ({marks})", found.fetchall())
    text = (Path(degrees.__file__).parent / "contacts.sql").read_text()
    return [Exposed(*row) for row in other.execute(text)]


@settings(deadline=None, max_examples=25)
# One sighting just before the span stands for some seconds of it.
@example([(1, 2, BEGIN, 0, 1, -45, -45)], RULES["vietnam"], 1, 1381, {})
# A pause longer than is bridged, within one window.
@example(pauses(20, 200), RULES["vietnam"], -100, 4000, {})
# One that is bridged over the edge of a window, from either side of it.
@example(pauses(280, 310), RULES["vietnam"], -100, 4000, {})
@example(pauses(300, 350), RULES["vietnam"], -100, 4000, {})
@example(pauses(250, 300), RULES["vietnam"], -100, 4000, {})
# One that is bridged over whole windows, and one from edge to edge.
@example(pauses(280, 810), LONG_BRIDGE, -100, 4000, {})
@example(pauses(300, 600), LONG_BRIDGE, -100, 4000, {})
# Plenty in the first day by its windows, and not enough; enough in the next.
@example(
    [*moments(60), (1, 2, BEGIN + 86_400, 1000, 250, -60, -55)],
    RULES["vietnam"],
    -100,
    90_000,
    {},
)
# A day with plenty that counts only by a pause that is bridged over its end, when the next begins.
@example(
    [
        (1, 2, BEGIN + MIDNIGHT - 3200, 3190, 300, -60, -55),
        (1, 2, BEGIN + MIDNIGHT + 20, 280, 70, -60, -55),
    ],
    RuleSet(min_minutes=10, drop_shorter_min=53.3),
    0,
    90_000,
    {},
)
# A record over the end of a day with plenty, near only until louder ones begin.
@example(
    [
        *moments(60),
        (1, 2, BEGIN + MIDNIGHT - 600, 2400, 10, -60, -55),
        (1, 2, BEGIN + MIDNIGHT, 3600, 900, -80, -75),
    ],
    RULES["vietnam"],
    0,
    90_000,
    {},
)
# The same where windows do not end with the day.
@example(
    [
        *moments(50),
        (1, 2, BEGIN + MIDNIGHT - 120, 2400, 10, -60, -55),
        (1, 2, BEGIN + MIDNIGHT, 3600, 900, -80, -75),
    ],
    RuleSet(window_s=420, min_minutes=5),
    0,
    90_000,
    {},
)
@given(
    rows, rule_sets, st.integers(-100, 4000), st.integers(60, 90_000),
    st.dictionaries(st.integers(1, 4), st.integers(-10, 10)),
)  # fmt: skip
def test_the_query_counts_as_the_rule_does(
    given_rows: list[Row], rule: RuleSet, begin: int, length: int, offsets: dict[int, int]
) -> None:
    spans = [
        Span(7, 1, BEGIN + begin, BEGIN + begin + length),
        Span(3, 2, BEGIN, BEGIN + 100_000),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = segment(Path(folder), given_rows)
        with engine.opened([path]) as (db, bad):
            assert not bad
            degrees.prepare(db, rule, offsets)
            found = degrees.contacts(db, rule, spans)
            assert isinstance(db, DuckSession)
            again = on_sqlite(db)
            called = degrees.contacts(db, rule, spans, called_only=True)
            pairs = [
                Pair(span.band, other, span.from_s, span.to_s) for span in spans
                for other in range(1, 5) if other != span.band
            ]  # fmt: skip
            records = evidence(db, pairs)
    assert again == found
    whole = {(each.case_id, each.band): each for each in found if each.must_call}
    assert len(called) == len(whole)
    for each in called:
        full = whole[each.case_id, each.band]
        sums = {name: getattr(each, name) for name in ("near_s", "weighted", "total_s", "most")}
        assert full._replace(**sums) == each
        assert all(value <= getattr(full, name) for name, value in sums.items())
        assert each.most >= rule.needed
    order = [(each.case_id, -each.weighted, each.band) for each in called]
    assert order == sorted(order)
    answers = {(each.case_id, each.band): each for each in found}
    for pair, heard in zip(pairs, records, strict=True):
        case_id = 7 if pair.band == 1 else 3
        true = judge(rule, heard, pair.from_s, pair.to_s, pair.band, offsets)
        answer = answers.pop((case_id, pair.other), None)
        if answer is None:
            assert not true["windows"]
            continue
        assert answer.must_call == true["must_call"]
        for name in ("first_s", "last_s", "exposed_s", "closest_db"):
            assert getattr(answer, name) == true[name], name
        assert round(answer.near_s / 60, 1) == true["near_min"]
        assert round(answer.total_s / 60, 1) == true["total_min"]
        assert round(answer.weighted / 60_000, 1) == true["weighted_min"]
        assert round(answer.most / 60_000, 1) == true["most_min"]
        sides = {window["sides"] for window in true["windows"]} - {None}
        both = "both" in sides or sides == {"case", "contact"}
        assert answer.sides == (3 if both else 1 if sides == {"case"} else 2)
    assert not answers


def test_once_one_must_be_called_later_days_are_not_looked_at(tmp_path: Path) -> None:
    rule = RULES["vietnam"]
    daily = [row for day in range(3) for row in met(1, 2, day * 1440, 40)]
    span = Span(1, 1, BEGIN, BEGIN + 4 * 86_400)
    with engine.opened([segment(tmp_path, daily)]) as (db, _):
        degrees.prepare(db, rule, {})
        (full,) = degrees.contacts(db, rule, [span])
        (called,) = degrees.contacts(db, rule, [span], called_only=True)
        # A day is no measure where minutes must fall within an hour.
        hourly = replace(rule, period_s=3600)
        (by_hour,) = degrees.contacts(db, hourly, [span], called_only=True)
    assert 3 * called.weighted == full.weighted == by_hour.weighted
    assert called.exposed_s == full.exposed_s
    assert called.last_s == full.last_s


def test_what_looked_like_plenty_is_looked_at_again(tmp_path: Path) -> None:
    rule = RULES["vietnam"]
    given_rows = moments(60) + met(1, 2, 1440, 60) + met(1, 3, 0, 40) + met(1, 3, 1440, 15)
    span = Span(1, 1, BEGIN, BEGIN + 2 * 86_400)
    with engine.opened([segment(tmp_path, given_rows)]) as (db, _):
        degrees.prepare(db, rule, {})
        full = degrees.contacts(db, rule, [span])
        called = degrees.contacts(db, rule, [span], called_only=True)
    assert [each.band for each in full] == [2, 3] == [each.band for each in called]
    assert called[0]._replace(most=0) == full[0]._replace(most=0)  # all of it, this time
    assert called[1].weighted < full[1].weighted


def met(a: int, b: int, start: int, minutes: int, rssi: int = -60) -> list[Row]:
    at = range(BEGIN + start * 60, BEGIN + (start + minutes) * 60, 300)
    return [(x, y, s, 298, 70, rssi, rssi + 8) for s in at for x, y in ((a, b), (b, a))]


def chain(root: Path, given_rows: list[Row], count: int, **more: Any) -> list[tuple[int, int, int]]:
    """(degree, via, band) of everybody that band 1 reaches."""
    rule = RULES["vietnam"]
    with engine.opened([segment(root, given_rows)], **more) as (db, _):
        degrees.prepare(db, rule, {})
        case = Span(1, 1, BEGIN, BEGIN + 86_400)
        end = BEGIN + 86_400
        links = degrees.chains(
            db, rule, [case], count, lambda at: [Wearer(band, end) for band, _ in at]
        )
    return [(link.degree, link.via, link.band) for link in links]


def test_a_chain_goes_from_contact_to_contact_as_far_as_it_is_asked(tmp_path: Path) -> None:
    rows = met(1, 2, 0, 20) + met(2, 3, 60, 20) + met(3, 4, 120, 20) + met(4, 5, 180, 20)
    assert chain(tmp_path, rows, 1) == [(1, 1, 2)]
    assert chain(tmp_path, rows, 3) == [(1, 1, 2), (2, 2, 3), (3, 3, 4)]


def test_nobody_is_infected_before_he_met_the_infected(tmp_path: Path) -> None:
    rows = met(2, 3, 0, 20) + met(1, 2, 60, 20) + met(2, 4, 120, 20)
    assert chain(tmp_path, rows, 2) == [(1, 1, 2), (2, 2, 4)]


def test_who_is_reached_in_two_ways_counts_once_by_the_shorter_then_the_earlier(
    tmp_path: Path,
) -> None:
    rows = met(1, 2, 0, 20) + met(1, 3, 30, 20) + met(2, 3, 60, 20) + met(2, 4, 90, 20)
    rows += met(3, 4, 120, 40)
    assert chain(tmp_path, rows, 3) == [(1, 1, 2), (1, 1, 3), (2, 2, 4)]


def test_swapped_bands_lead_to_the_people_who_wore_them(tmp_path: Path) -> None:
    # From minute 30 on the wearer of 1 had band 5 on, and the other way round.
    rows = met(1, 2, 0, 20) + met(5, 3, 60, 20) + met(1, 4, 60, 20)
    end = BEGIN + 86_400
    swap = [Wearing(1, 5, BEGIN + 1800, end), Wearing(5, 1, BEGIN + 1800, end)]
    assert chain(tmp_path, rows, 1, wearings=swap) == [(1, 1, 2), (1, 1, 3)]
    lost = [Wearing(5, 1, BEGIN + 1800, end), Wearing(1, NOBODY, BEGIN + 1800, end)]
    assert chain(tmp_path, rows, 1, wearings=lost) == [(1, 1, 2), (1, 1, 3)]


def test_segments_of_older_programs_are_read_beside_new_ones(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    old = segment(tmp_path, met(1, 2, 0, 20), DAY + 1)
    pq.write_table(pq.ParquetFile(old).read().drop_columns(["shares"]), tmp_path / "old.parquet")
    new = segment(tmp_path, met(1, 3, 0, 20))
    for files in ([tmp_path / "old.parquet"], [tmp_path / "old.parquet", new]):
        with engine.opened(files) as (db, bad):
            assert not bad
            found = evidence(db, [Pair(1, -1, BEGIN, BEGIN + 86_400)])[0]
        assert len(found) == 8 * len(files)
    assert store.read(tmp_path, "old.parquet")["shares"].tolist() == [-1] * 8


def test_without_segments_there_are_no_contacts(tmp_path: Path) -> None:
    with engine.opened([]) as (db, bad):
        degrees.prepare(db, RULES["gaen"], {})
        assert degrees.contacts(db, RULES["gaen"], [Span(1, 1, 0, BEGIN)]) == [] == bad


def test_a_question_does_not_read_pandas_which_spark_brings(tmp_path: Path) -> None:
    # To read it takes half a second of every process.
    (tmp_path / "pandas.py").write_text("print('read')\nraise ImportError\n")
    file = segment(tmp_path, met(1, 2, 0, 30))
    ask = (
        "import sys, pathlib\n"
        "from zoneband.tracing import degrees, engine, rules\n"
        "rule = rules.load()[rules.DEFAULT]\n"
        "with engine.opened([pathlib.Path(sys.argv[1])]) as (db, _):\n"
        "    degrees.prepare(db, rule, {1: 3})\n"
        f"    span = degrees.Span(0, 1, {BEGIN}, {BEGIN + 90_000})\n"
        "    print(len(degrees.contacts(db, rule, [span])))\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT / 'host'}"}
    words = [sys.executable, "-c", ask, str(file)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
