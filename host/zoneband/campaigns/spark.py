"""The same questions on DuckDB and on a standalone Spark: a master and two workers on loopback.

A round is a town of its own: 2,000 bands over 3 days, 10 cases, traced to F3, and the records of
every case. "lost": rows that Spark lacks, "doubled": rows that only Spark has.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoneband.campaigns.tally import Tally
from zoneband.errors import UserError
from zoneband.server import store
from zoneband.tracing import case_words, degrees, engine, local_spark, rules
from zoneband.tracing.degrees import Span, Wearer
from zoneband.tracing.engine import DUCKDB
from zoneband.tracing.query import Pair, evidence

BANDS, CASES, DAYS, MEETINGS, DEGREES = 2_000, 10, 3, 30_000, 3
_FIRST_DAY = 20_740
_DAY_S = 86_400
_FROM_S, _TO_S = _FIRST_DAY * _DAY_S, (_FIRST_DAY + DAYS) * _DAY_S


def run(
    tally: Tally,
    rounds: int,
    told: Callable[[str], None] = lambda line: None,
    text: Callable[[str], str] = lambda sql: sql,
) -> None:
    """That many rounds more, by one cluster. text: what Spark is asked instead of a question, for
    tests of this trial."""
    local_spark.java()
    rule = rules.load()[rules.DEFAULT]
    spent = {"duckdb": 0.0, "spark": 0.0}
    with tempfile.TemporaryDirectory(prefix="zoneband-spark") as name:
        root = Path(name)
        with local_spark.spark(root / "spark", workers=2) as url:
            for _round in range(rounds):
                rng = np.random.default_rng([tally.seed, tally.rounds])
                files = _town(root / str(tally.rounds), rng)
                bands = rng.choice(BANDS, CASES, replace=False) + 1
                cases = [Span(n, int(band), _FROM_S, _TO_S) for n, band in enumerate(bands)]
                answers: list[list[Any]] = []
                for key, where in (("duckdb", DUCKDB), ("spark", url)):
                    began = time.monotonic()
                    try:
                        answers.append(_ask(files, where, rule, cases, text))
                    except engine.Fault as error:
                        said = case_words.refusal(error.code, error.values) or error.code
                        raise UserError(said) from error
                    spent[key] += time.monotonic() - began
                duck, other = (Counter(map(repr, answer)) for answer in answers)
                lost, doubled = (duck - other).total(), (other - duck).total()
                if not lost and not doubled and answers[0] != answers[1]:
                    lost = 1  # the same rows in another order
                tally.count(1, lost=lost, doubled=doubled)
                tally.witness(*("\n".join(map(repr, answer)).encode() for answer in answers))
                mark = f"✗ lost {lost}, doubled {doubled}" if lost or doubled else "✓"
                told(f"{tally.rounds:5d}  {len(answers[0])} rows  {mark}")
    tally.figures["spark_to_duckdb"] = round(spent["spark"] / spent["duckdb"], 1)


def _ask(
    files: Sequence[Path],
    where: str,
    rule: rules.RuleSet,
    cases: Sequence[Span],
    text: Callable[[str], str],
) -> list[Any]:
    with engine.opened(files, store.damaged, engine=where) as (session, bad):
        if bad:
            raise RuntimeError(f"segments that were just written cannot be read: {bad}")
        asked = session if where == DUCKDB else _Other(session, text)
        degrees.prepare(asked, rule, {})
        first = degrees.contacts(asked, rule, cases)

        def wearers(at: Sequence[tuple[int, int]]) -> list[Wearer | None]:
            return [Wearer(band, _TO_S) for band, _at_s in at]

        found: list[Any] = list(first)
        found += degrees.chains(asked, rule, cases, DEGREES, wearers, first)
        for rows in evidence(asked, [Pair(each.band, -1, _FROM_S, _TO_S) for each in cases]):
            found += rows
    return found


class _Other:
    # A session that is asked another text.
    def __init__(self, session: engine.Session, text: Callable[[str], str]) -> None:
        self._session = session
        self._text = text
        self.segments, self.put, self.run = session.segments, session.put, session.run

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._session.rows(self._text(sql))


def _town(root: Path, rng: np.random.Generator) -> list[Path]:
    # Meetings of neighbours and strangers, near and far, most recorded by both sides.
    files: list[Path] = []
    for day in range(_FIRST_DAY, _FIRST_DAY + DAYS):
        a = rng.integers(1, BANDS + 1, MEETINGS)
        b = (a + rng.choice((1, 2, 3, 7, 500), MEETINGS, p=(0.4, 0.2, 0.2, 0.1, 0.1)) - 1) % BANDS
        b += 1
        begin = day * _DAY_S + rng.integers(0, _DAY_S - 900, MEETINGS)
        length = rng.integers(0, 900, MEETINGS)
        level = rng.integers(-90, -55, MEETINGS)
        both = rng.random(MEETINGS) < 0.9
        columns: store.Columns = {
            "observer": np.concatenate((a, b[both])),
            "contact": np.concatenate((b, a[both])),
            "start_s": np.concatenate((begin, begin[both] + 2)),
            "duration_s": np.concatenate((length, length[both])),
            "rssi_mean": np.concatenate((level, level[both] - 1)),
        }
        count = len(columns["observer"])
        columns["sightings"] = np.maximum(1, columns["duration_s"] // 4)
        columns["rssi_max"] = columns["rssi_mean"] + rng.integers(0, 9, count)
        for name in ("due_s", "boot_id", "run_s", "log_id", "sector"):
            columns[name] = np.zeros(count, np.int64)
        columns["clock"], columns["slot"] = np.full(count, 2), np.arange(count)
        columns["rotating_id"] = rng.integers(0, 256, (count, 12), np.uint8)
        files.append(root / store.write(root, day, columns))
    return files
