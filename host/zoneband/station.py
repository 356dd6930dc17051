"""What a station knows of itself: its server, name and key; and whether its clock is right."""

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zoneband import durable, signing
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

_KEY = "key.pem"
_NEW_KEY = "key.new.pem"
_EARLIEST_UTC_S = 1767225600  # 2026-01-01


@dataclass(frozen=True)
class Station:
    """Settings of this station; key: what it signs with, None for one that registered when stations
    had tokens; ca: a file of the server's own authority, or None."""

    server: str
    name: str
    key: Ed25519PrivateKey | None = field(repr=False)
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
        facts = json.loads(path.read_text(encoding="utf-8"))
        key = signing.read_key(path.with_name(_KEY))
        return Station(facts["server"], facts["name"], key, facts["ca"])
    except (OSError, ValueError, TypeError, KeyError) as error:
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
    """Write the settings and the key, readable by this user only, each whole or not at all."""
    facts = {"server": station.server, "name": station.name, "ca": station.ca}
    text = json.dumps(facts, ensure_ascii=False).encode()
    if station.key is not None:
        signing.write_key(directory(data) / _KEY, station.key)
    durable.write(directory(data) / "station.json", lambda f: f.write(text), 0o600)


def new_key(data: Path) -> Ed25519PrivateKey:
    """A key to come to a server with. The same again until it is saved or dropped: the server may
    know it already although its answer was lost."""
    path = directory(data) / _NEW_KEY
    try:
        key = signing.read_key(path)
    except ValueError:
        key = None
    if key is None:
        key = Ed25519PrivateKey.generate()
        signing.write_key(path, key)
    return key


def drop_new_key(data: Path) -> None:
    """Forget a key that is saved, or that the server does not take."""
    (directory(data) / _NEW_KEY).unlink(missing_ok=True)


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
    if clock_synchronized():
        return True
    try:
        seen = json.loads((data / "station" / "server-time.json").read_text(encoding="utf-8"))
        return 0 <= now - seen["at_s"] < 86400 and abs(seen["off_s"]) <= 2
    except (OSError, ValueError, KeyError, TypeError):
        return False


def clock_synchronized() -> bool:
    """Whether NTP sets this computer's clock, and says that it is right."""
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    try:
        shown = subprocess.run(
            ["timedatectl", "show", "-p", "NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=3,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return shown.stdout.strip() == "yes"
