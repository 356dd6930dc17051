"""Rule sets: read, kept whole with an answer, and refused when they could be read in two ways."""

import json
from pathlib import Path

import pytest

from zoneband.errors import UserError
from zoneband.tracing import rules
from zoneband.tracing.rules import RuleSet


def test_the_built_in_rule_sets_are_what_they_are_known_for() -> None:
    found = rules.load()
    assert set(found) == {"vietnam", "gaen", "corona-warn-app"}
    assert found[rules.DEFAULT] == RuleSet()
    assert found["vietnam"].steps == ((52, 1),) and found["vietnam"].period_s == 86_400
    assert found["gaen"].steps == ((55, 1), (63, 0.5))
    german = found["corona-warn-app"]
    assert (german.drop_shorter_min, german.drop_beyond_db) == (10, 73)
    assert german.period_s == 14 * 86_400


@pytest.mark.parametrize("name", ["vietnam", "gaen", "corona-warn-app"])
def test_a_stored_rule_set_is_read_back_as_it_was(name: str) -> None:
    rule = rules.load()[name]
    assert RuleSet.from_json(json.loads(json.dumps(rule.as_json()))) == rule


def test_a_servers_own_rule_sets_stand_beside_the_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('name = "school"\nsteps = [[60, 1.5], [65, 0.5]]\n')
    found = rules.load(tmp_path)
    assert len(found) == 4 and found["school"].weight(64) == 500 and found["school"].near(60)
    assert rules.load(tmp_path / "none").keys() == rules.load().keys()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('name = "x"\nsteps = [[60, 1], [55, 0.5]]', "steps"),
        ('name = "x"\nsteps = [[55, 0.5], [60, 1]]', "steps"),
        ('name = "x"\nsteps = [[55, 1], [55, 0.5]]', "steps"),
        ('name = "x"\nsteps = []', "steps"),
        ('name = "x"\nsteps = [[55]]', "steps"),
        ('name = "x"\nmin_minutes = 0', "min_minutes"),
        ('name = "x"\nmin_minutes = nan', "min_minutes"),
        ('name = "x"\nwindow_s = "five"', "window_s"),
        ('name = "x"\nperiod_s = 99999999', "period_s"),
        ('name = "x"\ndays_before = -1', "days_before"),
        ('name = "x"\nminutes = 15', "minutes"),
        ("min_minutes = 10", "name"),
        ('name = "A b"', "name"),
        ('name = "gaen"', "name"),
        ("name = ", "x.toml"),
        ("\xff\xfe", "x.toml"),
    ],
)
def test_a_bad_rule_set_is_refused_in_one_line_with_file_and_key(
    tmp_path: Path, text: str, key: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as refused:
        rules.load(tmp_path)
    message = refused.value.message
    assert str(path) in message and key in message and "\n" not in message


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text('name = "school"\n')
    with pytest.raises(UserError) as refused:
        rules.load(tmp_path)
    assert "a.toml" in refused.value.message and "b.toml" in refused.value.message
