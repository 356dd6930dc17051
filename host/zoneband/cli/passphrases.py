"""Where a passphrase comes from: a file, a systemd credential, the environment, or a person."""

import getpass
from pathlib import Path

from zoneband import secret_files

_CREDENTIAL = "authority-passphrase"
VARIABLE = "ZONEBAND_PASSPHRASE"


def find(file: Path | None) -> str | None:
    """The passphrase in a file, in systemd's credential `authority-passphrase`, or in
    $ZONEBAND_PASSPHRASE; None when it is in none of them. Raises UserError for a bad file, and for
    one that everybody can read."""
    if file is not None:
        return secret_files.read(file)
    return secret_files.find(_CREDENTIAL, VARIABLE)


def ask(prompt: str) -> str:
    """What a person types, unseen."""
    return getpass.getpass(prompt + ": ")
