"""The made city that the bench traces in: its truth is what the query finds."""

from pathlib import Path

import pytest

from bench.city import City
from zoneband.server import store
from zoneband.tracing import degrees, engine, rules
from zoneband.tracing.degrees import Span, Wearer


@pytest.mark.parametrize("seed", [1, 2])
def test_a_trace_finds_exactly_whom_the_citys_truth_names(tmp_path: Path, seed: int) -> None:
    city = City(bands=800, days=4, seed=seed)
    segments, count = city.write(tmp_path)
    assert count > 100_000
    cases = city.cases(8, 3)
    spans = [Span(number, *case) for number, case in enumerate(cases)]
    rule = rules.load()[rules.DEFAULT]
    with engine.opened([tmp_path / path for _, path, _ in segments], store.damaged) as (db, bad):
        assert not bad
        degrees.prepare(db, rule, {})
        links = degrees.chains(
            db, rule, spans, 3, lambda at: [Wearer(band, city.to_s) for band, _ in at]
        )
    sure, may = city.truth().reach(cases, 3, city.to_s)
    for degree in range(3):
        found = {link.band for link in links if link.degree <= degree + 1}
        assert sure[degree] <= found <= may[degree]
        assert len(may[degree]) <= 1.02 * len(sure[degree])
    assert 20 < len(sure[0]) < len(sure[1]) < len(sure[2]) < city.bands - 100
    # By the way that is named, nobody passes on what he has not met yet.
    at = {link.band: link for link in links}
    for link in links:
        if link.degree > 1:
            assert at[link.via].degree == link.degree - 1
            assert link.exposed_s >= at[link.via].exposed_s


def test_the_same_seed_gives_the_same_city() -> None:
    a, b = (City(bands=200, days=1).records(0) for _ in range(2))
    assert all((a[name] == b[name]).all() for name in a)
    other = City(bands=200, days=1, seed=6).records(0)
    assert len(other["start_s"]) != len(a["start_s"]) or (other["start_s"] != a["start_s"]).any()
