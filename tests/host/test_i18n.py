"""Every text that a person sees is there in both languages."""

import re

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from support import ROOT
from zoneband import i18n
from zoneband.tracing import words

HOST = ROOT / "host" / "zoneband"
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]


def texts() -> set[str]:
    found = set()
    for _, _, message, _, _ in extract_from_dir(str(HOST), METHODS, keywords={"_": None}):
        found.add(message if isinstance(message, str) else message[0])
    return found


def catalogue() -> dict[str, str]:
    with (HOST / "locale/vi/LC_MESSAGES/zoneband.po").open("rb") as f:
        entries = read_po(f)
    assert not [m.id for m in entries if m.fuzzy and m.id]
    return {str(m.id): str(m.string) for m in entries if m.id}


def test_every_text_has_a_vietnamese_one_and_no_other_is_left() -> None:
    assert texts() == set(catalogue())
    assert len(texts()) > 100


def filled(text: str) -> set[str]:
    return set(re.findall(r"{\w+(?::[^}]*)?}", text))


def test_translations_keep_what_is_filled_in() -> None:
    for english, vietnamese in catalogue().items():
        assert vietnamese
        assert filled(english) == filled(vietnamese), english


@pytest.mark.parametrize(
    ("env", "wanted"), [("vi_VN.UTF-8", "vi"), ("en_US.UTF-8", "en"), ("C", "en"), ("", "en")]
)
def test_the_language_follows_lang(monkeypatch: pytest.MonkeyPatch, env: str, wanted: str) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", env)
    i18n.set_language(None)
    assert i18n.language() == wanted


def test_numbers_have_the_decimal_sign_of_the_language() -> None:
    why = {"code": "enough", "weighted_min": 164.9, "min_minutes": 15, "period_s": 86_400}
    for language, wanted in (("vi", "164,9 "), ("en", "164.9 ")):
        with i18n.reading(language):
            assert words.why(why).startswith(wanted), language
            assert i18n.number(1234.5, 2) == {"vi": "1234,50", "en": "1234.50"}[language]
            assert i18n.number(15.0) == "15"


def test_a_thing_has_one_name_in_vietnamese() -> None:
    # The printed serial is "số hiệu", a batch "lô".
    for english, vietnamese in catalogue().items():
        assert not re.search(r"\b(sê-ri|gói)\b", vietnamese.lower()), english
