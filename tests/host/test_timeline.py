"""True UTC from run time and clock points."""

from hypothesis import given
from hypothesis import strategies as st

from zoneband.server.timeline import Point, Quality, Timeline

UTC = 1_793_682_000.0


@given(st.floats(-40e-6, 40e-6), st.lists(st.integers(0, 800_000), min_size=2, max_size=8))
def test_a_steady_crystal_is_straightened_between_points(rate: float, runs: list[int]) -> None:
    points = [Point(run, UTC + run * (1 + rate), Quality.VOUCHED) for run in runs]
    line = Timeline(points)
    for run in range(min(runs), max(runs), 50_000):
        assert abs(line.utc(run) - (UTC + run * (1 + rate))) < 0.01


@given(st.integers(1, 100_000), st.floats(5, 100_000))
def test_a_step_is_no_rate(run: int, step: float) -> None:
    line = Timeline(
        [Point(0, UTC, Quality.VOUCHED), Point(run, UTC + run + max(step, run), Quality.VOUCHED)]
    )
    assert abs(line.utc(run / 4) - (UTC + run / 4)) < 0.01
    assert abs(line.utc(run * 0.9) - (UTC + run * 0.9 + max(step, run))) < 0.01


def test_only_the_best_points_count() -> None:
    wrong = Point(100, UTC - 9_000_000, Quality.SUSPECT)
    own = Point(200, UTC + 200 + 40, Quality.RUNNING)
    right = Point(300, UTC + 300, Quality.VOUCHED)
    assert Timeline([wrong, own, right]).utc(100) == UTC + 100
    assert Timeline([wrong, own]).utc(100) == UTC + 140
    assert Timeline([wrong]).utc(100) == UTC - 9_000_000
    assert not Timeline([])
