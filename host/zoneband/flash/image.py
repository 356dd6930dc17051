"""MicroPython images: which file is the right one for a board, and what of it goes where.

An image as micropython.org publishes it is one file: bootloader, a partition table, padding over
NVS, and the program. Written whole it would wipe NVS, so only bootloader and program are taken.

A board's file names the SHA-256 of its image. Where that is still empty, `zoneband boards pin`
records the hash of the real file here, in images/ of the data directory, and keeps a copy.
"""

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path

from zoneband import durable
from zoneband.errors import ExitCode, UserError
from zoneband.flash import partitions
from zoneband.flash.board import Board
from zoneband.flash.partitions import APP_AT, TABLE_AT
from zoneband.i18n import _
from zoneband.reasons import said

_MAGIC = 0xE9
_DESCRIPTION = 32  # of the program: behind its header and its first segment's
_DESCRIPTION_MAGIC = 0xABCD5432


@dataclass(frozen=True)
class Parts:
    """What of an image is written; the program goes to APP_AT. version: as the image says it."""

    bootloader: bytes
    program: bytes
    version: str


def sha256(path: Path) -> str:
    """SHA-256 of a file in hex. Raises UserError when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(
            _("{path} cannot be read: {error}").format(path=path, error=said(error)),
            ExitCode.USAGE,
        ) from error


def split(board: Board, data: bytes) -> Parts:
    """Bootloader and program of an image. Raises UserError when it is none for this chip, or too
    large for the board's layout."""
    start = board.image.offset
    program = data[APP_AT - start :]
    if len(program) < 64 or data[0] != _MAGIC:
        raise _no_image()
    if struct.unpack("<H", data[12:14])[0] != board.about.image_id:
        raise UserError(
            _("This image is for another chip than the {chip} of {board}.").format(
                chip=board.about.title, board=board.title
            )
        )
    if program[0] != _MAGIC:
        raise _no_image()
    if len(program) > board.layout.app * 1024:
        raise UserError(
            _("The image's program is larger than the {n} KiB that {board} has for it.").format(
                n=board.layout.app, board=board.title
            )
        )
    magic, _secure, _r1, _r2, version = struct.unpack(
        "<IIII32s", program[_DESCRIPTION : _DESCRIPTION + 48]
    )
    text = version.rstrip(b"\x00").decode("ascii", "replace") if magic == _DESCRIPTION_MAGIC else ""
    bootloader = data[: TABLE_AT - start].rstrip(b"\xff")
    return Parts(bootloader + b"\xff" * (-len(bootloader) % 16), program, text)


def _no_image() -> UserError:
    return UserError(_("This is no MicroPython image for an ESP32 (one whole .bin is needed)."))


# --- which file --------------------------------------------------------------------------------


def _pins(data: Path) -> dict[str, str]:
    try:
        found = json.loads((data / "images" / "pins.json").read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            _("{path} cannot be read. Remove it and pin the images again.").format(
                path=data / "images" / "pins.json"
            ),
            ExitCode.USAGE,
        ) from error


def pinned(data: Path, board: Board) -> str:
    """The SHA-256 that a board's image must have; "" when nobody computed it from the real file."""
    return board.image.sha256 or _pins(data).get(board.name, "")


def how_to_get(board: Board) -> str:
    """Where the image is, and the command that records its hash."""
    return _("Get {file} from {url}, then run: zoneband boards pin {board} {file}").format(
        file=board.image.file, url=board.image.get, board=board.name
    )


def pin(data: Path, board: Board, path: Path) -> str:
    """Record a file as a board's image and keep a copy; its SHA-256. Raises UserError when it
    cannot be that image, or another is recorded in the board's own file."""
    digest = sha256(path)
    image = path.read_bytes()
    parts = split(board, image)
    if parts.version.removeprefix("v").split("-")[0] != board.image.version:
        raise UserError(
            _("This image is MicroPython {found}, but {board} is made for {wanted}.").format(
                found=parts.version or "?", board=board.name, wanted=board.image.version
            )
        )
    if board.image.sha256 and board.image.sha256 != digest:
        raise UserError(
            _("This file is not {file}: it is damaged or another version. {how}").format(
                file=board.image.file, how=how_to_get(board)
            )
        )
    folder = data / "images"
    folder.mkdir(parents=True, exist_ok=True)
    durable.write(folder / f"{digest}.bin", lambda f: f.write(image))
    pins = _pins(data) | {board.name: digest}
    text = json.dumps(pins, indent=1, sort_keys=True).encode() + b"\n"
    durable.write(folder / "pins.json", lambda f: f.write(text))
    return digest


def find(data: Path, board: Board, given: Path | None) -> Parts:
    """The board's image: the given file, or the copy that was pinned; the hash is always checked.

    Raises UserError when there is none, no hash, or another hash."""
    wanted = pinned(data, board)
    if not wanted:
        raise UserError(
            _("Nobody has recorded the hash of {board}'s image yet. {how}").format(
                board=board.name, how=how_to_get(board)
            ),
            ExitCode.USAGE,
        )
    path = given or data / "images" / f"{wanted}.bin"
    if given is None and not path.exists():
        raise UserError(
            _("The image of {board} is not on this computer. {how}").format(
                board=board.name, how=how_to_get(board)
            ),
            ExitCode.USAGE,
        )
    if sha256(path) != wanted:
        raise UserError(
            _(
                "{path} is not the image that was recorded for {board}: damaged, or another "
                "version. {how}"
            ).format(path=path, board=board.name, how=how_to_get(board))
        )
    return split(board, path.read_bytes())


def stock_table(board: Board, data: bytes) -> list[partitions.Partition]:
    """The partition table that an image brings along. Raises ValueError."""
    at = TABLE_AT - board.image.offset
    return partitions.unpack(data[at : at + partitions.TABLE_BYTES])
