"""The engine that answers traces, as a user names it."""

import re
from urllib.parse import quote

from zoneband import secret_files
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.tracing import case_words, engine, spark

TOKEN_VARIABLE = "ZONEBAND_ENGINE_TOKEN"
_CREDENTIAL = "engine-token"


def find_token() -> str | None:
    """What a proxy in front of Spark Connect lets this server in by: systemd's credential
    `engine-token`, else $ZONEBAND_ENGINE_TOKEN. Raises UserError for one that cannot be used."""
    return secret_files.find(_CREDENTIAL, TOKEN_VARIABLE)


def named(name: str) -> str:
    """The engine of `zoneband serve --engine`, with the token that it is asked with. Raises
    UserError, also for a name with a secret in it, which everybody on the computer could read."""
    if re.search(r"[;?&]token=|//[^/;]*@", name, re.IGNORECASE):
        raise UserError(
            _("Leave the token out of --engine: set {variable}.").format(variable=TOKEN_VARIABLE),
            ExitCode.USAGE,
        )
    checked(name)
    if name == engine.DUCKDB or (token := find_token()) is None:
        return name
    joint = ";" if "/" in name.removeprefix("sc://") else "/;"
    return f"{name}{joint}token={quote(token, safe='')}"


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
