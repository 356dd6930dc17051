"""What all tests share: the parts of a new server that take long to make, and no deadlines."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from zoneband import authority

# Files that take long, the longest first: they begin first, so that at the end of a run no worker
# still has one of them while the others have nothing left to do.
_LONGEST = (
    "end_to_end/test_flash.py",
    "host/test_spark.py",
    "end_to_end/test_virtual_bands.py",
    "end_to_end/test_faults.py",
    "end_to_end/test_flash_locked.py",
    "browser/test_tracer_pages.py",
    "end_to_end/test_demo.py",
    "end_to_end/test_kill.py",
    "end_to_end/test_campaigns.py",
    "end_to_end/test_api_campaign.py",
    "host/test_sealed_logs.py",
    "host/test_dishonest_stations.py",
    "firmware/test_update.py",
    "host/test_groups.py",
    "end_to_end/test_orders_on_bands.py",
    "host/test_erasure.py",
    "end_to_end/test_docks_that_go_wrong.py",
)

# How long an example takes tells how busy the computer is; pytest's own limit is on what hangs.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, all others as they come."""
    places = {name: at for at, name in enumerate(_LONGEST)}
    assert all((Path(__file__).parent / name).is_file() for name in _LONGEST)

    def place(item: pytest.Item) -> int:
        path = Path(item.path)
        return places.get(f"{path.parent.name}/{path.name}", len(places))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What is read by now stays: to look through all of it for rubbish, again and again, took a
    twentieth of the run."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_sessionfinish() -> None:
    """Extensions complain of what is never freed."""
    gc.unfreeze()


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
