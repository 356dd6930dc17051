"""Segments: what is written is read, by this program and of older ones, and rows go out of both."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from support import ROOT
from zoneband.server import store
from zoneband.server.unwanted import UNPLACED_DAY, Erased, Unwanted

DAY = 20_760
DAY_S = 86_400


def columns(count: int, bands: int = 5) -> store.Columns:
    """Rows of a day, of which each number is its own."""
    rng = np.random.default_rng(count)
    made: store.Columns = {
        name: rng.integers(-1 << 40, 1 << 40, count)
        for name in store.SCHEMA.names
        if name != "rotating_id"
    }
    made |= {name: rng.integers(1, bands + 1, count) for name in ("observer", "contact")}
    made["start_s"] = DAY * DAY_S + rng.integers(0, DAY_S, count)
    made["clock"] = rng.integers(-1, 3, count)
    made["shares"] = np.where(rng.random(count) < 0.3, -1, rng.integers(0, 1 << 12, count))
    made["rotating_id"] = rng.integers(0, 256, (count, 12), np.uint8)
    return made


def older(root: Path, made: store.Columns, name: str) -> str:
    """A segment as older programs wrote it: every column could be null, all by dictionaries, and
    without the shares."""
    path = store.write(root, DAY, made)
    table = pq.ParquetFile(root / path).read().drop_columns(["shares"])
    fields = [pa.field(each.name, each.type) for each in table.schema]
    table = pa.Table.from_arrays(table.columns, schema=pa.schema(fields))
    pq.write_table(table, root / name, compression="lz4")
    (root / path).unlink()
    return name


@pytest.mark.parametrize("count", [1, 7, 8, 9, 2048, 200_000])
def test_a_segment_is_read_as_it_was_written(tmp_path: Path, count: int) -> None:
    made = columns(count)
    found = store.read(tmp_path, store.write(tmp_path, DAY, made))
    assert found.keys() == made.keys()
    for name, values in made.items():
        np.testing.assert_array_equal(found[name], values, name)


def test_rows_go_out_of_segments_of_older_programs_and_new_ones_alike(tmp_path: Path) -> None:
    made = columns(5000)
    made["shares"][:] = -1
    for path in (older(tmp_path, made, "old.parquet"), store.write(tmp_path, DAY, made)):
        done = store.without(tmp_path, DAY, path, Unwanted(0, [Erased(3, 0, None)]).rows)
        mine = (made["observer"] == 3) | (made["contact"] == 3)
        assert done is not None and done.path is not None and done.rows == (~mine).sum()
        for name, values in store.read(tmp_path, done.path).items():
            np.testing.assert_array_equal(values, made[name][~mine], name)
        for name, values in done.dropped.items():
            np.testing.assert_array_equal(values, made[name][mine], name)


def test_a_merge_takes_segments_of_older_programs_beside_new_ones(tmp_path: Path) -> None:
    made = columns(3000)
    parts = [
        {name: values[of] for name, values in made.items()}
        for of in (slice(1000), slice(1000, None))
    ]
    parts[0]["shares"][:] = -1
    path, count = store.merge(
        tmp_path,
        DAY,
        [older(tmp_path, parts[0], "old.parquet"), store.write(tmp_path, DAY, parts[1])],
    )
    assert count == 3000
    found = store.read(tmp_path, path)
    order = np.lexsort((made["start_s"], made["observer"]))
    assert sorted(zip(found["run_s"].tolist(), found["shares"].tolist(), strict=True)) == sorted(
        zip(made["run_s"].tolist(), made["shares"].tolist(), strict=True)
    )
    for name in ("observer", "start_s"):
        np.testing.assert_array_equal(found[name], made[name][order], name)


def test_rotating_ids_do_not_take_more_than_themselves(tmp_path: Path) -> None:
    # IDs are chance: to look for equal ones costs most of the writing, and makes them larger.
    path = store.write(tmp_path, DAY, columns(100_000))
    group = pq.read_metadata(tmp_path / path).row_group(0)
    sizes = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    assert sizes["rotating_id"].total_compressed_size < 100_000 * 12 * 1.01


bands = st.integers(-1, 5)
times = st.integers(0, 10)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(bands, bands, st.one_of(st.just(-1), times)), max_size=40),
    st.lists(
        st.builds(Erased, bands.filter(lambda band: band > 0), times, st.none() | times), max_size=4
    ),
)
def test_erased_rows_are_those_that_a_row_by_row_look_finds(
    rows: list[tuple[int, int, int]], erased: list[Erased]
) -> None:
    # A time of -1 is one that no clock point places.
    first = DAY * DAY_S
    erased = [
        Erased(band, first + from_s if from_s else 0, None if to_s is None else first + to_s)
        for band, from_s, to_s in erased
    ]
    start = [UNPLACED_DAY * DAY_S + 5 if at < 0 else first + at for _, _, at in rows]

    def wanted(observer: int, contact: int, start_s: int, placed: bool) -> bool:
        for band, from_s, to_s in erased:
            if not placed and from_s == 0 and observer == band:
                return True
            mine = band in (observer, contact)
            if placed and mine and from_s <= start_s and (to_s is None or start_s < to_s):
                return True
        return False

    made = {
        "observer": np.array([row[0] for row in rows], np.int64),
        "contact": np.array([row[1] for row in rows], np.int64),
        "start_s": np.array(start, np.int64),
    }
    assert Unwanted(0, erased).rows(made).tolist() == [
        wanted(observer, contact, start_s, at >= 0)
        for (observer, contact, at), start_s in zip(rows, start, strict=True)
    ]


def test_segments_do_not_read_pandas_which_spark_brings(tmp_path: Path) -> None:
    # To read it takes half a second of every process.
    (tmp_path / "pandas.py").write_text("print('read')\nraise ImportError\n")
    path = store.write(tmp_path, DAY, columns(100))
    work = (
        "import sys, pathlib\n"
        "from zoneband.server import store\n"
        "root, path = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
        f"path = store.write(root, {DAY}, store.read(root, path))\n"
        f"done = store.without(root, {DAY}, path, lambda part: part['observer'] == 1)\n"
        f"print(store.merge(root, {DAY}, [path])[1], len(done.dropped['contact']) > 0)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT / 'host'}"}
    words = [sys.executable, "-c", work, str(tmp_path), path]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "100 True\n"


@pytest.mark.parametrize("older_program", [False, True])
def test_one_flipped_bit_is_known_wherever_it_is(tmp_path: Path, older_program: bool) -> None:
    path = tmp_path / store.write(tmp_path, DAY, columns(300))
    whole = path.read_bytes()
    if older_program:
        path = path.rename(path.with_name(f"s-{hashlib.sha256(whole).hexdigest()}.parquet"))
    else:
        assert path.stem == f"b-{blake3(whole).hexdigest()}"
    assert store.damaged([path]) == set()
    for bit in range(0, 8 * len(whole), 997):
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoilt)
        os.utime(path, ns=(bit, bit))
        assert store.damaged([path]) == {path}
    path.write_bytes(whole)
    assert store.damaged([path]) == set()
