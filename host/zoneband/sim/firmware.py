"""The firmware as flashing brings it, compiled once for all virtual bands of a user."""

import functools
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from zoneband.flash import app


@functools.cache
def compiled() -> Path:
    """A directory with it, as on a band; made anew when a source has changed."""
    digest = hashlib.sha256()
    for path in sorted(app.FIRMWARE.rglob("*.py")):
        digest.update(f"{path.relative_to(app.FIRMWARE)}\n".encode() + path.read_bytes())
    parent = Path(tempfile.gettempdir()) / f"zoneband-{os.getuid()}"
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.stat().st_uid != os.getuid():
        parent = Path(tempfile.mkdtemp(prefix="zoneband-"))  # somebody else took that name
    target = parent / f"firmware-{digest.hexdigest()[:16]}"
    if not target.exists():
        made = Path(tempfile.mkdtemp(dir=parent))
        write(made)
        try:
            made.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(made)
    return target


def write(directory: Path, source: Path = app.FIRMWARE) -> None:
    """Compile a firmware into a directory."""
    for name, data in app.compile_firmware(source).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
