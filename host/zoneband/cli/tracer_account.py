"""`zoneband tracer`: accounts, and who may do what with them."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import segno
import typer
from rich.console import Console
from rich.table import Table

from zoneband import tracer
from zoneband.cli import passphrases
from zoneband.cli.options import Data, Json, Server, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.localtime import local
from zoneband.server import database, ledger, roles
from zoneband.server.accounts import (
    Accounts,
    code_fits,
    enrolment_uri,
    new_secret,
    read_name,
    read_password,
)
from zoneband.server.audit import OPERATOR, Audit

app = typer.Typer(add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(help=_("The name that the tracer logs in with."))]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", metavar="FILE", help=_("Holds the password, else it is asked.")
    ),
]
_TRIES = 5


def _roles_help() -> str:
    return _("health, tracer, admin or auditor.")


Role = Annotated[
    list[str] | None,
    typer.Option("--role", metavar="ROLE", help=_roles_help()),
]


@app.callback()
def root() -> None:
    """Accounts: who may do what at the tracing server."""


@app.command("add", help=_("Let a tracer in: a password, and an authenticator app."))
def add(
    name: Name,
    role: Role = None,
    password_file: PasswordFile = None,
    data: Data = None,
) -> None:
    """Make an account, of a tracer unless another role is given."""
    given = roles.read(role or [roles.TRACER])
    accounts = _accounts(data, must_exist=False)
    kept = read_name(name)
    if accounts.has(kept):
        raise UserError(_("There is a tracer {name} already.").format(name=kept))
    password = _password(password_file, kept)
    secret = _enrol(kept)
    with _audit(data).doing("account_add", OPERATOR, name=kept, roles=sorted(given)):
        accounts.add(kept, password, secret, given)
    print(_("{name} may log in at /tracer/ of the tracing server.").format(name=kept))


@app.command("list", help=_("All tracers."))
def every(data: Data = None, as_json: Json = False) -> None:
    """List the accounts; exit 3 when there is none."""
    found = _accounts(data).every()
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif found:
        view = Table()
        for head in (_("account"), _("role"), _("added"), _("last seen")):
            view.add_column(head)
        for row in found:
            seen = f"{local(row['seen_s']):%d/%m/%Y %H:%M}" if row["seen_s"] else ""
            named = ", ".join(map(roles.name, row["roles"]))
            view.add_row(row["name"], named, f"{local(row['added_s']):%d/%m/%Y}", seen)
        Console().print(view)
    if not found:
        if not as_json:
            print(_("There is no tracer yet: zoneband tracer add NAME"))
        raise typer.Exit(ExitCode.NOTHING)


@app.command("remove", help=_("Let a tracer in no more."))
def remove(name: Name, data: Data = None) -> None:
    """End an account and its sessions."""
    accounts = _accounts(data)
    with _audit(data).doing("account_remove", OPERATOR, name=read_name(name)):
        accounts.remove(name)
    print(_("{name} can log in no more, and is logged out.").format(name=name))


@app.command("password", help=_("Give a tracer a new password; a lost phone: a new app, too."))
def password(
    name: Name,
    password_file: PasswordFile = None,
    new_app: Annotated[
        bool, typer.Option("--new-app", help=_("Also set up an authenticator app anew."))
    ] = False,
    data: Data = None,
) -> None:
    """Change what an account is entered with."""
    accounts = _accounts(data)
    if not accounts.has(name):
        raise UserError(_("There is no tracer {name}.").format(name=name), ExitCode.NOTHING)
    given = _password(password_file, read_name(name))
    secret = _enrol(read_name(name)) if new_app else None
    facts = {"name": read_name(name), "new_app": new_app}
    with _audit(data).doing("account_password", OPERATOR, **facts):
        accounts.change(name, given, secret)
    print(_("{name} has a new password, and is logged out everywhere.").format(name=name))


@app.command("role", help=_("Give an account other roles."))
def role(
    name: Name,
    given: Annotated[list[str], typer.Argument(metavar="ROLE...", help=_roles_help())],
    data: Data = None,
) -> None:
    """Change what an account may do, from its next click on."""
    found = roles.read(given)
    accounts = _accounts(data)
    with _audit(data).doing("account_role", OPERATOR, name=read_name(name), roles=sorted(found)):
        accounts.set_roles(name, found)
    names = ", ".join(role for role in roles.ROLES if role in found)
    print(_("{name} has the role from now on: {roles}").format(name=name, roles=names))


@app.command("login", help=_("Log in at the tracing server, for the commands on this computer."))
def login(
    name: Name,
    password_file: PasswordFile = None,
    code: Annotated[
        str | None, typer.Option(help=_("Code of the authenticator app, else it is asked."))
    ] = None,
    server: Server = None,
    data: Data = None,
) -> None:
    """Log in: ends 30 minutes after its last use, and after 8 hours."""
    if (password_file is None or code is None) and not sys.stdin.isatty():
        raise UserError(
            _("Give --password-file FILE and --code CODE: nobody can be asked here."),
            ExitCode.USAGE,
        )
    if password_file is None:
        password = passphrases.ask(_("Password"))
    else:
        password = passphrases.find(password_file) or ""
    shown = code or input(_("The code that it shows now") + ": ")
    found = tracer.log_in(data_dir(data), server, name, password, shown)
    names = ", ".join(map(roles.name, found))
    print(_("{name} is logged in: {roles}").format(name=name, roles=names))


@app.command("logout", help=_("Log out on this computer."))
def logout(server: Server = None, data: Data = None) -> None:
    """Log out; exit 3 when nobody was logged in."""
    if not tracer.log_out(data_dir(data), server):
        print(_("Nobody is logged in here."))
        raise typer.Exit(ExitCode.NOTHING)
    print(_("You are logged out."))


def _audit(data: Path | None) -> Audit:
    return Audit(data_dir(data) / "server")


def _accounts(data: Path | None, must_exist: bool = True) -> Accounts:
    directory = data_dir(data) / "server"
    if must_exist and not database.exists(directory):
        raise UserError(
            _("There is no tracing server in {path}: do this on the server's computer.").format(
                path=directory.parent
            ),
            ExitCode.USAGE,
        )
    return Accounts(ledger.open_ledger(directory))


def _password(file: Path | None, name: str) -> str:
    if file is not None:
        return read_password(passphrases.find(file) or "", name)
    if not sys.stdin.isatty():
        raise UserError(_("Give --password-file FILE: nobody can be asked here."), ExitCode.USAGE)
    first = read_password(passphrases.ask(_("Password")), name)
    if passphrases.ask(_("The same again")) != first:
        raise UserError(_("The two are not the same. Nothing was changed."), ExitCode.USAGE)
    return first


def _enrol(name: str) -> str:
    """A secret that the tracer's app has, shown as a QR code and in letters. A person proves it
    with a code before the account is made."""
    secret = new_secret()
    uri = enrolment_uri(name, secret)
    if not sys.stdin.isatty():
        print(uri)
        return secret
    print(_("Scan this with the tracer's authenticator app (it makes a code every 30 seconds):"))
    segno.make_qr(uri, error="l").terminal(compact=True)
    letters = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    print(_("Or type this key into it: {key}").format(key=letters))
    for _try in range(_TRIES):
        if code_fits(secret, input(_("The code that it shows now") + ": "), time.time()):
            return secret
        print(_("This is not the code. Is the phone's clock right?"))
    raise UserError(_("No right code came. Nothing was changed."))
