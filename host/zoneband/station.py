"""What a station knows of itself: its server, name and token; and whether its clock is right."""

import json
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from zoneband import durable
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

_EARLIEST_UTC_S = 1767225600  # 2026-01-01


@dataclass(frozen=True)
class Station:
    """Settings of this station; ca: a file of the server's own authority, or None."""

    server: str
    name: str
    token: str
    ca: str | None


def directory(data: Path) -> Path:
    """The station's part of the data directory, made when missing."""
    path = data / "station"
    path.mkdir(parents=True, exist_ok=True)
    return path


def load(data: Path) -> Station | None:
    """The settings, or None before `zoneband station init`."""
    path = data / "station" / "station.json"
    if not path.exists():
        return None
    try:
        return Station(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(
            _("{path} cannot be read. Run zoneband station init again.").format(path=path),
            ExitCode.USAGE,
        ) from error


def need(data: Path) -> Station:
    """The settings; a UserError before they are made."""
    found = load(data)
    if found is None:
        raise UserError(
            _("This station has no server yet. Run: zoneband station init"),
            ExitCode.USAGE,
        )
    return found


def save(data: Path, station: Station) -> None:
    """Write the settings, readable by this user only, whole or not at all."""
    text = json.dumps(asdict(station)).encode()
    durable.write(directory(data) / "station.json", lambda f: f.write(text), 0o600)


def note_server_time(data: Path, off_s: float) -> None:
    """Remember how far this clock is from the server's `Date`, for `clock_vouched`."""
    text = json.dumps({"at_s": int(time.time()), "off_s": off_s})
    (directory(data) / "server-time.json").write_text(text, encoding="utf-8")


def clock_vouched(data: Path) -> bool:
    """Whether this computer's clock may set bands: NTP says so, or the server's Date agreed
    within 2 s in the last day."""
    now = time.time()
    if now < _EARLIEST_UTC_S:
        return False
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    try:
        shown = subprocess.run(
            ["timedatectl", "show", "-p", "NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=3,
        )
        if shown.stdout.strip() == "yes":
            return True
    except (OSError, subprocess.TimeoutExpired):
        pass
    try:
        seen = json.loads((data / "station" / "server-time.json").read_text(encoding="utf-8"))
        return 0 <= now - seen["at_s"] < 86400 and abs(seen["off_s"]) <= 2
    except (OSError, ValueError, KeyError, TypeError):
        return False
