"""What Typer itself says - the frames of a help, and what is wrong with a call - in the user's
language.

Typer has these texts in English alone. Help asks for its frames when it is printed; what is wrong
with a call is known by the form of its text, and what has no form here stays as it is.
"""

import re
from functools import cache
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from zoneband import i18n
from zoneband.i18n import _, reading

_ABORTED = 1
_COMMANDS: tuple[Any, ...] = (TyperCommand, TyperGroup)
_VALUES: tuple[Any, ...] = (TyperArgument, TyperOption)
_help_option_of: Any = TyperCommand.get_help_option
_type_of: Any = TyperOption.display_type


def follow() -> None:
    """From now on, help has its frames in the user's language."""
    for kind in _COMMANDS:
        kind.format_usage = _format_usage
        kind.get_help_option = _help_option
    for kind in _VALUES:
        kind.display_type = _display_type


def tell(error: typer.TyperException | typer.Abort) -> int:
    """Print what is wrong with a call; the exit code."""
    from typer import rich_utils

    shown: Any = error
    _name_frames()
    if isinstance(error, typer.Abort):
        rich_utils.rich_abort_error()
        return _ABORTED
    text = said(error.format_message())
    shown.format_message = lambda: text
    rich_utils.rich_format_error(shown)
    return error.exit_code


def said(text: str) -> str:
    """What is wrong with a call, as Typer says it, in the user's language."""
    for english, form in _forms():
        found = form.fullmatch(text)
        if found:
            parts = found.groupdict()
            if "why" in parts:
                parts["why"] = said(parts["why"])
            return i18n._(english).format(**parts)
    return text


def _format_usage(self: Any, ctx: Any, formatter: Any) -> None:
    # A help and an error both begin with it.
    _name_frames()
    words = {"[OPTIONS]": _("[OPTIONS]"), "COMMAND [ARGS]...": _("COMMAND [ARGS]...")}
    pieces = [str(words.get(piece, piece)) for piece in self.collect_usage_pieces(ctx)]
    formatter.write_usage(ctx.command_path, " ".join(pieces), prefix=_("Usage: "))


def _help_option(self: Any, ctx: Any) -> Any:
    option = _help_option_of(self, ctx)
    if option is not None:
        option.help = _("Show this message and exit.")
    return option


def _display_type(self: Any, ctx: Any) -> Any:
    words = {
        "<bool>": _("<bool>"),
        "<float range>": _("<float range>"),
        "<int range>": _("<int range>"),
        "<int>": _("<int>"),
        "<list[Path]>": _("<list[Path]>"),
        "<list[str]>": _("<list[str]>"),
        "<path>": _("<path>"),
        "<str>": _("<str>"),
    }
    label = _type_of(self, ctx)
    return words.get(label, label)


def _name_frames() -> None:
    # Loaded here: it takes longer than all else of a verb's start, and most calls print no frame.
    from typer import rich_utils

    rich_utils.ENVVAR_STRING = _("[env var: {}]")
    rich_utils.DEFAULT_STRING = _("[default: {}]")
    rich_utils.REQUIRED_LONG_STRING = _("[required]")
    rich_utils.ARGUMENTS_PANEL_TITLE = _("Arguments")
    rich_utils.OPTIONS_PANEL_TITLE = _("Options")
    rich_utils.COMMANDS_PANEL_TITLE = _("Commands")
    rich_utils.ERRORS_PANEL_TITLE = _("Error")
    rich_utils.ABORTED_TEXT = _("Aborted.")
    rich_utils.RICH_HELP = _("Try [blue]'{command_path} {help_option}'[/] for help.")


def _wrongs() -> tuple[str, ...]:
    # A form comes before those that would take its text, too.
    return (
        _("Invalid value for {name}: {why}"),
        _("Missing argument {name}."),
        _("Missing option {name}."),
        _("Missing command."),
        _("No such command {name}. Did you mean {names}?"),
        _("No such command {name}."),
        _("No such option: {name} (Possible options: {names})"),
        _("No such option: {name}"),
        _("Option {name} requires an argument."),
        _("Option {name} does not take a value."),
        _("Got unexpected extra argument(s) ({words})"),
        _("Input should be a valid integer, unable to parse string as an integer"),
        _("Unable to parse input string as an integer, exceeded maximum size"),
        _("Input should be a valid number, unable to parse string as a number"),
        _("Input should be greater than or equal to {least}"),
        _("Input should be less than or equal to {most}"),
    )


@cache
def _forms() -> list[tuple[str, re.Pattern[str]]]:
    with reading("en"):
        return [(text, _form(text)) for text in _wrongs()]


def _form(text: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", text)
    return re.compile(
        "".join(f"(?P<{part}>.*)" if at % 2 else re.escape(part) for at, part in enumerate(parts)),
        re.DOTALL,
    )
