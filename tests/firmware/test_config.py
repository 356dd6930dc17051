"""The config: ranges are checked, a bad file never stops a band, a cut write never loses one."""

import json
from pathlib import Path

import pytest

from band.config import RANGES, Config


def test_defaults_lie_in_their_ranges() -> None:
    for name, (default, low, high) in RANGES.items():
        assert low <= default <= high, name


def test_what_is_set_is_there_at_the_next_start(tmp_path: Path) -> None:
    path = str(tmp_path / "config.json")
    Config(path).set("window_ms", 200)
    assert Config(path).window_ms == 200


@pytest.mark.parametrize("name", list(RANGES))
def test_values_outside_their_range_are_refused_and_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.json"
    config = Config(str(path))
    _, low, high = RANGES[name]
    for value in (low - 1, high + 1, "7", None, True, 1.5):
        with pytest.raises(ValueError, match=f"{name} must be {low} to {high}"):
            config.set(name, value)
    assert not path.exists()
    path.write_text(json.dumps({name: high + 1}))
    found = Config(str(path))
    assert getattr(found, name) == RANGES[name][0]
    assert name in found.problem


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "\x00" * 40, '{"colour": 3}'])
def test_a_bad_file_leaves_the_defaults_and_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    config = Config(str(path))
    assert config.window_ms == RANGES["window_ms"][0]
    assert config.problem


def test_a_cut_at_every_byte_of_a_write_leaves_the_old_values_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    Config(str(path)).set("window_ms", 150)
    old = path.read_bytes()
    Config(str(path)).set("window_ms", 250)
    new = path.read_bytes()
    for size in range(len(new) + 1):
        # Up to the rename, only the file beside it holds what was written by then.
        path.write_bytes(old)
        (tmp_path / "config.json.new").write_bytes(new[:size])
        assert Config(str(path)).window_ms == 150
        Config(str(path)).set("window_ms", 300)
        assert Config(str(path)).window_ms == 300
