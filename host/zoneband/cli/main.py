"""`zoneband`: its verbs, each loaded only when it is called."""

import gc
import importlib
import io
import sys
from typing import Annotated, Any

import typer

from zoneband import __version__, faults
from zoneband.cli import frames
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import LANGUAGES, _, set_language
from zoneband.say import say

# A module cannot be named by a word of the language; zoneband.tracer is what asks the server.
_MODULES = {"return": "give_back", "tracer": "tracer_account"}


def _about() -> dict[str, str]:
    # Every verb is the module of its name; it is loaded only when it is called.
    return {
        "demo": _("Watch the whole of it: bands meet, dock, and a case is traced."),
        "dock": _("Pull the logs of bands that are plugged in."),
        "issue": _("Hand a band out to a person."),
        "return": _("Take a band back."),
        "lost": _("Report a band lost, or found again."),
        "replace": _("Give a person another band."),
        "bands": _("The bands that this station knows."),
        "upload": _("Send what waits in the spool to the tracing server."),
        "station": _("Set this station up."),
        "flash": _("Make bands out of boards: one, or a whole tray."),
        "boards": _("Boards that can become bands."),
        "label": _("Print the labels of bands."),
        "authority": _("The health authority's keys."),
        "serve": _("Run the tracing server."),
        "status": _("How the server or station on this computer is, and what needs doing."),
        "systemd": _("The systemd units of server and station: print or install them."),
        "retention": _("Drop what is older than 21 days from the tracing server."),
        "erase": _("Erase a person from the tracing server."),
        "rights": _("What persons ask for by law, and by when they must have it."),
        "case": _("Cases: declare, list, end them."),
        "order": _("Order a band to do something at its next dock."),
        "group": _("Groups of bands, and their keys."),
        "release": _("Sign an update of the bands' firmware."),
        "update": _("Updates that bands get at their next dock."),
        "trace": _("Whom did a case meet?"),
        "venue": _("Who was at a place, and when?"),
        "evaluate": _("Hold the exposure rules against public measurements."),
        "tracer": _("Accounts: who may do what at the tracing server."),
        "audit": _("Who looked at what, and whether that record is whole."),
        "sim": _("Virtual bands for engineers."),
        "ids": _("Rotating IDs of a base key."),
        "doctor": _("What is wrong with this computer, and how to mend it."),
        "bench": _("Measure, and hold the figures against their bars."),
        "campaign": _("Long runs: many stories, many faults."),
    }


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


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


def _load(verb: str) -> Any:
    # What is read now stays for good: to look through it for rubbish took a tenth of a start.
    gc.disable()
    try:
        return importlib.import_module(f"zoneband.cli.{_MODULES.get(verb, verb)}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("zoneband"):
            raise
        raise UserError(
            _("This needs a part that is not installed here ({part}).").format(part=error.name),
            ExitCode.USAGE,
        ) from error
    finally:
        gc.enable()


def make_app(words: list[str]) -> typer.Typer:
    """The program with the verb that is called; the others are only named."""
    about = _about()
    called = next((word for word in words if word in about), None)
    app = typer.Typer(add_completion=False, no_args_is_help=True)
    app.callback(
        epilog=_(
            "Exit codes: 0 done, 1 result wrong, 2 usage, 3 nothing found, 4 partly done, "
            "5 refused."
        )
    )(root)
    for verb, text in about.items():
        if verb != called:
            app.command(verb, help=text)(_unloaded)
            continue
        module = _load(verb)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb, help=text)
        else:
            about = getattr(module, "about", None)
            app.command(verb, help=about() if about else text)(module.command)
    return app


def _unloaded() -> None:
    """Stands for a verb that is not called."""


def main() -> None:
    """Run the verb; what goes wrong is one line and an exit code."""
    # A terminal of another character set shows a letter by its number, and gets the whole answer.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # The language must be known before a verb's texts are made.
    for at, word in enumerate(sys.argv[1:], 1):
        if word == "--lang" and at + 1 < len(sys.argv) and sys.argv[at + 1] in LANGUAGES:
            set_language(sys.argv[at + 1])
        elif word.startswith("--lang=") and word[7:] in LANGUAGES:
            set_language(word[7:])
    frames.follow()
    try:
        sys.exit(make_app(sys.argv[1:])(prog_name="zoneband", standalone_mode=False))
    except (typer.TyperException, typer.Abort) as error:
        sys.exit(frames.tell(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        told = faults.told(error)
        if told is None:
            raise
        say(told.message, error=True)
        sys.exit(int(told.code))
