"""Typer's own texts - the frames of a help, what is wrong with a call - are in the user's language,
too."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer import rich_utils

from typed import Typed
from zoneband import i18n
from zoneband.cli import frames, main
from zoneband.errors import ExitCode

WRONG = {
    ("nothing",): ("Không có lệnh 'nothing'.", "No such command 'nothing'."),
    ("cas",): ("Có phải ý bạn là 'case' không?", "Did you mean 'case'?"),
    ("case", "confirm"): ("Thiếu tham số 'number'.", "Missing argument 'number'."),
    ("case", "withdraw", "1"): ("Thiếu tuỳ chọn '--reason'.", "Missing option '--reason'."),
    ("case", "confirm", "x"): (
        "Giá trị của 'number' không hợp lệ: phải là số nguyên",
        "Invalid value for 'number': Input should be a valid integer, unable to parse string",
    ),
    ("case", "confirm", "0"): ("phải từ 1 trở lên", "greater than or equal to 1"),
    ("trace", "--degrees", "4"): ("không được quá 3", "less than or equal to 3"),
    ("serve", "--station-rate", "x"): ("phải là một số", "a valid number"),
    ("audit", "list", "--zzz"): ("Không có tuỳ chọn --zzz", "No such option: --zzz"),
    ("trace", "--engin", "x"): ("có thể là: --engine", "Possible options: --engine"),
    ("audit", "list", "--last"): (
        "Tuỳ chọn '--last' cần có giá trị đi kèm.",
        "Option '--last' requires an argument.",
    ),
    ("audit", "list", "--json=1"): ("không nhận giá trị", "does not take a value"),
    ("retention", "run", "now"): ("Thừa tham số (now)", "Got unexpected extra argument(s) (now)"),
}
FRAMES = re.compile(
    r"Usage:|\[OPTIONS\]|COMMAND|ARGS|─ (?:Arguments|Options|Commands|Error) ─|"
    r"\[required\]|\[default|\[env|this message|<(?:bool|int|str|float|path|list)\b|Try '|for help"
)


def verbs() -> Iterator[tuple[str, ...]]:
    """The words of every verb, and of every part of it."""
    yield ()
    for verb in main._about():  # pyright: ignore[reportPrivateUsage]
        whole: Any = typer.main.get_command(main.make_app([verb]))
        yield from below(whole.commands[verb], (verb,))


def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for name, part in getattr(command, "commands", {}).items():
        yield from below(part, (*words, name))


def test_every_help_has_its_frames_in_the_users_language(typed: Typed) -> None:
    every = list(verbs())
    assert len(every) > 80
    for words in every:
        code, out, err = typed(*words, "--help", lang="vi")
        assert code == 0 and not err, words
        assert "Cách dùng: zoneband" in out and "Hiện phần trợ giúp này rồi thoát." in out, words
        assert not FRAMES.search(out), out
    _code, out, _err = typed("case", "confirm", "--help")
    for word in ("Usage: ", "[OPTIONS]", "─ Arguments ─", "[required]", "<bool>", "this message"):
        assert word in out, out


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_with_a_call_is_said_in_the_users_language(
    typed: Typed, words: tuple[str, ...]
) -> None:
    vietnamese, english = WRONG[words]
    code, out, err = typed(*words, lang="vi")
    assert code == ExitCode.USAGE and not out
    assert vietnamese in err and "─ Lỗi ─" in err and not FRAMES.search(err), err
    code, out, err = typed(*words)
    assert code == ExitCode.USAGE and not out
    assert english in err and "─ Error ─" in err, err


def test_a_call_without_words_is_a_help(typed: Typed) -> None:
    code, out, err = typed("case", lang="vi")
    assert code == ExitCode.USAGE and "Cách dùng: zoneband case" in out and not err


def test_a_question_that_is_broken_off_is_told(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(_words: list[str]) -> Any:
        raise typer.Abort

    monkeypatch.setattr(main, "make_app", broken_off)
    for lang, told in (("vi", "Đã dừng.\n"), ("en", "Aborted.\n")):
        assert typed(lang=lang) == (1, "", told)


def test_english_is_as_typer_has_it() -> None:
    importlib.reload(rich_utils)
    names = [name for name in dir(rich_utils) if name.isupper()]
    before = {name: getattr(rich_utils, name) for name in names}
    with i18n.reading("en"):
        frames._name_frames()  # pyright: ignore[reportPrivateUsage]
        assert frames.said("Missing argument 'x'.") == "Missing argument 'x'."
    assert before == {name: getattr(rich_utils, name) for name in names}


def test_a_text_of_no_known_form_stays_as_it_is() -> None:
    with i18n.reading("vi"):
        assert frames.said("Something else.") == "Something else."
