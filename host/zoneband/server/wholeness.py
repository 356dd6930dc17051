"""Whether a server's files and its ledger name each other, and what is done where they do not.

A batch and a segment are on the disk before the ledger names them, so a crash leaves files that no
row names; a row without its file means that a disk lost it, or that files and ledger were put back
from backups of different times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from zoneband import batch as batches
from zoneband import durable
from zoneband.i18n import _
from zoneband.server import database, kept_batches, ledger
from zoneband.server.tracing_server import TracingServer

_NEW = ".new"  # how the name of a file ends that was not whole yet: zoneband.durable


@dataclass(frozen=True)
class Gaps:
    """What only one side knows: names of batches (their SHA-256), paths of segments below
    `encounters`."""

    batches_missing: frozenset[str]
    batches_unnamed: frozenset[str]
    segments_missing: frozenset[str]
    segments_unnamed: frozenset[str]

    def missing(self, directory: Path) -> Iterator[tuple[str, str]]:
        """What is not on the disk any more, in words, and what to do."""
        if self.batches_missing:
            yield (
                _("{n} batches are in the ledger and not in {path}.").format(
                    n=len(self.batches_missing), path=directory / "batches"
                ),
                _("Put them back from a backup. What they brought is known."),
            )
        if self.segments_missing:
            days = sorted({Path(path).parent.name[4:] for path in self.segments_missing})
            yield (
                _("{n} segments are in the ledger and not in {path} (days {days}).").format(
                    n=len(self.segments_missing), path=directory / "encounters", days=_some(days)
                ),
                _("Put them back from a backup. Until then traces say what they miss."),
            )

    def lines(self, directory: Path) -> Iterator[str]:
        """All of it in words, with what is done."""
        for text, fix in self.missing(directory):
            yield f"{text} {fix}"
        if self.batches_unnamed:
            yield _("{n} batches are in {path} and not in the ledger: they are taken in.").format(
                n=len(self.batches_unnamed), path=directory / "batches"
            )
        if self.segments_unnamed and not self.segments_missing:
            yield _(
                "{n} segments are in {path} and not in the ledger, as a crash leaves them: their "
                "encounters come from the batches, and the files are removed."
            ).format(n=len(self.segments_unnamed), path=directory / "encounters")


def examine(directory: Path) -> Gaps:
    """What a directory and its ledger do not both know, beside a server that may run. Raises
    UserError for a ledger that cannot be opened."""
    engine = ledger.open_ledger(directory)
    try:
        with database.telling(directory), engine.connect() as db:
            return look(db, directory)
    finally:
        engine.dispose()


def _some(days: list[str]) -> str:
    return ", ".join(days[:5]) + (" …" if len(days) > 5 else "")


def look(db: Connection, directory: Path) -> Gaps:
    """What the ledger and a server's directory do not both know. While a server works, only what
    is missing is certain."""
    table = ledger.batches
    named = {name: dropped for name, dropped in db.execute(select(table.c.name, table.c.dropped_s))}
    kept_names = {name for name, dropped in named.items() if dropped is None}
    listed = set(db.execute(select(ledger.segments.c.path)).scalars())
    there = {p.name for p in _files(directory / "batches", "*")}
    root = directory / "encounters"
    segments = {str(p.relative_to(root)) for p in _files(root, "day=*/*")}
    return Gaps(
        frozenset(kept_names - there),
        frozenset(there - named.keys()),
        frozenset(listed - segments),
        frozenset(segments - listed),
    )


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in folder.glob(pattern) if path.suffix != _NEW)


def settle(server: TracingServer, directory: Path) -> Iterator[str]:
    """Take in batches that lie in a server's directory and are not in its ledger, as if their
    stations sent them again; lines for all that only one side knows. Call it before the server
    answers anybody."""
    with server.engine.connect() as db:
        gaps = look(db, directory)
    yield from gaps.lines(directory)
    yield from _adopt(server, directory, gaps.batches_unnamed)


def _adopt(server: TracingServer, directory: Path, names: frozenset[str]) -> Iterator[str]:
    raw = directory / "batches"
    for path in raw.glob(f"*{_NEW}"):
        path.unlink()
    for name in sorted(names):
        data = (raw / name).read_bytes()
        try:
            if not kept_batches.is_whole(data, name):
                raise ValueError("altered")
            sent = kept_batches.plain(data)
            server.take(batches.unpack(sent).header.station, name, sent)
            if sent != data and (raw / name).read_bytes() == sent:
                durable.write(raw / name, lambda f, data=data: f.write(data))
        except ValueError:
            yield _("{path} is no batch, or altered: it stays as it is.").format(path=raw / name)
        except Exception as error:
            if database.is_gone(error):
                raise
            yield _("Batch {name} could not be taken in; it is kept.").format(name=name)
