"""Numbers go into Arrow columns and come out again."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from zoneband.arrow import column, numbers, raw

INTEGERS = st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1))


@given(st.lists(INTEGERS, max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_what_goes_in_comes_out_and_nulls_are_nulls(
    values: list[int | None], begin: int, end: int
) -> None:
    there = np.array([value is not None for value in values], np.bool_)
    made = column(np.array([value or 0 for value in values], np.int64), there)
    assert made.to_pylist() == values
    found = numbers(pa.chunked_array([made[begin:], made[:end]], pa.int64()), -7)
    expected = [*values[begin:], *values[:end]]
    assert found.tolist() == [-7 if value is None else value for value in expected]


@given(st.lists(st.binary(min_size=3, max_size=3), max_size=20), st.integers(0, 20))
def test_bytes_come_out_row_by_row(values: list[bytes], begin: int) -> None:
    held = [None, pa.py_buffer(b"".join(values))]
    made = pa.Array.from_buffers(pa.binary(3), len(values), held)
    found = raw(pa.chunked_array([made[begin:], made[:0]], pa.binary(3)), 3)
    assert [bytes(row) for row in found] == values[begin:]


def test_columns_of_reals_and_strides_are_whole() -> None:
    wide: Any = np.arange(12.0).reshape(4, 3)
    assert column(wide[:, 1]).to_pylist() == [1.0, 4.0, 7.0, 10.0]
    assert numbers(pa.chunked_array([pa.nulls(3, pa.int64())]), -1).tolist() == [-1, -1, -1]
    assert numbers(pa.chunked_array([], pa.int64()), -1).tolist() == []
