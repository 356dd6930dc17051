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


def test_segments_are_written_and_read_without_pandas_which_spark_brings(tmp_path: Path) -> None:
    read = read_by(
        "import numpy as np; from pathlib import Path; from zoneband.server import store\n"
        "one = {f.name: np.array([3]) for f in store.SCHEMA}\n"
        "one['rotating_id'] = np.zeros((1, 12), np.uint8); one['contact'] = np.array([-1])\n"
        f"path = Path({str(tmp_path)!r})\n"
        "found = store.read(path, store.write(path, 1, one))\n"
        "assert found['start_s'].tolist() == [3], found"
    )
    assert "pyarrow" in read and "pandas" not in read
