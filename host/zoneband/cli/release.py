"""`zoneband release`: sign an update of the bands' firmware."""

import json
from pathlib import Path
from typing import Annotated

import typer

from zoneband import authority, durable
from zoneband import release as releases
from zoneband.cli import passphrases
from zoneband.cli.options import Data, Json, data_dir
from zoneband.i18n import _
from zoneband.release import Bundle

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def make(
    context: typer.Context,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="X.Y.Z", help=_("The version that you mean.")),
    ] = None,
    boards: Annotated[
        str,
        typer.Option("--boards", metavar="A,B", help=_("Only for these boards.")),
    ] = "",
    replaces: Annotated[
        str | None,
        typer.Option(
            "--replaces",
            metavar="X.Y.Z",
            help=_("A newer version that bands may step back from to this one."),
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help=_("The file to write."))
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", metavar="FILE", help=_("Holds the passphrase.")),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Compile the firmware of this program, and sign it."""
    if context.invoked_subcommand is not None:
        return
    where = data_dir(data)
    wanted = releases.read_version(version) if version else None
    back = releases.read_version(replaces) if replaces else None
    only = tuple(name.strip() for name in boards.split(",") if name.strip())
    public = authority.current(where)
    passphrase = passphrases.find(passphrase_file)
    if passphrase is None:
        passphrase = passphrases.ask(_("The authority's passphrase"))
    key = authority.signing_key(where, passphrase)
    made = releases.make(key, public, wanted, only, back)
    path = output or Path(f"zoneband-{releases.name_of(made.version)}{releases.SUFFIX}")
    durable.write(path, lambda f: f.write(made.pack()))
    if as_json:
        print(json.dumps(facts(made) | {"path": str(path)}))
        return
    print(
        _("{path} is signed. Stations keep it with: {command}").format(
            path=path, command="zoneband update add FILE"
        )
    )


@app.command("show", help=_("What is in an update, and whether the authority signed it."))
def show(
    file: Annotated[Path, typer.Argument(help=_("The update's file."))],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show a bundle; exit code 5 when no trusted key signed it."""
    from zoneband import updates

    bundle = releases.read(file)
    if as_json:
        print(json.dumps(facts(bundle)))
    else:
        print(_("Version {version}").format(version=releases.name_of(bundle.version)))
        print(_("Boards: {names}").format(names=", ".join(bundle.boards) or _("all")))
        if bundle.replaces:
            print(
                _("Bands step back to it from {version}.").format(
                    version=releases.name_of(bundle.replaces)
                )
            )
        print(_("{n} bytes on the band").format(n=len(bundle.app)))
    updates.check(data_dir(data), bundle)
    if not as_json:
        print(_("Signed with key {number} of the authority.").format(number=bundle.number))


def facts(bundle: Bundle) -> dict[str, object]:
    """A bundle for a script."""
    return {
        "version": releases.name_of(bundle.version),
        "boards": list(bundle.boards),
        "replaces": releases.name_of(bundle.replaces) if bundle.replaces else None,
        "key": bundle.number,
        "bytes": len(bundle.app),
        "compiled": bundle.mpy,
    }
