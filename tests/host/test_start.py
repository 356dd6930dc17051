"""What the program reads as it starts: each of these takes a tenth of a second or more of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

_SERVER = {"alembic", "fastapi", "sqlalchemy", "duckdb", "numpy", "pyarrow", "pandas", "reportlab"}


def read_by(words: str) -> set[str]:
    """The packages that are in a new process when it has run some Python."""
    done = subprocess.run(
        [sys.executable, "-c", words + "\nimport sys; print(*sys.modules)"],
        env={"PYTHONPATH": str(ROOT / "host")},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("verb", ["status", "dock", "upload", "issue", "case", "trace", "rights"])
def test_a_verb_that_is_no_server_reads_nothing_of_one(verb: str) -> None:
    read = read_by(f"from zoneband.cli.main import make_app; make_app([{verb!r}])")
    assert "typer" in read and not read & _SERVER


def test_a_server_starts_without_what_it_may_never_need(tmp_path: Path) -> None:
    read = read_by(
        "from zoneband.cli.main import make_app; make_app(['serve'])\n"
        "from pathlib import Path; from zoneband.server.app import make_app\n"
        f"make_app(Path({str(tmp_path)!r}))"
    )
    assert "fastapi" in read and "sqlite3" in read
    assert not read & {"alembic", "mako", "reportlab", "holidays", "pandas", "psycopg"}
