"""Why the operating system, the network or SQLite did not do something, in the user's language.

They say it in English alone. What is not known here is told as they say it.
"""

import os
from collections.abc import Iterator

from zoneband import i18n
from zoneband.i18n import _


def said(error: Exception) -> str:
    """The reason in an OSError or in SQLite's error, or in one that came of an OSError."""
    return in_words(next(_reasons(error), str(error).strip() or type(error).__name__))


def of_request(error: Exception) -> str:
    """The reason why a server was not reached; no text but the system's, as others may name what
    was asked."""
    return in_words(next(_reasons(error), type(error).__name__))


def in_words(text: str) -> str:
    """What system or database said, in the user's language."""
    return i18n._(text) if text in _known() else text


def _reasons(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        if isinstance(error, OSError) and (text := _of_system(error)):
            yield text
        error = error.__cause__ or error.__context__


def _of_system(error: OSError) -> str:
    # TLS has a reason besides; and Python adds to what the system says.
    reason = getattr(error, "reason", None)
    if isinstance(reason, str):
        return reason
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _known() -> frozenset[str]:
    with i18n.reading("en"):
        return frozenset(_texts())


def _texts() -> tuple[str, ...]:
    return (
        # Files.
        _("Permission denied"),
        _("Operation not permitted"),
        _("No such file or directory"),
        _("Not a directory"),
        _("Is a directory"),
        _("Directory not empty"),
        _("File exists"),
        _("File name too long"),
        _("File too large"),
        _("Too many levels of symbolic links"),
        _("Too many open files"),
        _("No space left on device"),
        _("Disk quota exceeded"),
        _("Read-only file system"),
        _("Input/output error"),
        _("Device or resource busy"),
        _("No such device"),
        # The network.
        _("Address already in use"),
        _("Cannot assign requested address"),
        _("Connection refused"),
        _("Connection reset by peer"),
        _("Connection timed out"),
        _("timed out"),
        _("Network is unreachable"),
        _("No route to host"),
        _("Name or service not known"),
        _("Temporary failure in name resolution"),
        _("CERTIFICATE_VERIFY_FAILED"),
        # SQLite.
        _("attempt to write a readonly database"),
        _("database disk image is malformed"),
        _("database is locked"),
        _("database or disk is full"),
        _("disk I/O error"),
        _("file is not a database"),
        _("unable to open database file"),
    )
