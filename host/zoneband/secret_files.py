"""Files that hold a secret: they are read only when not everybody on this computer can read them.

Whose group may read one is left to whoever made it: systemd gives a service its credentials, and
Debian its keys in ssl-cert, to a group.
"""

import os
import stat
from pathlib import Path

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _


def check(path: Path) -> None:
    """Raise UserError for a file that others may read or write, or that is not there."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UserError(_("{path} cannot be read.").format(path=path), ExitCode.USAGE) from error
    # What everybody may only be handed, such as a pipe of the shell, lies nowhere.
    if stat.S_ISREG(mode) and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise UserError(
            _("Everybody on this computer can read {path}. Run: {command}").format(
                path=path, command=f"chmod 600 {path}"
            ),
            ExitCode.USAGE,
        )


def read(path: Path) -> str:
    """The secret in a file, without the end of its line. Raises UserError."""
    check(path)
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(_("{path} cannot be read.").format(path=path), ExitCode.USAGE) from error


def find(credential: str, variable: str) -> str | None:
    """A secret that systemd hands to this service as a credential, or that is in the environment;
    None when it is in neither. Raises UserError for a credential that cannot be used."""
    if "CREDENTIALS_DIRECTORY" in os.environ:
        there = Path(os.environ["CREDENTIALS_DIRECTORY"]) / credential
        if there.exists():
            return read(there)
    return os.environ.get(variable)
