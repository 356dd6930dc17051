"""What all tests share: the parts of a new server that take long to make."""

from collections.abc import Iterator

import pytest

from zoneband import authority


@pytest.fixture(scope="session", autouse=True)
def quick_authority() -> Iterator[None]:
    """Argon2id at its least cost for keys of the authority that tests make in this process. A key's
    file says its cost, so whoever unlocks it takes as little; tests/host/test_seal.py has the real
    one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authority, "_PASSES", 1)
        patch.setattr(authority, "_LANES", 1)
        patch.setattr(authority, "_KIB", 64)
        yield
