"""The demo at the terminal: right when all is right, and wrong when one record is altered."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT
from zoneband.demo import check, story


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    data = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "zoneband", "--lang", "vi", "demo", "--seed", "7"]
        + ["--data", str(data)],
        capture_output=True,
        text=True,
        timeout=170,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "host"), "PATH": "/usr/bin:/bin", "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, next(data.glob("seed-7-*"))


@pytest.mark.timeout(200)
def test_it_says_who_must_be_called_and_agrees_with_the_story(lived: tuple[str, Path]) -> None:
    out, where = lived
    assert "Phải gọi: " in out
    assert "Kết quả truy vết khớp với câu chuyện" in out
    page = (where / "story.html").read_text()
    assert "<svg" in page and "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.timeout(200)
def test_one_altered_record_is_seen(lived: tuple[str, Path]) -> None:
    _, where = lived
    trace = json.loads((where / "trace.json").read_text())
    day = trace["from_s"] // 86400 * 86400
    tale = story.make(7, day)
    assert check.compare(tale, trace).mistakes == []
    for contact in trace["contacts"]:
        if contact["must_call"]:
            contact["must_call"] = False
    assert len(check.compare(tale, trace).mistakes) == 1


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
