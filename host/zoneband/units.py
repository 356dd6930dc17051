"""The systemd units of server and station: rendered for this installation, and installed."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from zoneband import durable
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

FOLDER = Path(__file__).parent / "systemd"
ROLES = ("server", "station")
_HOMES = ("/home/", "/root/", "/run/user/")  # what ProtectHome= takes from the units' sight


def program() -> list[str]:
    """The command that started this program, for a unit: the launcher of a checkout, or what pip
    or pipx installed."""
    called = Path(sys.argv[0]).absolute()
    if called.name != "__main__.py":
        return [str(called)]
    launcher = Path(__file__).absolute().parents[2] / "zoneband"
    return [str(launcher)] if launcher.is_file() else [sys.executable, "-m", "zoneband"]


def render(role: str, command: Sequence[str], options: Sequence[str]) -> str:
    """The unit of one of ROLES. command: what starts Zoneband; options: for its verb."""
    text = (FOLDER / f"zoneband-{role}.service").read_text(encoding="utf-8")
    words = "".join(f" {_quoted(word)}" for word in options)
    return text.replace("@PROGRAM@", " ".join(map(_quoted, command))).replace("@OPTIONS@", words)


def _quoted(word: str) -> str:
    # As systemd reads command lines: https://www.freedesktop.org/software/systemd/man/252/
    # systemd.service.html#Command%20lines
    if any(ord(letter) < 32 for letter in word):
        raise UserError(_("A unit's options cannot hold control characters."), ExitCode.USAGE)
    word = word.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    plain = word and not any(letter in " '\"\\;#" for letter in word)
    return word if plain else f'"{word}"'


def install(role: str, command: Sequence[str], options: Sequence[str], root: Path) -> list[Path]:
    """Write a role's unit and its user below a root directory; on this computer's own (/) make the
    user and let systemd read the unit. What was written. Raises UserError."""
    hidden = [word for word in command if word.startswith(_HOMES)]
    if hidden:
        raise UserError(
            _("The unit cannot see {path}: put Zoneband into /opt, not into somebody's home.")
            .format(path=hidden[0]),
            ExitCode.USAGE,
        )  # fmt: skip
    unit = root / "etc/systemd/system" / f"zoneband-{role}.service"
    user = root / "etc/sysusers.d/zoneband.conf"
    text = render(role, command, options).encode()
    try:
        for path, data in ((unit, text), (user, (FOLDER / user.name).read_bytes())):
            path.parent.mkdir(parents=True, exist_ok=True)
            durable.write(path, lambda f, data=data: f.write(data))
    except PermissionError as error:
        raise UserError(
            _("{path} cannot be written: run this with sudo.").format(path=error.filename),
            ExitCode.USAGE,
        ) from error
    if root == Path("/"):
        _take_effect()
    return [unit, user]


def _take_effect() -> None:
    for words in (["systemd-sysusers"], ["systemctl", "daemon-reload"]):
        if shutil.which(words[0]) is None:
            raise UserError(_("{program} is missing: is this systemd?").format(program=words[0]))
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            why = " ".join(done.stderr.split())
            raise UserError(f"{' '.join(words)}: {why}")
