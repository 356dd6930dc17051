"""How a station is: what waits in its spool, its server and its clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2

from zoneband import disk, upload
from zoneband import station as stations
from zoneband.doctor import Finding
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.localtime import day_and_time
from zoneband.spool import Spool

_ANSWER_S = 5.0
_LATE_S = 86_400  # what waits longer should have been sent


@dataclass(frozen=True)
class StationStatus:
    """waiting, refused: logs and sealed records; oldest_s: since when the oldest waits, UTC
    seconds; reachable: whether the server answers; shut_out: why it does not let this station in,
    and what to do, "" when it does; vouched: whether the clock is known to be right;
    disk_free: bytes."""

    name: str
    server: str
    waiting: int
    refused: int
    oldest_s: int | None
    reachable: bool
    shut_out: str
    vouched: bool
    disk_free: int


def look(data: Path) -> StationStatus | None:
    """The station of a data directory; None when there is none. Raises UserError for settings that
    cannot be read."""
    settings = stations.load(data)
    if settings is None:
        return None
    spool = Spool(stations.directory(data))
    try:
        waiting, refused = spool.counts()
        oldest_s = spool.oldest_s()
    finally:
        spool.close()
    return StationStatus(
        name=settings.name,
        server=settings.server,
        waiting=waiting,
        refused=refused,
        oldest_s=oldest_s,
        reachable=(reachable := _reachable(settings)),
        shut_out=upload.shut_out(settings, _ANSWER_S) if reachable else "",
        vouched=stations.clock_vouched(data),
        disk_free=disk.free_bytes(data),
    )


def _reachable(settings: stations.Station) -> bool:
    # A server that is not ready answers, too: what waits is sent when it is.
    try:
        with upload.client(settings.server, None, settings.ca) as http:
            return "status" in http.get("/healthz", timeout=_ANSWER_S).json()
    except (httpx2.HTTPError, UserError, OSError, ValueError, TypeError):
        return False


def findings(now: StationStatus, utc: Callable[[], float] = time.time) -> list[Finding]:
    """What a station's people should know, and do where a fix is named."""
    found: list[Finding] = []
    if now.shut_out:
        text = _("{url} does not let this station in.").format(url=now.server)
        found.append(Finding("server", "fault", text, now.shut_out))
    elif now.reachable:
        found.append(Finding("server", "ok", _("{url} answers.").format(url=now.server)))
    else:
        found.append(
            Finding(
                "server",
                "warning",
                _("{url} does not answer.").format(url=now.server),
                _("Check the network. Docking goes on without it."),
            )
        )
    if now.waiting and now.oldest_s is not None:
        late = utc() - now.oldest_s > _LATE_S
        text = _("Waiting to be sent: {n}, the oldest since {when}.").format(
            n=now.waiting, when=day_and_time(now.oldest_s)
        )
        fix = _("Run: {command}").format(command="zoneband upload")
        found.append(Finding("spool", "warning" if late else "ok", text, fix if late else ""))
    else:
        found.append(Finding("spool", "ok", _("Nothing waits to be sent.")))
    if now.refused:
        found.append(
            Finding(
                "refused",
                "fault",
                _("{n} refused by the server; they are kept here.").format(n=now.refused),
                _("Tell the engineers; nothing is lost."),
            )
        )
    if not now.vouched:
        found.append(
            Finding(
                "clock",
                "warning",
                _("Nobody vouches for this computer's clock: it sets no band's."),
                _("Connect to the network, or run: sudo timedatectl set-ntp true"),
            )
        )
    if now.disk_free < disk.LOW_BYTES:
        found.append(
            Finding(
                "disk",
                "fault",
                _("{n} MB free for the spool.").format(n=now.disk_free // 1_000_000),
                _("Free some disk space before docking."),
            )
        )
    return found
