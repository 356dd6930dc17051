"""The demo at the terminal: right when all is right, and wrong when one record is altered."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import update

from support import ROOT
from zoneband.demo import story
from zoneband.server import ledger, store


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    data = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "zoneband", "--lang", "vi", "demo", "--seed", "7"]
        + ["--data", str(data)],
        capture_output=True,
        text=True,
        timeout=400,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "host"), "PATH": "/usr/bin:/bin", "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, next(data.glob("seed-7-*"))


@pytest.mark.timeout(420)
def test_it_says_who_must_be_called_and_agrees_with_the_story(lived: tuple[str, Path]) -> None:
    out, where = lived
    assert "phải gọi: " in out
    # The tracer's own commands, with what they said.
    for words in ("case code", "case add ZB-", "trace ZB-"):
        assert f"$ zoneband {words}" in out
    assert "F2" in out
    assert "Kết quả truy vết khớp với câu chuyện" in out
    page = (where / "story.html").read_text()
    assert "<svg" in page and "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.timeout(420)
def test_one_altered_record_is_seen(lived: tuple[str, Path]) -> None:
    _, where = lived

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "zoneband", "--lang", "en", "demo", "--again", str(where)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT / "host"), "PATH": "/usr/bin:/bin", "COLUMNS": "120"},
        )

    done = ask()
    assert done.returncode == 0, done.stdout + done.stderr
    # One record of the neighbour across the aisle, as if the case had stood beside him.
    root = where / "server" / "encounters"
    trace = json.loads((where / "trace.json").read_text())
    [far] = [c for c in trace["contacts"] if c["total_min"] >= 60 and c["role"] == "band"]
    [path] = [p for p in root.glob("*/*.parquet") if _holds(root, p, far["evidence"][0])]
    day = date.fromisoformat(path.parent.name.removeprefix("day=")) - date(1970, 1, 1)
    columns = {k: v.copy() for k, v in store.read(root, str(path.relative_to(root))).items()}
    [row] = _rows(columns, far["evidence"][0])
    columns["rssi_mean"][row], columns["sightings"][row] = -50, 60_000
    columns["duration_s"][row] = 1800
    altered = store.write(root, day.days, columns)
    genuine = path.read_bytes()
    path.write_bytes((root / altered).read_bytes())
    done = ask()
    assert done.returncode == 1
    assert "damaged:" in done.stdout and "and is" not in done.stdout
    # Even if the ledger itself names the altered file.
    path.write_bytes(genuine)
    with ledger.open_ledger(where / "server").begin() as db:
        old = str(path.relative_to(root))
        db.execute(update(ledger.segments).filter_by(path=old).values(path=altered))
    done = ask()
    assert done.returncode == 1
    assert "need not be called and is" in done.stdout


def _rows(columns: store.Columns, record: dict[str, int]) -> list[int]:
    names = ("log_id", "sector", "slot", "start_s")
    return [
        i
        for i in range(len(columns["slot"]))
        if all(int(columns[name][i]) == record[name] for name in names)
    ]


def _holds(root: Path, path: Path, record: dict[str, int]) -> bool:
    return bool(_rows(store.read(root, str(path.relative_to(root))), record))


@pytest.mark.parametrize("text", [None, "{", '{"seed": 1}', '{"seed": "x", "day_utc_s": null}'])
def test_a_folder_without_a_story_is_said(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "story.json").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "zoneband", "--lang", "en", "demo", "--again", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "host"), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 3
    assert "no lived story" in done.stderr and done.stderr.count("\n") == 1


def test_every_story_has_its_cast() -> None:
    for seed in range(200):
        tale = story.make(seed, 20_760 * 86_400)
        verdicts = [actor.verdict for actor in tale.actors[1:]]
        assert verdicts.count(story.Verdict.MUST_CALL) == 1
        for actor in tale.actors[1:]:
            near = tale.minutes_within(tale.case, actor, 1.5)
            if actor.verdict is story.Verdict.MUST_CALL:
                assert near >= 25
            if actor.verdict is story.Verdict.MUST_NOT:
                assert near <= 8.2
        stall = tale.actors[3]
        assert tale.minutes_within(tale.case, stall, 12) >= 60
        assert tale.minutes_within(tale.case, stall, 6) == 0
