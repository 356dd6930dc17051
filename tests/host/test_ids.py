"""Rotating IDs: every vector of the Android release, on CPython, in the VM, at the terminal."""

import json

import pytest
from typer.testing import CliRunner

from support import ROOT, run_in_vm
from zoneband.cli.ids import check
from zoneband.cli.main import make_app
from zoneband.errors import UserError
from zoneband.wire import bluezone

VECTORS = json.loads((ROOT / "tests/vectors/bluezone.json").read_text())


def test_all_vectors_hold() -> None:
    wrong, count = check(VECTORS["vectors"])
    assert wrong == []
    assert count >= 480


def test_slots_change_where_the_vectors_say() -> None:
    for case in VECTORS["slot_edge_cases"]:
        assert bluezone.slot_at(case["t_ms"] // 1000) == case["slot96"]


def test_the_beacon_is_the_one_phones_log() -> None:
    example = VECTORS["advertisement_example"]
    data = bluezone.beacon(bytes.fromhex(example["bluezone_id"]))
    assert data.hex().upper() == example["adv_data_with_flags_06"]
    assert len(data) == bluezone.BEACON_BYTES == example["length_bytes"]


def test_only_a_whole_beacon_counts() -> None:
    good = bluezone.beacon(b"x" * 12)
    assert bluezone.find_id(good) == 11
    swapped = good[:3] + good[7:] + good[3:7]
    assert swapped[bluezone.find_id(swapped) :][:12] == b"x" * 12
    for bad in (
        good[:-1],
        good[7:],
        good[:7],
        good.replace(b"\x56\x4e", b"\x56\x4f"),
        good.replace(b"\xb5\x22", b"\xb5\x23"),
        b"",
        b"\x00",
        b"\xff" * 31,
    ):
        assert bluezone.find_id(bad) == -1


def test_the_vm_makes_the_same_ids() -> None:
    code = (
        "import json\nfrom wire import bluezone\n"
        f"d = json.load(open({str(ROOT / 'tests/vectors/bluezone.json')!r}))\n"
        "n = 0\n"
        "for v in d['vectors']:\n"
        "    for day in v['days']:\n"
        "        ids = bluezone.day_ids(bytes.fromhex(day['daily_key']), v['max_per_day'])\n"
        "        for one in day['ids']:\n"
        "            assert ids[one['slot']] == bytes.fromhex(one['bluezone_id'])\n"
        "            n += 1\n"
        "from band import selftest\nassert selftest.ids_right()\nprint(n)\n"
    )
    assert int(run_in_vm(code, heap="400wK")) == 72


def test_the_verb_prints_96_ids_of_the_day() -> None:
    key = VECTORS["vectors"][0]["base_id"]
    words = ["ids", "--base-key", key, "--base-day", "2020-08-08", "--day", "1"]
    result = CliRunner().invoke(make_app(words), words)
    lines = result.stdout.split()
    assert len(lines) == 96
    day1 = VECTORS["vectors"][0]["days"][1]
    assert lines[day1["ids"][0]["slot"]] == day1["ids"][0]["bluezone_id"]


@pytest.mark.parametrize(
    "words",
    [
        ["ids", "--base-key", "12", "--base-day", "2020-08-08"],
        ["ids", "--base-key", "0" * 64, "--base-day", "yesterday"],
        ["ids"],
        ["ids", "--verify", "/nowhere.json"],
    ],
)
def test_bad_arguments_get_one_line(words: list[str]) -> None:
    result = CliRunner().invoke(make_app(words), words)
    assert isinstance(result.exception, UserError)
    assert result.exception.code == 2
    assert "\n" not in result.exception.message
