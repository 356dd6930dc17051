"""What may keep this computer from docking bands, each finding with its fix."""

import grp
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from zoneband import authority, disk, faults, upload
from zoneband import station as stations
from zoneband.dock import ports
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.reasons import of_request
from zoneband.spool import Spool

# Services that open serial ports by themselves, and what stops them.
_GRABBERS = {
    "ModemManager": "sudo systemctl disable --now ModemManager",
    "brltty": "sudo apt remove brltty",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at; fix is "" when it is well. level: ok, warning or fault."""

    name: str
    level: str
    text: str
    fix: str = ""


def examine(data: Path) -> Iterator[Finding]:
    """All findings, in the order in which they matter."""
    found = ports.find()
    if found:
        names = ", ".join(port.device for port in found)
        yield Finding("ports", "ok", _("Ports: {names}").format(names=names))
        yield from _access([port.device for port in found])
    else:
        yield Finding(
            "ports",
            "warning",
            _("No band is plugged in."),
            _("Plug one in; some cables only charge: try another."),
        )
    yield from _group()
    yield from _grabbers()
    yield from _clock(data)
    for name, look in (
        ("disk", _disk),
        ("server", _server),
        ("authority", _authority),
        ("ledger", _ledger),
    ):
        yield from _whatever_comes(name, look(data))


def _whatever_comes(name: str, found: Iterator[Finding]) -> Iterator[Finding]:
    # What cannot be looked at is a finding, too, and the next is looked at all the same.
    try:
        yield from found
    except Exception as error:
        told = faults.told(error)
        if told is None:
            raise
        yield Finding(name, "fault", told.message, _("Mend this first, then run this once more."))


def _access(devices: list[str]) -> Iterator[Finding]:
    for device in devices:
        if not os.access(device, os.R_OK | os.W_OK):
            yield Finding(
                "access",
                "fault",
                _("{port} may not be opened by this user.").format(port=device),
                _("Run: sudo usermod -aG dialout $USER, then log in again."),
            )


def _group() -> Iterator[Finding]:
    try:
        wanted = grp.getgrnam("dialout").gr_gid
    except KeyError:
        return
    if os.geteuid() == 0 or wanted in os.getgroups():
        yield Finding("group", "ok", _("This user may open serial ports."))
    else:
        yield Finding(
            "group",
            "fault",
            _("This user is not in the group dialout."),
            _("Run: sudo usermod -aG dialout $USER, then log in again."),
        )


def _grabbers() -> Iterator[Finding]:
    running: set[str] = set()
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            running.add(comm.read_text().strip())
        except OSError:
            continue
    for name, fix in _GRABBERS.items():
        if name in running:
            yield Finding(
                "grabber",
                "fault",
                _("{name} takes serial ports away.").format(name=name),
                _("Run: {command}").format(command=fix),
            )


def _clock(data: Path) -> Iterator[Finding]:
    if stations.clock_vouched(data):
        yield Finding("clock", "ok", _("The clock is right."))
    else:
        yield Finding(
            "clock",
            "warning",
            _("Nobody vouches for this computer's clock: it sets no band's."),
            _("Connect to the network, or run: sudo timedatectl set-ntp true"),
        )


def _disk(data: Path) -> Iterator[Finding]:
    folder = disk.nearest(data)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "folder",
            "fault",
            _("{path} is no folder that this user may write.").format(path=folder),
            _("Choose another place: --data DIR"),
        )
        return
    free = disk.free_bytes(folder)
    text = _("{n} MB free for the spool.").format(n=free // 1_000_000)
    if free < disk.LOW_BYTES:
        yield Finding("disk", "fault", text, _("Free some disk space before docking."))
    else:
        yield Finding("disk", "ok", text)


def _authority(data: Path) -> Iterator[Finding]:
    keys = authority.public_keys(data)
    if keys:
        yield Finding(
            "authority",
            "ok",
            _("Records are sealed to key {number}.").format(number=keys[-1].number),
        )
    else:
        yield Finding(
            "authority",
            "warning",
            _("The authority's public key is not here: no band can be made or handed out."),
            _("Run: {command}").format(command="zoneband station init, zoneband authority trust"),
        )


def _server(data: Path) -> Iterator[Finding]:
    settings = stations.load(data)
    if settings is None:
        yield Finding(
            "server",
            "warning",
            _("No tracing server is set."),
            _("Run: zoneband station init --server URL --code CODE"),
        )
        return
    try:
        with upload.client(settings.server, None, settings.ca) as http:
            code = http.get("/healthz", timeout=5).status_code
        problem = "" if code == 200 else str(code)
    except (httpx2.HTTPError, UserError, OSError) as error:
        problem = of_request(error)
    if problem:
        yield Finding(
            "server",
            "warning",
            _("{url} does not answer ({error}).").format(url=settings.server, error=problem),
            _("Check the network. Docking goes on without it."),
        )
    elif refusal := upload.shut_out(settings, 5):
        text = _("{url} does not let this station in.").format(url=settings.server)
        yield Finding("server", "fault", text, refusal)
    else:
        yield Finding("server", "ok", _("{url} answers.").format(url=settings.server))
    spool = Spool(stations.directory(data))
    waiting, refused = spool.counts()
    spool.close()
    if waiting:
        yield Finding(
            "spool",
            "warning",
            _("Waiting to be sent: {n}.").format(n=waiting),
            _("Run: {command}").format(command="zoneband upload"),
        )
    if refused:
        yield Finding(
            "refused",
            "fault",
            _("{n} refused by the server; they are kept here.").format(n=refused),
            _("Tell the engineers; nothing is lost."),
        )


def _ledger(data: Path) -> Iterator[Finding]:
    # On the server's computer: whether its files and its ledger name each other.
    directory = data / "server"
    if not any((directory / name).exists() for name in ("ledger.sqlite", "ledger-url")):
        return
    try:
        from zoneband.server import wholeness
    except ModuleNotFoundError:
        return  # a station may have no part of the server installed
    try:
        gaps = wholeness.examine(directory)
    except UserError as error:
        fix = _("See that the database runs, and that its URL is right.")
        yield Finding("ledger", "fault", error.message, fix)
        return
    for text, fix in gaps.missing(directory):
        yield Finding("ledger", "fault", text, fix)
    if not (gaps.batches_missing or gaps.segments_missing):
        yield Finding("ledger", "ok", _("The ledger's batches and segments are all here."))
