"""`zoneband authority`: the health authority's keys."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from zoneband import authority
from zoneband.cli import passphrases
from zoneband.cli.options import Data, Json, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.say import say

app = typer.Typer(add_completion=False, no_args_is_help=True)

PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help=_("Holds the passphrase.")),
]


@app.callback()
def root() -> None:
    """The health authority's keys."""


def _choose(file: Path | None, known: bool = False) -> str:
    # known: one that is in use already.
    passphrase = passphrases.find(file)
    if passphrase is None:
        if not sys.stdin.isatty():
            raise UserError(
                _("Give --passphrase-file FILE, or set {name}.").format(name=passphrases.VARIABLE),
                ExitCode.USAGE,
            )
        if known:
            return passphrases.ask(_("The authority's passphrase"))
        passphrase = passphrases.ask(_("A passphrase for the private key"))
        if passphrases.ask(_("The same again")) != passphrase:
            raise UserError(_("These are two different passphrases."), ExitCode.USAGE)
    if len(passphrase) < authority.SHORTEST_PASSPHRASE:
        raise UserError(
            _("A passphrase has at least {n} characters.").format(n=authority.SHORTEST_PASSPHRASE),
            ExitCode.USAGE,
        )
    return passphrase


@app.command("init", help=_("Make the authority's key pair, or the next one."))
def init(data: Data = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Make key pairs; stations seal to the newest. A newest number that an earlier program made
    without a signing key only gets that."""
    where = data_dir(data)
    lacking = authority.lacks_signing(where)
    if lacking is None:
        key = authority.make(where, _choose(passphrase_file))
    else:
        key = authority.add_signing(where, _choose(passphrase_file, known=True))
    folder = authority.directory(where)
    if as_json:
        print(json.dumps(authority.as_json(key) | {"folder": str(folder)}))
        return
    if lacking is None:
        say(_("Key {number} is made in {folder}.").format(number=key.number, folder=folder))
    else:
        say(
            _("Key {number} had no signing key: it has one now, and no other key was made.").format(
                number=key.number
            )
        )
    say(
        _(
            "Keep a copy of key-{number}.private.json and key-{number}.sign.private.json and their "
            "passphrase in another place: without them nothing that is sealed from now on can ever "
            "be read, and no update be signed."
        ).format(number=key.number)
    )
    say(
        _("Stations get key-{number}.public.json with zoneband station init, or by hand: {command}")
        .format(number=key.number, command="zoneband authority trust FILE")
    )  # fmt: skip


@app.command("trust", help=_("Keep a public key of the authority at this station."))
def trust(
    file: Annotated[Path, typer.Argument(help=_("A key-N.public.json."))], data: Data = None
) -> None:
    """Keep a public key."""
    key = authority.read_public(file)
    new = authority.trust(data_dir(data), key)
    text = _("Key {number} is kept.") if new else _("Key {number} was known.")
    say(text.format(number=key.number))


@app.command("show", help=_("Public keys that are known here."))
def show(data: Data = None, as_json: Json = False) -> None:
    """Print the public keys."""
    keys = authority.public_keys(data_dir(data))
    if as_json:
        print(json.dumps([authority.as_json(key) for key in keys]))
    else:
        for key in keys:
            print(f"{key.number:3d}  {key.key.hex()}  {key.signing.hex()}".rstrip())
    if not keys:
        raise UserError(_("No public key of the authority is known here."), ExitCode.NOTHING)


@app.command("check", help=_("Does the passphrase open the private keys?"))
def check(data: Data = None, passphrase_file: PassphraseFile = None) -> None:
    """Try the passphrase."""
    passphrase = passphrases.find(passphrase_file)
    if passphrase is None:
        passphrase = passphrases.ask(_("The authority's passphrase"))
    opened = authority.unlock(data_dir(data), passphrase)
    say(_("It opens: {numbers}").format(numbers=", ".join(map(str, sorted(opened)))))
