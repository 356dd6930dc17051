"""Faults of this computer that any verb may meet, in one line: a place that cannot be written, a
full disk, a ledger that is locked or is none."""

import errno
import sys

from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.reasons import in_words, said

# What somebody can mend by another place, user or disk; anything else is a fault of the program.
_OURS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ELOOP, errno.ENOENT,
}  # fmt: skip
_LOCKED = ("database is locked", "database table is locked")


def told(error: Exception) -> UserError | None:
    """What a person is told of what went wrong; None of a fault that is the program's own."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError):
        if error.errno not in _OURS:
            return None
        if error.filename is None:
            return UserError(_("Not done: {reason}.").format(reason=said(error)))
        return UserError(
            _("{path} cannot be used: {reason}.").format(path=error.filename, reason=said(error))
        )
    exc = sys.modules.get("sqlalchemy.exc")  # a station may have no part of the server
    if exc is None or not isinstance(error, exc.DBAPIError):
        return None
    # Only what the database itself says, and no statement with what stood in it.
    reason = " ".join(str(getattr(error, "orig", "")).split())
    if any(word in reason for word in _LOCKED):
        return UserError(_("The ledger is busy. Try again in a minute."))
    if isinstance(error, exc.OperationalError) or type(error) is exc.DatabaseError:
        return UserError(_("The ledger cannot be used: {reason}").format(reason=in_words(reason)))
    return None
