"""A PostgreSQL for the tests that ask for one, and ledgers in it; the program, as it is typed."""

import logging
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from postgres import Postgres, cluster
from typed import Typed
from zoneband import i18n
from zoneband.cli import main
from zoneband.server import database


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    with cluster() as made:
        yield made


def at_home(postgres: Postgres, tmp_path: Path) -> Path:
    """A server's new directory whose ledger is in a new database."""
    path = tmp_path / "server"
    path.mkdir()
    database.keep(path, database.read_url(postgres.database()))
    return path


@pytest.fixture
def home(postgres: Postgres, tmp_path: Path) -> Path:
    return at_home(postgres, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A server's new directory with a ledger in either."""
    if request.param == "postgresql":
        return at_home(request.getfixturevalue("postgres"), tmp_path)
    path = tmp_path / "server"
    path.mkdir()
    return path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Generator[Typed]:
    """Runs the program in this process."""
    monkeypatch.setenv("COLUMNS", "150")

    def call(*words: str, lang: str = "en") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["zoneband", "--lang", lang, *words])
        code = 0
        try:
            main.main()
        except SystemExit as done:
            code = int(done.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    yield call
    i18n.set_language(None)


@pytest.fixture(autouse=True)
def own_log() -> Generator[None]:
    """`serve` in this process logs to the stderr of its test, which is closed after it."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers = [handler for handler in root.handlers if handler in before]
