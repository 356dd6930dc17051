"""`zoneband audit`: who looked at what, who changed what, and whether that record is whole."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from zoneband.cli import audit_words
from zoneband.cli.columns import Column
from zoneband.cli.listing import Listing
from zoneband.cli.options import Data, Json, Server, Token, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.localtime import local
from zoneband.reasons import said
from zoneband.say import say
from zoneband.server import audit_log
from zoneband.server.audit import OPERATOR, fault_text
from zoneband.server.audit_log import Report
from zoneband.tracer import Tracer

app = typer.Typer(add_completion=False, no_args_is_help=True)

File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help=_("An exported log, instead of the server's.")),
]
Kept = Annotated[
    str | None,
    typer.Option("--head", metavar="HASH", help=_("A head that was written down before.")),
]
_HEAD = re.compile(r"[0-9a-f]{64}")
_OWN = ("seq", "utc_s", "event", "account", "prev", "sha256")


@app.callback()
def root() -> None:
    """Who looked at what, who changed what, and whether that record is whole."""


@app.command("verify", help=_("Whether every line of the audit log is as it was written."))
def verify(
    head: Kept = None,
    file: File = None,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Exit 1 for a log that was altered or cut, and say where."""
    if head is not None and not _HEAD.fullmatch(head.strip().lower()):
        raise UserError(_("A head has 64 digits and letters from a to f."), ExitCode.USAGE)
    kept = head.strip().lower() if head else None
    report = audit_log.verify(_lines(data, file, server, token), kept)
    _tell(report, kept, as_json)


@app.command("list", help=_("The lines of the audit log, oldest first."))
def every(
    last: Annotated[
        int, typer.Option("--last", min=0, metavar="N", help=_("Only the last ones; 0: all."))
    ] = 0,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", help=_("Only this account's."))
    ] = None,
    case: Annotated[
        int | None, typer.Option("--case", min=1, metavar="N", help=_("Only about this case."))
    ] = None,
    file: File = None,
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """List the lines; exit 3 when there is none, 1 when one is not as it was written."""
    found: list[dict[str, Any]] = []
    strange = 0
    for line in _lines(data, file, server, token):
        values = audit_log.parse(line)
        if values is None:
            strange += 1
        else:
            found.append(values)
    found = _about(found, account, case)
    found = found[-last:] if last else found
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif found:
        _table(found).show()
    if strange:
        text = _("{n} lines are not as they were written: zoneband audit verify")
        say(text.format(n=strange), error=True)
        raise typer.Exit(ExitCode.WRONG)
    if not found:
        if not as_json:
            say(_("There is no such line in the audit log."), error=True)
        raise typer.Exit(ExitCode.NOTHING)


@app.command("export", help=_("Copy the audit log, and print the head to keep elsewhere."))
def export(
    into: Annotated[Path, typer.Argument(metavar="FILE", help=_("The copy; a new file."))],
    server: Server = None,
    token: Token = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Write the log as it is, and hold it against itself."""
    try:
        fd = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as out:
            for line in _lines(data, None, server, token):
                out.write(line)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise UserError(
            _("{path} cannot be written ({error}).").format(path=into, error=said(error))
        ) from error
    _tell(audit_log.verify(audit_log.lines_of(into)), None, as_json)


def _lines(
    data: Path | None, file: Path | None, server: str | None, token: str | None
) -> Iterator[bytes]:
    """The log of a file, of the server on this computer, or of one that an auditor asks."""
    here = data_dir(data)
    path = file or here / "server" / audit_log.NAME
    if file is None and (server is not None or not path.parent.exists()):
        yield from Tracer(here, server, token).lines("/v1/audit")
        return
    try:
        yield from audit_log.lines_of(path)
    except FileNotFoundError as error:
        raise UserError(
            _("There is no audit log in {path}.").format(path=path), ExitCode.NOTHING
        ) from error
    except OSError as error:
        raise UserError(_("{path} cannot be read.").format(path=path)) from error


def _about(
    found: list[dict[str, Any]], account: str | None, case: int | None
) -> list[dict[str, Any]]:
    # A change is told by two lines, and which case it is about stands in either or both.
    begun = {line.get("of", line["seq"]) for line in found if case in (None, line.get("case"))}
    mine = [line for line in found if account in (None, line["account"])]
    return [line for line in mine if line.get("of", line["seq"]) in begun]


def _tell(report: Report, kept: str | None, as_json: bool) -> None:
    # What a log was found to be, and the exit code that says so.
    text = None if report.fault is None else fault_text(report.fault)
    if text is None and not report.kept:
        text = _("No line has the kept head {head}: the log was cut at its end, or replaced.")
        text = text.format(head=kept)
    if as_json:
        fault = None if report.fault is None else report.fault.kind
        values = {"lines": report.lines, "head": report.head.sha256, "mended": report.mended}
        told = {"good": text is None, "fault": fault, "line": report.head.seq + 1, "said": text}
        print(json.dumps(values | (told if text else {"good": True}), ensure_ascii=False))
    elif text is None:
        say(_("{n} lines, each as it was written.").format(n=report.lines))
        if report.mended:
            say(_("{n} lines were torn off by a stop and mended.").format(n=report.mended))
        say(_("Head: {head}").format(head=report.head.sha256))
        if kept is None:
            say(
                _(
                    "Keep the head elsewhere, and give it with --head: only so does it show when "
                    "lines are missing at the end."
                )
            )
    if text is not None:
        if not as_json:
            say(text, error=True)
        raise typer.Exit(ExitCode.WRONG)


def _table(found: list[dict[str, Any]]) -> Listing:
    columns = [
        Column(_("number")),
        Column(_("time")),
        Column(_("account"), wrap=10),
        Column(_("event") + " · " + _("of what"), wrap=16),
    ]
    view = Listing(columns)
    for line in found:
        account = line["account"]
        rest = {name: value for name, value in line.items() if name not in _OWN}
        view.add(
            str(line["seq"]),
            f"{local(line['utc_s']):%d/%m/%Y %H:%M:%S}",
            _("server's computer") if account == OPERATOR else account or "",
            "  ".join(filter(None, (audit_words.event(line["event"]), audit_words.facts(rest)))),
        )
    return view
