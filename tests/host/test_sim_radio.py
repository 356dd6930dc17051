"""The modelled air: buffers that overflow, a pace that is the line's, draws that repeat."""

from hypothesis import given
from hypothesis import strategies as st

from zoneband.sim.radio import Segment, hear, in_reach, mean_rssi, shadow_db
from zoneband.sim.reports import ReportQueue


def test_eight_reports_wait_and_the_rest_is_lost() -> None:
    queue = ReportQueue(8, 500)
    assert [queue.offer(1000) for _ in range(10)] == [True] * 8 + [False] * 2
    assert queue.offer(1500)  # one is done
    assert not queue.offer(1500)
    assert all(queue.offer(10_000 + 500 * n) for n in range(50))


def test_while_flash_is_erased_eight_are_kept_however_long_it_takes() -> None:
    queue = ReportQueue(8, 500)
    queue.deaf(1000, 41_000)
    assert [queue.offer(2000 + 100 * n) for n in range(12)] == [True] * 8 + [False] * 4
    assert not queue.offer(41_400)
    assert queue.offer(41_500)


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 8), st.integers(1, 900))
def test_it_is_a_queue_of_that_length(gaps: list[int], buffers: int, cost: int) -> None:
    # Second implementation: who is in the system at each arrival.
    queue = ReportQueue(buffers, cost)
    at = 0
    leaves: list[int] = []
    for gap in gaps:
        at += gap
        inside = [end for end in leaves if end > at]
        assert queue.offer(at) == (len(inside) < buffers)
        if len(inside) < buffers:
            leaves.append(max([at, *inside]) + cost)


def sender(key: int, start_us: int = 0) -> Segment:
    return Segment(key, start_us, 100_000, 2, 1, bytes(6), bytes(23))


def test_the_same_seed_hears_the_same_and_another_does_not() -> None:
    def once(seed: int) -> list[tuple[int, int]]:
        heard = hear(seed, 1, 0, 5_000_000, 9_000_000, [(0, 2.0, [sender(7)])], 0.3)
        return [(h.at_us, h.rssi) for h in heard]

    assert once(1) == once(1) != once(2)
    assert 20 <= len(once(1)) <= 36  # 40 beacons less a third


def test_beacons_keep_their_interval_and_its_random_delay() -> None:
    at = sender(3).events(0, 60_000_000)
    steps = at[1:] - at[:-1]
    assert steps.min() >= 100_000 and steps.max() < 110_000
    assert 104_000 < steps.mean() < 106_000


def test_a_pair_at_the_same_moment_is_lost_unless_one_is_much_stronger() -> None:
    alike = [(n, 2.0, [sender(9)]) for n in range(2)]
    assert len(hear(1, 5, 0, 0, 5_000_000, alike, 0.0)) < 16  # of 47 pairs
    near_and_far = [(0, 0.5, [sender(9)]), (1, 60.0, [sender(9)])]
    heard = hear(1, 5, 0, 0, 5_000_000, near_and_far, 0.0)
    assert len(heard) > 30 and all(h.rssi > -80 for h in heard)


def test_levels_fall_with_distance_and_bodies_take_up_to_twelve_db() -> None:
    assert mean_rssi(1) == -59 and mean_rssi(2) > mean_rssi(4) > mean_rssi(8)
    assert in_reach(30) and not in_reach(2000)
    drawn = [shadow_db(1, 0, 1, minute * 60_000_000) for minute in range(500)]
    assert 0 <= min(drawn) and max(drawn) <= 12 and 5 < sum(drawn) / 500 < 7
