"""Logging in, with its line in the audit log."""

from zoneband.server.accounts import TooManyTries, WrongLogin
from zoneband.server.tracing_server import TracingServer


def log_in(server: TracingServer, name: str, password: str, code: str, address: str) -> str:
    """A new session's token. Raises WrongLogin, TooManyTries, and Unwritable when the audit log
    cannot say who came."""
    try:
        token = server.accounts.login(name, password, code, address)
    except (WrongLogin, TooManyTries) as error:
        # Whoever types a password where the name belongs is not written down.
        known = {"name": server.accounts.known(name)}
        why = "login" if isinstance(error, WrongLogin) else "login_rate"
        server.audit.refused(None, why, **{k: v for k, v in known.items() if v})
        raise
    session = server.accounts.session(token)
    server.audit.write("login", session.tracer if session else None)
    return token
