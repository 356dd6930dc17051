"""Whatever this computer lacks, a verb says it in one line."""

import os
import sqlite3
from pathlib import Path

import pytest

from typed import Typed
from zoneband.errors import ExitCode
from zoneband.server import database, ledger
from zoneband.server.tracing_server import TracingServer


def one_line(typed: Typed, *words: str) -> str:
    for lang in ("vi", "en"):
        code, _out, err = typed(*words, lang=lang)
        assert code == ExitCode.REFUSED, err
        assert err.count("\n") == 1 and "Error" not in err and "sqlalche" not in err, err
    return err


def test_a_data_directory_that_is_none(typed: Typed, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("a file")
    line = one_line(typed, "serve", "--data", str(place), "--port", "0")
    assert str(place) in line and "Not a directory" in line


def test_a_place_that_cannot_be_written(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere: the kernel's own refusal stands in for the mode of a folder.
    def refuse(*_words: object, **_more: object) -> int:
        raise PermissionError(13, "Permission denied", str(tmp_path / "server" / "lock"))

    monkeypatch.setattr(os, "open", refuse)
    line = one_line(typed, "serve", "--data", str(tmp_path), "--port", "0")
    assert "Permission denied" in line and "lock" in line


def test_a_ledger_that_is_no_database(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "ledger.sqlite").write_text("no database at all" * 100)
    for words in (("serve", "--port", "0"), ("station", "invite", "one"), ("rights", "list")):
        assert "not a database" in one_line(typed, *words, "--data", str(tmp_path))


def test_a_ledger_that_somebody_else_writes(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TracingServer(tmp_path / "server")
    monkeypatch.setattr(database, "_BUSY_S", 0.1)
    with sqlite3.connect(tmp_path / "server" / "ledger.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        for words in (("station", "invite", "one"), ("retention", "run")):
            assert "busy" in one_line(typed, *words, "--data", str(tmp_path))
        other.execute("ROLLBACK")
    other.close()
    code, out, err = typed("station", "invite", "one", "--data", str(tmp_path))
    assert code == 0 and out and not err
    assert ledger.open_ledger(tmp_path / "server")
