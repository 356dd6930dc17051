"""Newer and newer versions of the firmware, which differ in nothing but their number."""

import hashlib
import tempfile
from pathlib import Path

from zoneband import release
from zoneband.flash import app
from zoneband.release import Bundle
from zoneband.sim import keys, solo
from zoneband.wire import bundle

_PLACE = "a"
_VERSION = Path("band") / "version.mpy"


class Releases:
    """What the authority of virtual bands releases for one band, signed with their own key."""

    def __init__(self, compiled: solo.Compiled) -> None:
        place = compiled.firmware / _PLACE
        self._files = {
            str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*.mpy")
        }
        self._number = 0
        self.newest = self._make()

    def release(self) -> None:
        """One version more."""
        self._number += 1
        self.newest = self._make()

    def _make(self) -> Bundle:
        version = 1, self._number >> 8, self._number & 0xFF
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / _VERSION.with_suffix(".py")
            source.parent.mkdir()
            source.write_text(f"VERSION = {version}\n")
            files = self._files | app.compile_app(Path(folder))
        made = release.pack_app(files)
        mpy, digest = app.abi(files), hashlib.sha256(made).digest()
        manifest = bundle.pack(
            keys.AUTHORITY_NUMBER, version, (0, 0, 0), mpy, len(made), digest, ()
        )
        signature = keys.SIGNING.sign(bundle.LABEL + manifest)
        return Bundle(keys.AUTHORITY_NUMBER, version, None, (), mpy, manifest, signature, made)
