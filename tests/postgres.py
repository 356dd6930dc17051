"""A real PostgreSQL for tests: Debian's, in a directory of its own, on a Unix socket."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg

import debian

GUARDED, PASSWORD = "guarded", "right horse battery"


def _programs() -> Path:
    """Where Debian's PostgreSQL is."""

    def found() -> Path | None:
        every = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        on_path = shutil.which("initdb")
        return every[-1].parent if every else Path(on_path).parent if on_path else None

    return debian.installed("postgresql", found)


class Postgres:
    """A cluster that can be stopped and started."""

    def __init__(self, where: Path) -> None:
        self.programs = _programs()
        self.where = where
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(where, self._user)
        self._made = 0
        self._run("initdb", "-D", where / "data", "-U", "owner", "-A", "trust", "-E", "UTF8", "-N")
        rules = where / "data" / "pg_hba.conf"
        rules.write_text(f"local all {GUARDED} scram-sha-256\nlocal all all trust\n")
        self.start()
        with self.admin() as db:
            db.execute(f"CREATE ROLE {GUARDED} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")

    def _run(self, program: str, *words: str | Path) -> None:
        done = subprocess.run(
            [self.programs / program, *words],
            user=self._user,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, done.stderr

    def _control(self, *words: str | Path) -> None:
        self._run("pg_ctl", "-D", self.where / "data", "-w", *words)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        # What these tests stop is PostgreSQL and never the computer, whose disk need not be waited
        # for: to recover it would sync every file of every database.
        options = f"-k {self.where} -c listen_addresses='' -c max_connections=300 -c fsync=off"
        self._control("-t", "100", "-l", self.where / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; immediate: as when it crashes."""
        self._control("-m", mode, "stop")

    def admin(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection that may make databases."""
        return psycopg.connect(
            host=str(self.where), user="owner", dbname="postgres", autocommit=True
        )

    def database(self, encoding: str = "UTF8") -> str:
        """The URL of a new, empty database."""
        self._made += 1
        name = f"ledger{self._made}"
        with self.admin() as db:
            db.execute(
                f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
            )
        return self.url(name)

    def url(self, name: str, user: str = "owner") -> str:
        """The URL of a database, whether there is one or not."""
        return f"postgresql://{user}@/{name}?host={self.where}"


@contextmanager
def cluster() -> Generator[Postgres]:
    """A cluster for as long as it is needed."""
    # Not below pytest's own directory, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="zb-pg-", ignore_cleanup_errors=True) as where:
        made = Postgres(Path(where))
        try:
            yield made
        finally:
            made.stop("fast")
