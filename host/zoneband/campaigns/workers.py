"""Rounds side by side, their results in order."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def each_in_turn(
    work: Callable[[int], _T], numbers: Iterable[int], at_once: int = 0
) -> Iterator[_T]:
    """work(number) for each, some at once (0: as many as this computer has cores), in order."""
    with ThreadPoolExecutor(at_once or os.cpu_count() or 1) as pool:
        yield from pool.map(work, numbers)
