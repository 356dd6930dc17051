"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from street import Street


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """Two bands a metre apart."""
    made = Street(tmp_path, [0.0, 1.0])
    yield made
    made.sim.__exit__()
