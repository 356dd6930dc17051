"""The engine that answers traces, as a user names it."""

from zoneband.errors import ExitCode, UserError
from zoneband.tracing import case_words, engine, spark


def checked(name: str) -> str:
    """The name, when this program can ask that engine: whether it answers, a trace will tell.
    Raises UserError."""
    try:
        if engine.checked(name) != engine.DUCKDB:
            spark.installed(name)
    except engine.Fault as error:
        code = ExitCode.USAGE if error.wrong else ExitCode.REFUSED
        raise UserError(case_words.refusal(error.code, error.values) or error.code, code) from error
    return name
