"""The same questions on Apache Spark: the same rows, and never another engine's in its place."""

import socket
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from test_contacts_sql import BEGIN, DAY, RULES, Row, met, segment
from test_tracing import END, Desk
from typer.testing import CliRunner

from bandbook import NOON, A, B
from bench.city import City
from sparkhere import running
from zoneband.campaigns import spark as trial
from zoneband.campaigns.tally import Tally
from zoneband.cli.main import make_app as make_verbs
from zoneband.errors import UserError
from zoneband.server import store
from zoneband.server.app import make_app
from zoneband.server.refused import Refused
from zoneband.server.tracing_server import TracingServer
from zoneband.tracing import case_words, degrees, engine, local_spark, spark
from zoneband.tracing.degrees import Span, Wearer
from zoneband.tracing.engine import DUCKDB, NOBODY, Fault, Session, Wearing
from zoneband.tracing.query import Evidence, Pair, evidence
from zoneband.tracing.rules import DEFAULT

pytestmark = pytest.mark.timeout(600)  # some seconds each, but on a busy computer
SILENT = "sc://127.0.0.1:1"
SPANS = [Span(7, 1, BEGIN, BEGIN + 90_000), Span(3, 2, BEGIN + 600, BEGIN + 40_000)]
# One band's wearer has another's on for a while, and somebody nobody knows has a third.
WORN = [Wearing(3, 1, BEGIN + 900, BEGIN + 2400), Wearing(4, NOBODY, BEGIN, BEGIN + 1200)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with running(tmp_path_factory.mktemp("spark")) as found:
        yield found


def drawn(seed: int, count: int = 60) -> list[Row]:
    """Records of four bands and of nobody, of all lengths, that overlap as no real ones do."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for _ in range(count):
        observer, contact = int(rng.integers(1, 5)), int(rng.choice((-1, 1, 2, 3, 4)))
        start = BEGIN + int(rng.choice((rng.integers(0, 3000), rng.integers(85_000, 90_000))))
        duration = int(rng.choice((0, 1, 240, 300, 900, 65_535)))
        mean = int(rng.integers(-95, -45))
        top = mean + int(rng.integers(0, 20))
        rows.append((observer, contact, start, duration, int(rng.integers(1, 400)), mean, top))
    return rows


def every_contact(db: Session, rule: str) -> list[Any]:
    degrees.prepare(db, RULES[rule], {1: 3, 2: -4})
    return list(degrees.contacts(db, RULES[rule], SPANS, known=[4]))


def every_record(db: Session, _rule: str) -> list[Any]:
    pairs = [Pair(1, -1, BEGIN, BEGIN + 90_000), Pair(2, 3, BEGIN + 500, BEGIN + 2000)]
    return [row for rows in evidence(db, pairs) for row in rows]


# Every question that there is, by its file.
QUESTIONS: dict[str, Callable[[Session, str], list[Any]]] = {
    "contacts.sql": every_contact,
    "evidence.sql": every_record,
}


def test_every_question_is_answered_by_the_same_rows(url: str, tmp_path: Path) -> None:
    texts = {path.name for path in Path(degrees.__file__).parent.glob("*.sql")}
    assert texts == QUESTIONS.keys()
    rows = met(1, 2, 0, 30) + met(2, 3, 20, 20, -66) + met(1, 4, 1400, 30, -58)

    def compare(seed: int, worn: Sequence[Wearing], rule: str) -> int:
        asked = 0
        file = segment(tmp_path / str(seed), drawn(seed) + rows)
        with (
            engine.opened([file], store.damaged, worn) as (duck, _),
            engine.opened([file], store.damaged, worn, url) as (other, bad),
        ):
            assert not bad
            for name, ask in QUESTIONS.items():
                on_duck, on_spark = ask(duck, rule), ask(other, rule)
                # Row by row, and number by number of the same kind.
                assert list(map(repr, on_spark)) == list(map(repr, on_duck)), (name, rule)
                assert on_duck, (name, rule)
                asked += len(on_duck)
        return asked

    # The default rule set is asked by the other tests. Two ask at once, as tracers do: the tables
    # of one are not the other's.
    one, another = sorted(RULES.keys() - {DEFAULT})
    with ThreadPoolExecutor() as threads:
        both = threads.map(compare, (1, 2), ([], WORN), (one, another))
        assert sum(both) > 100


def test_a_city_is_traced_alike_to_the_third_degree(url: str, tmp_path: Path) -> None:
    city = City(bands=100, days=1)
    files = [tmp_path / path for _day, path, _rows in city.write(tmp_path)[0]]
    cases = city.cases(3, 1)
    spans = [Span(number, *case) for number, case in enumerate(cases)]
    rule = RULES[DEFAULT]
    first: list[degrees.Exposed] | None = None  # by DuckDB, for both
    found: list[list[degrees.Link]] = []
    for name in (DUCKDB, url):
        with engine.opened(files, store.damaged, engine=name) as (db, bad):
            assert not bad
            degrees.prepare(db, rule, {})
            first = first or degrees.contacts(db, rule, spans, called_only=True)

            def wearers(at: Any) -> list[Wearer | None]:
                return [Wearer(band, city.to_s) for band, _at_s in at]

            found.append(degrees.chains(db, rule, spans, 3, wearers, first))
    assert found[0] == found[1]
    assert {link.degree for link in found[0]} == {1, 2, 3}
    sure, may = city.truth().reach(cases, 3, city.to_s)
    assert sure[2] <= {link.band for link in found[1]} <= may[2]


def test_older_segments_and_none_are_read_alike(url: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    new = segment(tmp_path, met(1, 2, 0, 20))
    old = tmp_path / "old [1].parquet"
    table = pq.ParquetFile(segment(tmp_path, met(1, 3, 30, 20), DAY + 1)).read()
    pq.write_table(table.drop_columns(["shares"]), old)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(old.read_bytes()[:900])
    for files in ([], [new, old], [new, cut, tmp_path / "gone.parquet"]):
        answers: list[Any] = []
        for name in (DUCKDB, url):
            with engine.opened(files, engine=name) as (db, bad):
                answers.append((evidence(db, [Pair(1, -1, BEGIN, BEGIN + 90_000)]), bad))
        assert answers[0] == answers[1]


def test_a_segment_of_many_bands_is_read_alike(url: str, tmp_path: Path) -> None:
    # A dictionary of over 8 KB: parquet-java to 1.17 could not unpack LZ4's where it filters by it
    # (its issue 3478), as it does for Spark's readers of columns.
    rows = [(1, 2 + n % 2000, BEGIN + n, 300, 75, -60, -55) for n in range(4000)]
    file = segment(tmp_path, rows)
    answers: list[Any] = []
    for name in (DUCKDB, url):
        with engine.opened([file], store.damaged, engine=name) as (db, _):
            answers.append(evidence(db, [Pair(1, -1, BEGIN, BEGIN + 90_000)]))
    assert len(answers[0][0]) == 4000 and answers[0] == answers[1]


def test_the_server_answers_by_spark_as_by_duckdb(url: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.met(A, B, NOON, 30)
    desk.dock()
    server = TracingServer(tmp_path / "server", utc=lambda: END, engine=url)
    by_spark = server.tracing.trace(A, NOON - 3600, END, degrees=2)
    assert by_spark == desk.trace(degrees=2)
    assert by_spark["contacts"][0]["must_call"]
    assert server.tracing.trace(A, NOON - 3600, END, degrees=2, asked=DUCKDB) == by_spark


def test_files_that_spark_does_not_see_are_no_empty_answer(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = segment(tmp_path, met(1, 2, 0, 20))
    # Spark on another machine, or as another user, has nothing at that path.
    monkeypatch.setattr(spark, "_location", lambda path: f"file:///elsewhere{path}")
    with pytest.raises(Fault) as caught, engine.opened([file], engine=url):
        pass
    said = case_words.refusal(caught.value.code, caught.value.values) or ""
    assert "does not see" in said and str(tmp_path) in said and "\n" not in said
    monkeypatch.undo()
    with pytest.raises(Fault) as caught, engine.opened([file], engine=url) as (db, _):
        file.unlink()  # a worker has lost it, after the first look
        evidence(db, [Pair(1, -1, BEGIN, BEGIN + 90_000)])
    assert caught.value.code == "engine_path"


def test_the_trial_of_both_engines_sees_a_question_that_is_asked_differently(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the campaign has a master and two workers, this has the one Spark of these tests.
    monkeypatch.setattr(local_spark, "spark", lambda *_args, **_more: nullcontext(url))
    monkeypatch.setattr(trial, "MEETINGS", 3000)
    monkeypatch.setattr(trial, "DEGREES", 1)
    counts: list[int] = []

    def counting(db: Session, pairs: Sequence[Pair]) -> list[list[Evidence]]:
        found = evidence(db, pairs)
        counts.append(sum(map(len, found)))
        return found

    monkeypatch.setattr(trial, "evidence", counting)
    altered = Tally("spark", 1)
    trial.run(altered, 1, text=lambda sql: sql.replace("p.other = -1 OR ", ""))
    # Every record is missed, which Spark was not asked for, and every contact is alike.
    assert counts[0] > counts[1] == 0
    assert (altered.rounds, altered.lost, altered.doubled) == (1, counts[0], 0)
    assert altered.figures["spark_to_duckdb"] > 0


# --- without Spark ------------------------------------------------------------------------------


def test_a_wrong_engine_is_refused_before_the_server_starts(tmp_path: Path) -> None:
    for name in ("spark", "sc://", "sc://host:port", "http://host:15002", "sc://h:1/data", ""):
        done = CliRunner().invoke(
            make_verbs(["serve"]), ["serve", "--data", str(tmp_path), "--engine", name]
        )
        assert isinstance(done.exception, UserError) and done.exception.code == 2
        assert "give duckdb, or sc://HOST:PORT" in done.exception.message


def test_when_nobody_answers_no_other_engine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyspark", reason="requirements/spark.txt is not installed")
    monkeypatch.setattr(spark, "_ANSWERS_S", 1)
    desk = Desk(tmp_path)
    desk.met(A, B, NOON, 30)
    desk.dock()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        # Nobody listens; somebody listens who never says a word.
        for name in (SILENT, f"sc://127.0.0.1:{mute.getsockname()[1]}/;token=secret"):
            server = TracingServer(tmp_path / "server", utc=lambda: END, engine=name)
            began = time.monotonic()
            with pytest.raises(Refused) as caught:
                server.tracing.trace(A, NOON - 3600, END)
            assert time.monotonic() - began < 30
            said = case_words.refusal(caught.value.code, caught.value.values) or ""
            assert said.startswith("No Spark Connect server answers at sc://127.0.0.1:")
            assert "secret" not in said


def test_a_tracer_may_not_send_the_server_elsewhere(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.met(A, B, NOON, 30)
    desk.dock()
    app = make_app(tmp_path / "server", lambda: END)
    token = (tmp_path / "server" / "tracer-token").read_text()
    http = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    asked = {"from": "2026-11-01", "to": "2026-11-30"}
    answer = http.get(f"/v1/traces/{A}", params=asked | {"engine": SILENT})
    assert answer.status_code == 400 and answer.json()["code"] == "engine_other"
    said = case_words.refusal("engine_other", answer.json()["values"])
    assert said == (
        f"This server asks duckdb, not {SILENT}: start it by zoneband serve --engine {SILENT}."
    )
    assert http.get(f"/v1/traces/{A}", params=asked | {"engine": DUCKDB}).status_code == 200


def test_without_pyspark_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyspark.sql.connect.session", None)
    with pytest.raises(Fault) as caught, engine.opened([], engine=SILENT):
        pass
    said = case_words.refusal(caught.value.code, caught.value.values) or ""
    assert "requirements/spark.txt" in said


def test_without_java_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    old = tmp_path / "java"
    for text in (None, "echo 'openjdk version \"11.0.2\"' >&2", "exit 3"):
        if text:
            old.write_text(f"#!/bin/sh\n{text}\n")
            old.chmod(0o755)
        with pytest.raises(UserError, match="Java 17 or newer: sudo apt install"):
            local_spark.java()
    result = CliRunner().invoke(
        make_verbs(["campaign"]), ["campaign", "spark", "--rounds", "1", "--data", str(tmp_path)]
    )
    assert isinstance(result.exception, UserError) and "Java 17" in result.exception.message
