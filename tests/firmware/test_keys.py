"""ID keys: whatever byte the power goes at, the band has its later IDs and none of the earlier."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from band.keys import BandKeys
from support import NorFlash, PowerCut
from wire import bluezone

BASE = bytes(range(32))
DAY = 20_400


def oracle(day: int, slot: int) -> bytes:
    key = BASE
    for _ in range(day - DAY):
        key = bluezone.next_day_key(key)
    return bluezone.day_ids(key)[slot]


def at(day: int, slot: int) -> int:
    return day * 86_400 + slot * 900


def secrets_before(day: int, slot: int) -> list[bytes]:
    """Keys from which IDs before a slot follow."""
    keys = []
    day_key = BASE
    for each in range(DAY, day + 1):
        keys.append(day_key)
        slot_key = bluezone.first_slot_key(day_key)
        for n in range(96):
            if (each, n) < (day, slot):
                keys.append(slot_key)
            slot_key = bluezone.next_slot_key(slot_key)
        day_key = bluezone.next_day_key(day_key)
    return keys


def fresh(path: Path) -> tuple[NorFlash, BandKeys]:
    flash = NorFlash(str(path), 2)
    keys = BandKeys(flash)
    keys.provision(DAY, BASE)
    return flash, keys


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 60), max_size=12))
def test_ids_are_the_vectors_own_however_time_steps(tmp_path_factory, steps: list[int]) -> None:
    flash, keys = fresh(tmp_path_factory.mktemp("keys") / "k.bin")
    slot = 0
    for step in steps:
        slot += step
        day, n = DAY + slot // 96, slot % 96
        assert keys.id_at(at(day, n), at(day, n)) == oracle(day, n)
        assert not keys.ahead
        assert BandKeys(flash).load()
        data = Path(flash._file.name).read_bytes()
        assert not any(secret in data for secret in secrets_before(day, n))


def test_going_back_gives_the_earliest_id_that_is_left(tmp_path: Path) -> None:
    _, keys = fresh(tmp_path / "k.bin")
    keys.id_at(at(DAY + 1, 5), at(DAY + 2, 0))
    assert keys.id_at(at(DAY, 5), at(DAY + 2, 0)) == oracle(DAY + 1, 5)
    assert keys.ahead
    with pytest.raises(OverflowError):
        keys.id_at(at(DAY + 3, 0), at(DAY + 2, 0))


@pytest.mark.parametrize(
    ("start", "to"),
    [((DAY, 0), (DAY, 1)), ((DAY, 95), (DAY + 1, 0)), ((DAY, 3), (DAY + 3, 7))],
)
def test_power_cut_at_every_byte_of_a_step(
    tmp_path: Path, start: tuple[int, int], to: tuple[int, int]
) -> None:
    cut = 0
    while True:
        path = tmp_path / "k.bin"
        path.unlink(missing_ok=True)
        flash, keys = fresh(path)
        keys.id_at(at(*start), at(*to))
        flash.cut_after = cut
        try:
            keys.id_at(at(*to), at(*to))
        except PowerCut:
            pass
        else:
            break
        flash.cut_after = -1
        again = BandKeys(flash)
        assert again.load(), cut
        assert again.id_at(at(*to), at(*to)) == oracle(*to), cut
        data = path.read_bytes()
        assert not any(secret in data for secret in secrets_before(*to)), cut
        cut += 1
    assert cut >= 88


def test_power_cut_at_every_place_of_a_change_of_sector(tmp_path: Path) -> None:
    for cut in [*range(0, 4096, 97), *range(4096, 4096 + 300)]:
        path = tmp_path / "k.bin"
        path.unlink(missing_ok=True)
        flash, keys = fresh(path)
        slot = 0
        while keys._free < 64:
            slot += 1
            keys.id_at(at(DAY, slot), at(DAY, slot))
        flash.cut_after = cut
        try:
            keys.id_at(at(DAY, slot + 1), at(DAY, slot + 1))
        except PowerCut:
            pass
        flash.cut_after = -1
        again = BandKeys(flash)
        assert again.load(), cut
        for n in range(slot + 1, 96):
            assert again.id_at(at(DAY, n), at(DAY, n)) == oracle(DAY, n), cut
        # Through the next changes too: a cut may not leave a key where an erase falls.
        assert again.id_at(at(DAY + 1, 9), at(DAY + 1, 9)) == oracle(DAY + 1, 9)


@pytest.mark.parametrize("used", [2, 40, 62, 64])
def test_power_cut_at_every_byte_of_a_change_of_the_base_key(tmp_path: Path, used: int) -> None:
    other, now = bytes(reversed(BASE)), at(DAY, 70)
    new_ids = bluezone.day_ids(other)
    old = [bluezone.id_of(key) for key in secrets_before(DAY, 71)]
    cuts = range(0, 4600, 1 if used < 60 else 61)
    for cut in cuts:
        path = tmp_path / "k.bin"
        path.unlink(missing_ok=True)
        flash, keys = fresh(path)
        for slot in range(1, used - 1):
            keys.id_at(at(DAY, slot), at(DAY, slot))
        assert keys._free == used
        flash.cut_after = cut
        done = False
        try:
            keys.renew(now, other)
            done = True
        except PowerCut:
            pass
        flash.cut_after = -1
        again = BandKeys(flash)
        assert again.load(), cut
        found = again.id_at(now, now)
        assert found in (new_ids[70], oracle(DAY, 70)), cut
        if done:
            assert found == new_ids[70]
        if found == new_ids[70]:
            image = path.read_bytes()
            windows = {bluezone.id_of(image[i : i + 32]) for i in range(len(image) - 31)}
            assert not windows & {*old, *new_ids[:70]}, cut
            assert (
                again.id_at(at(DAY + 1, 3), at(DAY + 1, 3))
                == bluezone.day_ids(bluezone.next_day_key(other))[3]
            )
        if done:
            break
    assert done


def test_a_band_has_64_base_keys_and_no_more(tmp_path: Path) -> None:
    flash, keys = fresh(tmp_path / "k.bin")
    for turn in range(63):
        keys.renew(at(DAY, 0), bytes([turn]) * 32)
    again = BandKeys(flash)
    assert again.load()
    assert again.id_at(at(DAY, 1), at(DAY, 1)) == bluezone.day_ids(bytes([62]) * 32)[1]
    with pytest.raises(OverflowError):
        again.renew(at(DAY, 0), BASE)
    again.erase()
    assert not BandKeys(flash).load()


def test_a_blank_or_damaged_partition_is_no_key(tmp_path: Path) -> None:
    assert not BandKeys(NorFlash(str(tmp_path / "blank.bin"), 2)).load()
    flash, _ = fresh(tmp_path / "k.bin")
    flash.writeblocks(0, bytes(4096))
    assert not BandKeys(flash).load()
