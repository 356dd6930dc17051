"""Finding the files of public data sets on disk, and reading them into scenes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoneband.errors import ExitCode, UserError
from zoneband.evaluate import blueprox, dp3t
from zoneband.evaluate.scene import CannotRead, OtherForm, Scene
from zoneband.i18n import _
from zoneband.reasons import said

# Suffixes under which a folder is searched; a file that is named itself may have any.
_SUFFIXES = {".sqlite", ".sqlite3", ".db", ".txt", ".log", ".csv"}
_HEAD_BYTES = 256


@dataclass
class Found:
    """What the paths gave. unread: files of a known form, or named by the user, that gave no
    scene, and why; passed_over: files in folders that are of another form."""

    scenes: list[Scene] = field(default_factory=list[Scene])
    unread: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])
    passed_over: list[Path] = field(default_factory=list[Path])


def read(
    paths: Sequence[Path], progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Found:
    """All scenes below the paths, each file once; progress: (files read, files in all). Raises
    UserError for a path that does not exist."""
    found = Found()
    logs: list[tuple[Path, list[blueprox.Stay]]] = []
    named = {path.resolve() for path in paths if path.is_file()}
    files = list(_files(paths))
    for done, path in enumerate(files):
        progress(done, len(files))
        try:
            head = _head(path)
            if dp3t.is_ours(head):
                found.scenes.append(dp3t.read(path))
            elif blueprox.is_ours(head):
                logs.append((path, blueprox.stays(path)))
            else:
                raise OtherForm(_("neither a DP-3T scene nor a range-angle log"))
        except CannotRead as error:
            if isinstance(error, OtherForm) and path.resolve() not in named:
                found.passed_over.append(path)
            else:
                found.unread.append((path, str(error)))
        except OSError as error:
            found.unread.append((path, said(error)))
    found.scenes += blueprox.scenes(logs)
    return found


def _head(path: Path) -> bytes:
    with path.open("rb") as f:
        return f.read(_HEAD_BYTES)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise UserError(_("{path} does not exist.").format(path=path), ExitCode.NOTHING)
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            wanted = file.is_file() and (file == path or file.suffix.lower() in _SUFFIXES)
            if wanted and file.resolve() not in seen:
                seen.add(file.resolve())
                yield file
