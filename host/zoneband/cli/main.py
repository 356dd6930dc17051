"""`zoneband`: its verbs, each loaded only when it is called."""

import importlib
import sys
from typing import Annotated

import click
import typer
from typer.core import TyperGroup

from zoneband import __version__
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import LANGUAGES, _, set_language

# Verb: (module below zoneband.cli, what it does).
VERBS: dict[str, str] = {
    "demo": "demo",
    "dock": "dock",
    "upload": "upload",
    "station": "station",
    "serve": "serve",
    "case": "case",
    "trace": "trace",
    "sim": "sim",
    "ids": "ids",
    "doctor": "doctor",
    "bench": "bench",
    "campaign": "campaign",
}


def _about() -> dict[str, str]:
    return {
        "demo": _("Watch the whole of it: bands meet, dock, and a case is traced."),
        "dock": _("Pull the logs of bands that are plugged in."),
        "upload": _("Send what waits in the spool to the tracing server."),
        "station": _("Set this station up."),
        "serve": _("Run the tracing server."),
        "case": _("Declare a wearer a case."),
        "trace": _("Whom did a case meet?"),
        "sim": _("Virtual bands for engineers."),
        "ids": _("Rotating IDs of a base key."),
        "doctor": _("What is wrong with this computer, and how to mend it."),
        "bench": _("Measure, and hold the figures against their bars."),
        "campaign": _("Long runs: many stories, many faults."),
    }


class _Verbs(TyperGroup):
    """Loads a verb's module when it is called; help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        if ctx.params.get("lang"):
            set_language(ctx.params["lang"])
        try:
            module = importlib.import_module(f"zoneband.cli.{VERBS[cmd_name]}")
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("zoneband"):
                raise
            raise UserError(
                _("This needs a part that is not installed here ({part}).").format(part=error.name),
                ExitCode.USAGE,
            ) from error
        if hasattr(module, "app"):
            command = typer.main.get_command(module.app)
        else:
            single = typer.Typer(add_completion=False)
            single.command(name=cmd_name)(module.command)
            command = typer.main.get_command(single)
        command.name = cmd_name
        command.help = _about()[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(_("Verbs")):
            formatter.write_dl(list(_about().items()))

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group.format_help(self, ctx, formatter)


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


app = typer.Typer(cls=_Verbs, add_completion=False, no_args_is_help=True)


@app.callback(
    epilog="Exit codes: 0 done, 1 result wrong, 2 usage, 3 nothing found, 4 partly done, 5 refused."
)
def root(
    lang: Annotated[
        str | None, typer.Option("--lang", metavar="|".join(LANGUAGES), help="vi, en")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Zoneband: wristbands that remember whom they met."""
    del version
    if lang is not None and lang not in LANGUAGES:
        raise UserError(_("--lang is vi or en."), ExitCode.USAGE)
    set_language(lang)


def main() -> None:
    """Run the verb; what goes wrong is one line and an exit code."""
    # The language must be known before a verb's texts are made.
    for at, word in enumerate(sys.argv[1:], 1):
        if word == "--lang" and at + 1 < len(sys.argv) and sys.argv[at + 1] in LANGUAGES:
            set_language(sys.argv[at + 1])
        elif word.startswith("--lang=") and word[7:] in LANGUAGES:
            set_language(word[7:])
    try:
        app(prog_name="zoneband")
    except UserError as error:
        print(error.message, file=sys.stderr)
        sys.exit(int(error.code))
    except KeyboardInterrupt:
        sys.exit(130)
