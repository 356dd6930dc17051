"""Encounter records become columns all at once, each as reading it by itself would have it."""

from hypothesis import given
from hypothesis import strategies as st

from zoneband.server import heard
from zoneband.server.parse import Placed
from zoneband.server.timeline import Point, Quality, Timeline
from zoneband.server.unwanted import DAY_S, UNPLACED_DAY
from zoneband.wire import readers, records

U32 = st.integers(0, (1 << 32) - 1)
RECORDS = st.binary(min_size=23, max_size=23).map(lambda raw: bytes([records.ENCOUNTER]) + raw)
PLACES = st.builds(Placed, U32, st.integers(4, 127), st.integers(0, 3), U32, RECORDS)


@given(st.lists(PLACES, min_size=1, max_size=12))
def test_every_field_is_what_the_record_says(placed: list[Placed]) -> None:
    found = heard.columns(7, 9, placed)
    for n, each in enumerate(placed):
        rid, at_s, duration_s, sightings, mean, top, shares, _ = readers.read_encounter(each.record)
        row = {name: values[n] for name, values in found.items()}
        assert bytes(row.pop("rotating_id")) == rid
        assert row == {
            "run_s": each.base_s + at_s, "duration_s": duration_s, "sightings": sightings,
            "rssi_mean": mean, "rssi_max": top, "shares": shares, "boot_id": each.boot_id,
            "sector": each.sector, "slot": each.slot, "observer": 7, "log_id": 9, "contact": -1,
            "due_s": -1,
        }  # fmt: skip


@given(
    st.lists(PLACES, min_size=1, max_size=12),
    st.dictionaries(
        st.integers(0, 3), st.builds(Point, U32, U32, st.sampled_from(Quality)), max_size=3
    ),
)
def test_every_row_is_placed_by_its_own_boot(
    placed: list[Placed], points: dict[int, Point]
) -> None:
    lines = {boot: Timeline([point]) for boot, point in points.items()}
    rows = heard.columns(7, 9, placed)
    heard.place(rows, lines)
    for n, boot in enumerate(rows["boot_id"].tolist()):
        if boot in lines:
            expected = round(lines[boot].utc(int(rows["run_s"][n]))), lines[boot].quality
        else:
            expected = UNPLACED_DAY * DAY_S, heard.UNPLACED
        assert (rows["start_s"][n], rows["clock"][n]) == expected
