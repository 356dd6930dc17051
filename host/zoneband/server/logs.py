"""The server's log on stderr: a line of JSON for each event, or a readable one at a terminal.

Nothing personal gets in: requests are told by the template of their route, bands and stations by
marks (zoneband.server.pseudonyms), faults by their kind and where in the program they were met.
What an exception says is left out, since it may quote what was sent. Only this program's loggers
are heard below a warning."""

import logging
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
from structlog.types import EventDict, Processor

from zoneband.server.pseudonyms import Pseudonyms

_HEARD = ("zoneband",)
# What a record may carry beside its text: zoneband.server.watch.
_FACTS = ("method", "route", "status", "ms", "station", "band")


def configure(as_json: bool, directory: Path) -> None:
    """Send all of this process's logging to stderr; as_json: a line of JSON for each event;
    directory: the server's, whose marks are told."""
    pseudonyms = Pseudonyms(directory)
    first: list[Processor] = [
        _moment,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=_FACTS),
        _fault,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )

    def hidden(logger: Any, name: str, event: EventDict) -> str:
        return pseudonyms.hide(str(renderer(logger, name, event)))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, hidden],
            keep_exc_info=True,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in _HEARD:
        logging.getLogger(name).setLevel(logging.INFO)


def _moment(_logger: Any, _name: str, event: EventDict) -> EventDict:
    return {"utc_ms": round(time.time() * 1000), **event}


def _fault(_logger: Any, _name: str, event: EventDict) -> EventDict:
    # In place of the usual traceback, which ends with what the exception says.
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        error = error or (record.exc_info[1] if record.exc_info else None)
        record.exc_info, record.exc_text = None, None
    if isinstance(error, BaseException):
        event["fault"] = faults(error)
    return event


def faults(error: BaseException) -> list[str]:
    """An exception and what led to it, without what they say: kinds, each with its places in the
    program, innermost last."""
    told: list[str] = []
    now: BaseException | None = error
    while now is not None and len(told) < 5:
        places = " > ".join(_places(now.__traceback__))
        told.append(f"{type(now).__module__}.{type(now).__qualname__}: {places}")
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)
    return told


def _places(where: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(where)
    return [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]


def _short(path: str) -> str:
    # From the package on: where it is installed tells nothing.
    for mark in ("site-packages/", "/host/"):
        if mark in path:
            return path.rsplit(mark, 1)[1]
    return path.rsplit("/", 1)[-1]
