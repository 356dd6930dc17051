"""What is to be done to each board of a run: made once, used by every port at the same time."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoneband import authority
from zoneband.errors import ExitCode, UserError
from zoneband.flash import app, image, partitions
from zoneband.flash import board as boards
from zoneband.flash.app import App
from zoneband.flash.board import Board
from zoneband.flash.tool import Found, Region
from zoneband.groups import GroupKeys
from zoneband.i18n import _
from zoneband.seal import PublicKey

STEPS = ("image", "table", "app", "keys", "test")


class WhichBoard(UserError):
    """Several boards fit a chip; names: which."""

    def __init__(self, message: str, names: list[str]) -> None:
        super().__init__(message, ExitCode.USAGE)
        self.names = names


@dataclass(frozen=True)
class Request:
    """What the user asked for. board: a name, None to go by the chip; baud: esptool's."""

    data: Path
    board: str | None = None
    image: Path | None = None
    steps: tuple[str, ...] = STEPS
    erase: bool = False
    baud: int = 460800
    esptool_args: tuple[str, ...] = ()
    config: Path | None = None
    role: str = "band"
    folder: Path = boards.BOARDS


class Plan:
    """Checks a request before any board is touched. Raises UserError where it cannot be done."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.boards = list(boards.every(request.folder))
        self.chosen = boards.find(request.board, request.folder) if request.board else None
        self.authority: PublicKey | None = None
        self.groups = GroupKeys(request.data)
        self.group: tuple[int, int, bytes] | None = None  # number, generation, key
        if "keys" in request.steps:
            self.authority = authority.current(request.data)
            self.group = self.groups.current()
        self._config = app.check_config(request.config) if request.config else None
        self._files = app.compile_firmware() if "app" in request.steps else {}
        self._made: dict[str, tuple[list[Region], App | None]] = {}
        self._lock = threading.Lock()
        if self.chosen is not None:
            self.regions(self.chosen)

    @property
    def signer(self) -> str:
        """What bands check updates with, as their setup takes it: number of the key and the Ed25519
        public key in hex; "" when the authority has none."""
        key = self.authority
        return f"{key.number:02x}{key.signing.hex()}" if key and key.signing else ""

    def match(self, found: Found) -> Board:
        """The board that a chip belongs to. Raises UserError when none fits, or several do and
        nobody chose."""
        if self.chosen is not None:
            self._fits(self.chosen, found)
            return self.chosen
        fitting = [b for b in self.boards if b.about.title == found.chip]
        if not fitting:
            raise UserError(
                _("No board with the chip {chip} is known. See: zoneband boards").format(
                    chip=found.chip
                )
            )
        exact = [b for b in fitting if b.flash_kib == found.flash_kib]
        if len(exact) == 1:
            return exact[0]
        names = "|".join(b.name for b in exact or fitting)
        raise WhichBoard(
            _("The chip {chip} sits on several boards. Say which one: --board {names}").format(
                chip=found.chip, names=names
            ),
            [b.name for b in exact or fitting],
        )

    def _fits(self, board: Board, found: Found) -> None:
        if board.about.title != found.chip:
            raise UserError(
                _("This board has the chip {found}; {board} has {wanted}.").format(
                    found=found.chip, board=board.title, wanted=board.about.title
                )
            )
        if found.flash_kib < board.flash_kib:
            raise UserError(
                _("This board has {found} MB of flash; {board} needs {wanted}.").format(
                    found=found.flash_kib // 1024, board=board.title, wanted=board.flash_kib // 1024
                )
            )

    def regions(self, board: Board) -> tuple[list[Region], App | None]:
        """What goes where on a board, by the steps asked for; and its file system."""
        with self._lock:
            if board.name not in self._made:
                self._made[board.name] = self._make(board)
            return self._made[board.name]

    def _make(self, board: Board) -> tuple[list[Region], App | None]:
        steps = self.request.steps
        rows = partitions.layout(board)
        found: list[Region] = []
        made: App | None = None
        if "image" in steps:
            parts = image.find(self.request.data, board, self.request.image)
            found.append(Region("bootloader", board.image.offset, parts.bootloader))
            found.append(Region("program", partitions.APP_AT, parts.program))
        if "table" in steps:
            found.append(Region("table", partitions.TABLE_AT, partitions.pack(rows)))
        if "app" in steps:
            made = app.build(board, self._files, self._config)
            at = partitions.find(rows, "vfs").offset
            found.append(Region("vfs", at, made.image))
        return sorted(found, key=lambda region: region.offset), made


def check_steps(text: str) -> tuple[str, ...]:
    """The steps in a comma-separated list, in their order. Raises UserError."""
    asked = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in asked if word not in STEPS]
    if unknown or not asked:
        raise UserError(
            _("No such step: {names}. Steps are: {steps}").format(
                names=", ".join(unknown) or text, steps=", ".join(STEPS)
            ),
            ExitCode.USAGE,
        )
    return tuple(step for step in STEPS if step in asked)


def describe(regions: Sequence[Region]) -> list[dict[str, object]]:
    """What --dry-run shows of the regions."""
    return [
        {"name": region.name, "offset": region.offset, "bytes": len(region.data)}
        for region in regions
    ]
