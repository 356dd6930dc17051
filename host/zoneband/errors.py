"""What goes wrong, in one line for the user, and the exit code a script sees."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every verb."""

    DONE = 0
    WRONG = 1  # ran to its end and the result is wrong
    USAGE = 2  # the call cannot be understood, or a setting is missing
    NOTHING = 3  # nothing found to work on
    PARTLY = 4  # some done, some not: see the lines above
    REFUSED = 5  # not done: a rule, a fault or the other side refused


class UserError(Exception):
    """One clear line (already translated): what happened and what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
