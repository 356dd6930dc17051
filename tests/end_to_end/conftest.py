"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from street import Street
from zoneband.sim.workshop import Workshop


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """Two bands a metre apart."""
    made = Street(tmp_path, [0.0, 1.0])
    yield made
    made.sim.__exit__()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """One provisioning bench; each test takes boards of its own out of the box."""
    with Workshop(tmp_path_factory.mktemp("workshop")) as made:
        yield made


@pytest.fixture
def slot(shop: Workshop) -> Iterator[int]:
    """A free slot, emptied afterwards."""
    free = next(n for n in range(1, 100) if n not in shop.tray.slots)
    yield free
    if free in shop.tray.slots:
        shop.tray.pull(free)
