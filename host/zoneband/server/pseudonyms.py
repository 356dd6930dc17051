"""What logs and metrics call a band or a station: a mark that only this server's key leads to."""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from zoneband import durable

_KEY_BYTES = 32
_MARK_HEX = 10  # 40 bits: a million bands seldom share one, and a mark is no proof of anything
# Serials as people and programs write them, also without dashes and in small letters.
_SERIAL = re.compile(r"\bZB-?[0-9A-Z]{4}-?[0-9A-Z]{4}\b", re.IGNORECASE)


class Pseudonyms:
    """The marks of one server's directory; its key is drawn when it is missing."""

    def __init__(self, directory: Path) -> None:
        path = directory / "log-key"
        key = path.read_bytes() if path.exists() else b""
        if len(key) != _KEY_BYTES:
            key = secrets.token_bytes(_KEY_BYTES)
            durable.write(path, lambda f: f.write(key), 0o600)
        self._key = key

    def band(self, serial: str) -> str:
        """Such as band-1f00c3a9be: the same for a serial however it is written."""
        return "band-" + self._mark(re.sub("-", "", serial).upper())

    def station(self, name: str) -> str:
        """Such as station-1f00c3a9be."""
        return "station-" + self._mark(name)

    def hide(self, text: str) -> str:
        """A text with a mark in place of every serial in it."""
        return _SERIAL.sub(lambda found: self.band(found[0]), text)

    def _mark(self, name: str) -> str:
        made = hmac.new(self._key, name.encode("utf-8", "replace"), hashlib.sha256)
        return made.hexdigest()[:_MARK_HEX]
