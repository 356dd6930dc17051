"""How the tracing server of a data directory is: its condition, and what somebody should do."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from zoneband import disk
from zoneband.doctor import Finding
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.localtime import day_and_time, local
from zoneband.server import ledger, running, tls
from zoneband.server.condition import Condition, look
from zoneband.server.pseudonyms import Pseudonyms
from zoneband.server.running import Running
from zoneband.server.stations import open_stations

_SILENT_S = 86_400  # a station that brings nothing for so long is asked after
_RENEW_S = 14 * 86_400  # of a certificate that certbot should have renewed by then


@dataclass(frozen=True)
class ServerStatus:
    """running: None when no server runs; condition: None when the ledger cannot be opened, and
    problem then says why; marks: what logs and metrics call a station, by its name;
    certificate_until_s: UTC seconds, None without one, and certificate_problem when it is no
    good."""

    running: Running | None
    condition: Condition | None
    problem: str
    marks: dict[str, str]
    certificate_until_s: int | None
    certificate_problem: str


def of(directory: Path, utc: Callable[[], float] = time.time) -> ServerStatus:
    """The server of a directory, which may run or not. utc: Unix seconds now."""
    condition, problem = None, ""
    marks: dict[str, str] = {}
    try:
        engine = ledger.open_ledger(directory)
        try:
            condition = look(engine, open_stations(directory), directory, utc())
        finally:
            engine.dispose()
    except UserError as error:
        problem = error.message
    except SQLAlchemyError as error:
        problem = _("The ledger cannot be read ({error}).").format(error=type(error).__name__)
    if condition is not None:
        names = Pseudonyms(directory)
        marks = {row["name"]: names.station(row["name"]) for row in condition.stations}
    now = running.find(directory)
    until_s, bad = None, ""
    if now is not None and now.tls_dir:
        try:
            until_s = tls.read(Path(now.tls_dir), utc()).until_s
        except UserError as error:
            bad = error.message
    return ServerStatus(now, condition, problem, marks, until_s, bad)


def findings(now: ServerStatus, utc: Callable[[], float] = time.time) -> list[Finding]:
    """What the operator should know, and do where a fix is named."""
    found: list[Finding] = []
    if now.running is None:
        text, fix = _("The server does not run."), _run("systemctl start zoneband-server")
        found.append(Finding("running", "fault", text, fix))
    else:
        text = _("The server runs at {url} since {when}.").format(
            url=now.running.url, when=day_and_time(now.running.since_s)
        )
        found.append(Finding("running", "ok", text))
    if now.condition is None:
        fix = _("Start the database, and see that the server may use it.")
        found.append(Finding("ledger", "fault", now.problem, fix))
        return [*found, *_certificate(now, utc)]
    return [
        *found,
        *_locked(now, now.condition),
        *_room(now.condition),
        *_certificate(now, utc),
    ] + [*_stations(now.condition, utc)]


def _run(command: str) -> str:
    return _("Run: {command}").format(command=command)


def _locked(now: ServerStatus, condition: Condition) -> list[Finding]:
    waiting = condition.waiting_batches + condition.waiting_records
    if now.running is not None and not now.running.unlocked:
        text = _("Locked. Records and logs that wait for the authority's passphrase: {n}.")
        fix = _("Start the server anew with the passphrase, or keep it as a systemd credential.")
        return [Finding("locked", "warning", text.format(n=waiting), fix)]
    if not waiting or condition.waiting_since_s is None:
        return [Finding("waiting", "ok", _("Nothing waits to be worked in."))]
    text = _("Records and logs not worked in: {n}, the oldest since {when}.").format(
        n=waiting, when=day_and_time(condition.waiting_since_s)
    )
    if now.running is None:
        return [Finding("waiting", "ok", text)]
    fix = _("Let the station where their bands were made send what waits: their keys are missing.")
    return [Finding("waiting", "warning", text, fix)]


def _room(condition: Condition) -> list[Finding]:
    text = _("{n} MB free on the disk.").format(n=condition.disk_free // 1_000_000)
    if condition.disk_free >= disk.LOW_BYTES:
        return [Finding("disk", "ok", text)]
    return [Finding("disk", "fault", text, _("Free some disk space: uploads are refused soon."))]


def _certificate(now: ServerStatus, utc: Callable[[], float]) -> list[Finding]:
    fix = _("Renew it: {command}").format(command="sudo certbot renew")
    if now.certificate_problem:
        return [Finding("certificate", "fault", now.certificate_problem, fix)]
    if now.certificate_until_s is None:
        return []
    text = _("The certificate is good until {day}.").format(
        day=f"{local(now.certificate_until_s):%d/%m/%Y}"
    )
    if now.certificate_until_s - utc() >= _RENEW_S:
        return [Finding("certificate", "ok", text)]
    return [Finding("certificate", "warning", text, fix)]


def _stations(condition: Condition, utc: Callable[[], float]) -> list[Finding]:
    enrolled = [row for row in condition.stations if row["state"] == "enrolled"]
    if not enrolled:
        text, fix = _("No station has come yet."), _run("zoneband station invite NAME")
        return [Finding("stations", "warning", text, fix)]
    silent = [row["name"] for row in enrolled if _silent(row, utc())]
    if not silent:
        return [Finding("stations", "ok", _("Every station sent something in the last day."))]
    text = _("Nothing came for a day from: {names}").format(names=", ".join(silent))
    fix = _("At each of them run: {command}").format(command="zoneband status")
    return [Finding("stations", "warning", text, fix)]


def _silent(row: dict[str, Any], utc_s: float) -> bool:
    # One that has just come has a day to send its first.
    return utc_s - (row["seen_s"] or row["enrolled_s"] or 0) > _SILENT_S
