"""Public measurements become band records, and the exposure rules are held against their truth."""

import json
import random
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from support import ROOT
from zoneband.cli.main import main, make_app
from zoneband.evaluate import blueprox, dp3t, score, sets
from zoneband.evaluate.pack import pack
from zoneband.evaluate.scene import Form, Scene, Sighting, Span, pair
from zoneband.tracing.exposure import judge
from zoneband.tracing.rules import RuleSet, load

BEGIN = 1_587_103_200.0
SHARED = ROOT.parent / "shared" / "data" / "dp3t-exp05"
Row = tuple[Any, Any, float, Any, float | None]  # receiver, transmitter, s, dBm, metres


def sighted(a: Any, b: Any, minutes: float, rssi: int, metres: float | None) -> list[Row]:
    """Rows of two phones that hear each other every 10 s."""
    rows: list[Row] = []
    for n in range(round(minutes * 6)):
        at_s = BEGIN + 10 * n
        rows += [(a, b, at_s, rssi, metres), (b, a, at_s + 5, rssi - 2, metres)]
    return rows


def filmed(path: Path, rows: list[Row], scale: float = 1000, kind: str = "INT") -> Path:
    """A file in the published form; scale: ticks of its clock in a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE TABLE results (db_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,"
            f" receiver_id {kind} NOT NULL, receiver_model TEXT NOT NULL,"
            f" transmitter_id {kind} NOT NULL, transmitter_model TEXT NOT NULL,"
            " timestamp REAL NOT NULL, rssi INTEGER NOT NULL, tx_power INTEGER,"
            " ground_truth_distance REAL)"
        )
        db.executemany(
            "INSERT INTO results (receiver_id, receiver_model, transmitter_id, transmitter_model,"
            " timestamp, rssi, tx_power, ground_truth_distance) VALUES (?,'A',?,'A',?,?,-20,?)",
            [(rx, tx, at_s * scale, rssi, metres) for rx, tx, at_s, rssi, metres in rows],
        )
        db.commit()
    return path


def a_scene(path: Path, near_dbm: int = -68, far_dbm: int = -84, **form: Any) -> Path:
    """1 and 2 near each other for 20 minutes, 3 and 4 too, all others 5 m apart."""
    rows: list[Row] = []
    for a, b in ((1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)):
        near = (a, b) in ((1, 2), (3, 4))
        rows += sighted(a, b, 20, near_dbm if near else far_dbm, 1.0 if near else 5.0)
    return filmed(path, rows, **form)


def log(path: Path, stays: list[tuple[float, float, int]], early: bool = False) -> Path:
    """A range-angle log of stays (feet, minutes, dBm), in one of the two published orders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    at = datetime(2020, 5, 16, 10, 39, 50, 868_000, tzinfo=UTC)
    lines: list[str] = []

    def line(event: str, *values: object) -> None:
        nonlocal at
        at += timedelta(milliseconds=1)
        when = at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        first = f"{event},{when}" if early else f"{when},{event}"
        lines.append(",".join([first, *map(str, values)]))

    beacon = "BT" if early else "Bluetooth"
    line("Device", "iPhone 8 Plus", "546888 iPhone")
    for feet, minutes, rssi in stays:
        line("Range", f"{feet:g}")
        line("Angle", 0)
        for n in range(round(minutes * 60)):
            at += timedelta(seconds=1)
            line("Accelerometer", 0.1, -0.7, -0.6)
            line(beacon, "D30D67BC", -40, "[TV] Samsung, 55", -999.0, -1.0)
            line(beacon, "F76A08BF", -50, "None", -999.0, -1.0)
            if rssi:
                line(beacon, "46A3B445", 127 if n % 9 == 0 else rssi, "BlueProxTx", -999.0, -1.0)
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*words: object) -> tuple[int, str, str]:
    """`zoneband evaluate …`: exit code, output, errors."""
    all_words = ["evaluate", *map(str, words)]
    done = CliRunner().invoke(make_app(all_words), all_words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def evaluated(*words: object) -> dict[str, Any]:
    """The JSON of it."""
    return json.loads(run(*words, "--json")[1])


def one(rule: RuleSet, scene: Scene, near_m: float = 2, near_min: float = 10) -> score.Result:
    [result] = score.evaluate([scene], [rule], near_m, near_min)
    return result


VIETNAM = load()["vietnam"]


# --- packing ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.floats(0, 4000), st.integers(0, 3), st.integers(0, 3), st.integers(-100, -40)),
        min_size=1,
        max_size=120,
    )
)
def test_no_sighting_is_lost_or_made_up_on_the_way_through_the_records(
    heard: list[tuple[float, int, int, int]],
) -> None:
    sightings = [
        Sighting(BEGIN + at_s, f"{a}", f"{b}", rssi) for at_s, a, b, rssi in heard if a != b
    ]
    packed = pack(Scene(Form.FILMED, "", "", [], sightings, {}))
    for both, records in packed.items():
        mine = [s for s in sightings if pair(s.observer, s.emitter) == both]
        for side in (0, 1):
            seen = [s for s in mine if s.observer == both[side]]
            kept = [r for r in records if r.observer == side]
            assert sum(r.sightings for r in kept) == len(seen)
            total = sum(r.sightings * r.rssi_mean for r in kept)
            assert abs(total - sum(s.rssi for s in seen)) <= len(seen) / 2
            for each in seen:
                assert any(
                    r.start_s <= each.at_s < r.start_s + r.duration_s + 1
                    and r.rssi_max >= each.rssi
                    for r in kept
                )
    assert {pair(s.observer, s.emitter) for s in sightings} == set(packed)


def test_encounters_close_as_on_a_band() -> None:
    # Heard every 2 s without a pause: far ones close after 15 minutes, near ones after 5, and
    # every one at the slot's edge, where the ID changes.
    def durations(rssi: int) -> list[int]:
        times = [BEGIN + 2 * n for n in range(900)]
        scene = Scene(Form.FILMED, "", "", [], [Sighting(t, "a", "b", rssi) for t in times], {})
        return [r.duration_s for r in pack(scene)["a", "b"]]

    assert BEGIN % 900 == 0
    assert all(880 <= d <= 900 for d in durations(-90)) and len(durations(-90)) == 2
    assert all(d <= 304 for d in durations(-60)) and 6 <= len(durations(-60)) <= 8


def test_what_a_band_cannot_store_does_not_count() -> None:
    # 150 phones pass once in a slot; a band writes 96 encounters a slot, the longest first, and
    # the one that stayed is among them.
    passing = [Sighting(BEGIN + n, "me", f"p{n}", -85) for n in range(150)]
    stayed = [Sighting(BEGIN + 4 * n, "me", "stayed", -65) for n in range(200)]
    records = pack(Scene(Form.FILMED, "", "", [], passing + stayed, {}))
    assert sum(map(len, records.values())) == 96
    assert sum(r.sightings for r in records[pair("me", "stayed")]) == 200


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "kind"), [(1000, "INT"), (1, "TEXT")])
def test_both_clocks_and_both_kinds_of_numbers_of_the_filmed_sets_are_read(
    tmp_path: Path, scale: float, kind: str
) -> None:
    scene = dp3t.read(a_scene(tmp_path / "exp" / "scenario01.sqlite", scale=scale, kind=kind))
    assert (scene.group, scene.name) == ("exp", "scenario01")
    assert list(scene.pairs)[0] == ("01", "02") and len(scene.pairs) == 6
    assert scene.length_s == pytest.approx(1195)
    spans = scene.distance["01", "02"]
    known = sum(s.to_s - s.from_s for s in spans)
    assert known == pytest.approx(1195 + 2 * dp3t.HOLD_S)
    assert {s.metres for s in spans} == {1.0}


def test_a_distance_holds_half_way_to_the_next_and_at_most_a_minute(tmp_path: Path) -> None:
    rows: list[Row] = [(1, 2, BEGIN + at_s, -70, m) for at_s, m in ((0, 1), (20, 3), (500, 1))]
    spans = dp3t.read(filmed(tmp_path / "a.sqlite", rows)).distance["01", "02"]
    assert [(s.from_s - BEGIN, s.to_s - BEGIN) for s in spans] == [(-60, 10), (10, 80), (440, 560)]


def test_a_wall_between_two_is_not_near(tmp_path: Path) -> None:
    path = filmed(tmp_path / "walls.sqlite", sighted(1, 2, 20, -60, -1.0))
    assert one(VIETNAM, dp3t.read(path)).counts == score.Counts(alarms=1)


def test_pairs_whose_distance_nobody_filmed_are_counted_apart(tmp_path: Path) -> None:
    rows = sighted(1, 2, 20, -60, 1.0) + sighted(1, 3, 20, -60, None)
    result = one(VIETNAM, dp3t.read(filmed(tmp_path / "a.sqlite", rows)))
    assert result.judged.unknown == 2  # 1 and 3 not filmed, 2 and 3 never heard
    assert result.counts == score.Counts(hits=1)


def test_places_beside_a_scene_tell_the_distance_of_pairs_that_never_heard_each_other(
    tmp_path: Path,
) -> None:
    # The film's clock is two hours ahead of UTC, as the cameras' was.
    rows = sighted(1, 2, 20, -60, 1.5)
    rows = [row for row in rows if row[2] < BEGIN + 1150]
    path = filmed(tmp_path / "scenario03-x.sqlite", rows)
    times = [datetime.fromtimestamp(BEGIN + 7200 + 0.5 * n, UTC) for n in range(2400)]
    places = {
        "datetime": [t.strftime("%Y-%m-%d %H:%M:%S.%f") for t in times],
        "1": [[0.0, 0.0, 0.0]] * 2400,
        "2": [[1.5, 0.0, 0.0]] * 2400,
        "3": [[0.0, 1.0, 0.0]] * 1800 + [float("nan")] * 600,
        "4": [[9.0, 0.0, 0.0]] * 2400,
    }
    (tmp_path / "ground_truth").mkdir()
    (tmp_path / "ground_truth" / "3_x_part1.json").write_text(json.dumps(places))
    (tmp_path / "ground_truth" / "13_y_part1.json").write_text("{}")
    scene = dp3t.read(path)
    assert scene.distance["01", "02"][0].from_s == pytest.approx(BEGIN, abs=1)
    assert set(scene.distance) == {("01", "02")}
    # A phone that heard somebody else is in the scene: 1 and 3 were near and never met on air.
    rows += [(3, 4, BEGIN + 10 * n, -90, None) for n in range(100)]
    scene = dp3t.read(filmed(tmp_path / "b" / "scenario03.sqlite", rows))
    assert ("01", "03") not in scene.distance
    (tmp_path / "ground_truth").rename(tmp_path / "b" / "ground_truth")
    result = one(VIETNAM, dp3t.read(tmp_path / "b" / "scenario03.sqlite"))
    assert result.judged.unknown == 0
    assert result.judged.unheard == 2
    assert (result.counts.hits, result.counts.misses) == (1, 2)


@pytest.mark.parametrize("early", [False, True])
def test_both_orders_of_range_angle_logs_are_read(tmp_path: Path, early: bool) -> None:
    path = log(tmp_path / "hands" / "log.txt", [(3, 2, -60), (10, 3, -80)], early)
    assert blueprox.is_ours(path.read_bytes()[:256])
    [scene] = sets.read([path]).scenes
    assert [round(scene.distance[p][0].metres, 2) for p in scene.pairs] == [0.91, 3.05]
    assert [round(scene.lasts_s[p] / 60) for p in scene.pairs] == [2, 3]
    # The television is nobody's phone, 127 is no level.
    assert {s.rssi for s in scene.sightings} == {-60, -80}
    assert len(scene.sightings) == 120 + 180 - 14 - 20


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("Close/hands", "Far/hands", "Far/pockets"):
        log(tmp_path / folder / "log.txt", [(3, 1, -60)])
    names = [s["scene"] for s in evaluated(tmp_path, "--rules", "gaen")["scenes"]]
    assert names == ["Close/hands", "Far/hands", "pockets"]


def test_another_tester_in_the_room_is_not_the_partner(tmp_path: Path) -> None:
    path = log(tmp_path / "log.txt", [(3, 2, -60)])
    lines = path.read_text().splitlines()
    mixed: list[str] = []
    for n, each in enumerate(lines):
        mixed.append(each)
        if "46A3B445" in each and n % 2:
            mixed.append(each.replace("46A3B445", "CACEBC34").replace("-60", "-90"))
    path.write_text("\n".join(mixed))
    [scene] = sets.read([path]).scenes
    assert {s.rssi for s in scene.sightings} == {-60}


def test_a_partner_near_and_never_heard_is_a_miss(tmp_path: Path) -> None:
    path = log(tmp_path / "log.txt", [(3, 2, -60), (4, 2, 0), (15, 2, -85)])
    result = one(VIETNAM, sets.read([path]).scenes[0])
    assert result.judged.unheard == 1
    assert result.counts == score.Counts(hits=1, misses=1, passes=1)


# --- judging ---------------------------------------------------------------------------------


def test_a_scene_is_judged_with_the_threshold_of_the_others(tmp_path: Path) -> None:
    # The second scene's phones are 12 dB fainter: what is right for one is wrong for the other.
    a_scene(tmp_path / "exp" / "s1.sqlite", -60, -76)
    a_scene(tmp_path / "exp" / "s2.sqlite", -72, -88)
    a_scene(tmp_path / "exp" / "s3.sqlite", -72, -88)
    found = {s["scene"]: s for s in evaluated(tmp_path, "--rules", "vietnam")["scenes"]}
    assert {s["chosen"] for s in found.values()} == {"leave-one-scene-out"}
    # Levels of both sides are pooled: -73 and -89 dBm are 53 and 69 dB.
    assert 53 <= found["s1"]["threshold_db"] < 69
    assert found["s1"]["balanced_accuracy"] in (0.5, 1.0)
    assert found["s2"]["pairs"] == 6 and found["s2"]["near"] == 2
    alone = evaluated(tmp_path / "exp" / "s1.sqlite", "--rules", "vietnam")["scenes"][0]
    assert alone["chosen"] == "in-sample"
    assert (alone["sensitivity"], alone["false_positive_rate"]) == (1.0, 0.0)
    assert 41 <= alone["threshold_db"] < 57


def test_groups_choose_for_themselves(tmp_path: Path) -> None:
    for name, near, far in (("a", -60, -76), ("b", -80, -96)):
        a_scene(tmp_path / name / "s1.sqlite", near, far)
        a_scene(tmp_path / name / "s2.sqlite", near, far)
    answer = evaluated(tmp_path, "--rules", "gaen")
    assert [s["balanced_accuracy"] for s in answer["scenes"]] == [1.0] * 4
    thresholds = {s["group"]: s["threshold_db"] for s in answer["scenes"]}
    assert thresholds["b"] - thresholds["a"] == 20
    assert [(g["group"], g["hits"], g["passes"]) for g in answer["groups"]] == [
        ("a", 4, 8), ("b", 4, 8),
    ]  # fmt: skip


def test_the_truth_follows_the_options(tmp_path: Path) -> None:
    path = a_scene(tmp_path / "s.sqlite")
    assert evaluated(path)["scenes"][0]["near"] == 2
    assert evaluated(path, "--near-m", 6)["scenes"][0]["near"] == 6
    assert evaluated(path, "--near-min", 23)["scenes"][0]["near"] == 2  # the scene has no more
    assert evaluated(path, "--near-m", 0.5)["scenes"][0]["near"] == 0


@settings(deadline=None, max_examples=20)
@example(737, "corona-warn-app")  # one sighting: a scene of no length
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(load())))
def test_a_pair_is_near_from_one_shift_on_and_at_every_greater_one(seed: int, name: str) -> None:
    # What halving finds, against every shift tried on the records themselves.
    rng = random.Random(seed)
    at_s, sightings = BEGIN, list[Sighting]()
    for _n in range(rng.randrange(1, 80)):
        at_s += rng.choice((2, 5, 20, 50, 90))
        a, b = rng.sample("ab", 2)
        sightings.append(Sighting(at_s, a, b, rng.randrange(-95, -50)))
    both = ("a", "b")
    spans = {both: [Span(BEGIN, BEGIN + 1200, 1.0)]}
    scene = Scene(Form.FILMED, "", "", [both], sightings, spans)
    near_min = rng.choice((1.0, 3.0, 10.0))
    [(truth, least)] = one(load()[name], scene, near_min=near_min).judged.pairs
    assert truth
    asked = max(1 / 60, min(near_min, scene.length_s / 120))
    rule = load()[name]
    rule = replace(
        rule, min_minutes=asked, drop_shorter_min=rule.drop_shorter_min * asked / rule.min_minutes
    )
    records = pack(scene)[both]
    for shift in range(-40, 41, 2):
        louder = [
            replace(r, rssi_mean=r.rssi_mean + shift, rssi_max=r.rssi_max + shift) for r in records
        ]
        said = judge(rule, louder, 0, 1 << 40)["must_call"]
        assert said == (least is not None and least <= shift)


# --- the command -----------------------------------------------------------------------------


def test_every_rule_set_is_shown_for_every_scene_with_what_it_means(tmp_path: Path) -> None:
    a_scene(tmp_path / "exp" / "s1.sqlite")
    a_scene(tmp_path / "exp" / "s2.sqlite")
    code, out, _err = run(tmp_path)
    assert code == 0
    for name in load():
        assert out.count(name) >= 3  # two scenes and the group
    assert "Phones are not bands" in out and "100%" in out
    assert "in-sample" not in out and " *" not in out
    _code, out, _err = run(tmp_path / "exp" / "s1.sqlite")
    assert "flatters" in out and " *" in out


def test_a_damaged_file_is_named_and_the_rest_still_evaluated(tmp_path: Path) -> None:
    good = a_scene(tmp_path / "s1.sqlite")
    bad = tmp_path / "s2.sqlite"
    bad.write_bytes(good.read_bytes()[:5000] + b"\xff" * 4000)
    (tmp_path / "README.md").write_text("words")
    (tmp_path / "notes.txt").write_text("words")
    log(tmp_path / "silent" / "log.txt", [(3, 1, 0)])
    code, out, err = run(tmp_path)
    assert code == 4
    assert "s1" in out
    assert "s2.sqlite: not read: a damaged SQLite file" in err
    assert "log.txt: not read: no beacon in it is named BlueProxTx." in err
    assert "Files of other forms passed over: 1." in err
    answer = evaluated(tmp_path)
    assert [Path(u["path"]).name for u in answer["unread"]] == ["s2.sqlite", "log.txt"]


def test_tables_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    other = tmp_path / "raw.sqlite"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE handshakes (timestamp, star)")
    half = tmp_path / "half.sqlite"
    with closing(sqlite3.connect(half)) as db:
        db.execute("CREATE TABLE results (receiver_id, transmitter_id, timestamp)")
    found = sets.read([other, half])
    assert [why for _path, why in found.unread] == [
        "no table results in it",
        "its table results lacks rssi",
    ]
    assert sets.read([tmp_path]).passed_over == [other]
    absurd = filmed(tmp_path / "absurd.sqlite", [(1, 2, BEGIN, -70, 1), (1, 2, 5.0, -70, 1)])
    assert sets.read([absurd]).unread == [(absurd, "the times in it are months apart")]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nowhere"], 3, "nowhere does not exist."),
        (["notes.txt"], 3, "Nothing could be evaluated"),
        (["."], 3, "Nothing could be evaluated"),
        ([".", "--rules", "mine"], 2, "There is no rule set mine."),
    ],
)
def test_wrong_calls_end_in_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    says: str,
) -> None:
    (tmp_path / "notes.txt").write_text("words")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["zoneband", "evaluate", *words])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == code
    assert says in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="DP-3T's scenes are not on this disk")
def test_the_two_filmed_scenes_give_their_known_figures() -> None:
    found = {s["scene"]: s for s in evaluated(SHARED, "--rules", "vietnam")["scenes"]}
    lunch, office = found["scenario01-lunch"], found["scenario03-office"]
    assert (lunch["pairs"], lunch["near"], lunch["no_ground_truth"]) == (120, 43, 16)
    assert (office["pairs"], office["near"], office["no_ground_truth"]) == (55, 14, 0)
    assert office["balanced_accuracy"] > 0.75
    assert lunch["balanced_accuracy"] > 0.6
