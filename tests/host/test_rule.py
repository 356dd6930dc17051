"""The exposure rule, against a second implementation that counts second by second."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from zoneband.tracing.attenuation import attenuation_db
from zoneband.tracing.exposure import SIGHTING_S, judge
from zoneband.tracing.query import Evidence
from zoneband.tracing.rules import DAY_S, RuleSet

BEGIN = 1_793_664_000
NEAR_DBM = -72


def record(start: int, duration: int, sightings: int, rssi: int, observer: int = 1) -> Evidence:
    return Evidence(
        observer=observer, contact=3 - observer, start_s=BEGIN + start, duration_s=duration,
        sightings=sightings, rssi_mean=rssi, rssi_max=rssi + 5, due_s=0, clock=2,
        log_id=1, sector=0, slot=4,
    )  # fmt: skip


records = st.lists(
    st.builds(
        record,
        st.integers(0, 6000), st.integers(0, 900), st.integers(1, 400), st.integers(-95, -45),
        st.sampled_from([1, 2]),
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


def by_seconds(rule: RuleSet, rows: list[Evidence], from_s: int, to_s: int) -> dict[str, Any]:
    """The same question, a second at a time."""
    here: set[int] = set()
    weight: dict[int, float] = {}
    level: dict[int, float] = {}
    for row in rows:
        length = max(row.duration_s, SIGHTING_S)
        for second in range(row.start_s, row.start_s + length):
            if from_s <= second < to_s:
                here.add(second)
                window = second // rule.window_s
                weight[window] = weight.get(window, 0) + row.sightings / length
                level[window] = level.get(window, 0) + row.sightings / length * row.rssi_mean
    ordered = sorted(here)
    for a, b in zip(ordered, ordered[1:], strict=False):
        if b - a - 1 <= rule.bridge_s:
            here.update(range(a, b))
    near = {w for w, n in weight.items() if round(level[w] / n, 6) >= NEAR_DBM}
    near_s = [second for second in here if second // rule.window_s in near]
    most = 0
    for first in near:
        end = first * rule.window_s + DAY_S
        most = max(
            most,
            sum(
                first * rule.window_s <= s and s // rule.window_s * rule.window_s < end
                for s in near_s
            ),
        )
    return {"near": len(near_s) / 60, "total": len(here) / 60, "most": most / 60}


@settings(deadline=None, max_examples=150)
@given(records, st.integers(-100, 5000), st.integers(100, 8000))
def test_it_agrees_with_counting_seconds(rows: list[Evidence], begin: int, length: int) -> None:
    rule = RuleSet()
    from_s, to_s = BEGIN + begin, BEGIN + begin + length
    found = judge(rule, rows, from_s, to_s)
    true = by_seconds(rule, rows, from_s, to_s)
    # A gap between two windows may be bridged into a window where nothing was heard.
    assert abs(found["total_min"] - true["total"]) <= 0.2
    assert abs(found["near_min"] - true["near"]) <= 0.2
    if abs(true["most"] - rule.min_minutes) > 0.2:
        assert found["must_call"] == (true["most"] >= rule.min_minutes)


def test_a_mean_right_at_the_threshold_is_near() -> None:
    rows = [record(n, 53, 1 + n, -72, 1 + n % 2) for n in range(7)]
    assert judge(RuleSet(), rows, BEGIN + 4, BEGIN + 104)["near_min"] > 0


def test_fifteen_minutes_within_any_day_and_not_over_two() -> None:
    ten = [record(0, 600, 150, -65)]
    later = [record(DAY_S - 1200, 600, 150, -65)]
    far_later = [record(DAY_S + 1200, 600, 150, -65)]
    end = BEGIN + 3 * DAY_S
    assert not judge(RuleSet(), ten, BEGIN, end)["must_call"]
    assert judge(RuleSet(), ten + later, BEGIN, end)["must_call"]
    assert not judge(RuleSet(), ten + far_later, BEGIN, end)["must_call"]
    assert judge(RuleSet(), ten + far_later, BEGIN, end)["near_min"] == 20


def test_one_strong_sighting_among_weak_ones_makes_nobody_a_contact() -> None:
    rows = [record(n * 300, 298, 60, -85) for n in range(6)] + [record(450, 0, 1, -45)]
    assert judge(RuleSet(), rows, BEGIN, BEGIN + DAY_S)["near_min"] == 0


def test_the_two_sides_are_pooled_not_added() -> None:
    both = [record(0, 600, 150, -65, 1), record(5, 600, 150, -66, 2)]
    found = judge(RuleSet(), both, BEGIN, BEGIN + DAY_S)
    assert 10 <= found["total_min"] <= 10.2


def test_the_default_threshold_of_52_db_is_minus_72_dbm() -> None:
    assert attenuation_db(NEAR_DBM) == RuleSet().steps[0][0]
