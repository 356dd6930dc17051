"""What all tests share: the parts of a new server that take long to make, and no deadlines."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from zoneband import authority

# How long an example takes tells how busy the computer is; pytest's own limit is on what hangs.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


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
