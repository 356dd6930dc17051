"""Where a passphrase comes from: a file, a systemd credential, the environment, or a person."""

import getpass
import os
from pathlib import Path

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

_CREDENTIAL = "authority-passphrase"
VARIABLE = "ZONEBAND_PASSPHRASE"


def find(file: Path | None) -> str | None:
    """The passphrase in a file, in systemd's credential `authority-passphrase`, or in
    $ZONEBAND_PASSPHRASE; None when it is in none of them. Raises UserError for a bad file."""
    if file is None and "CREDENTIALS_DIRECTORY" in os.environ:
        there = Path(os.environ["CREDENTIALS_DIRECTORY"]) / _CREDENTIAL
        file = there if there.exists() else None
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                _("{path} cannot be read.").format(path=file), ExitCode.USAGE
            ) from error
    return os.environ.get(VARIABLE)


def ask(prompt: str) -> str:
    """What a person types, unseen."""
    return getpass.getpass(prompt + ": ")
