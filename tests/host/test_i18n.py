"""Every text that a person sees is there in both languages."""

import os
import re
import shutil
from pathlib import Path

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


def refused(locale: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A text in Vietnamese, as a program that has just begun finds it there."""
    # The catalogues that this process has read stay as they are.
    monkeypatch.setattr(i18n, "LOCALE", locale)
    return i18n._catalogue.__wrapped__("vi").gettext("refused")  # pyright: ignore[reportPrivateUsage]


def test_the_compiled_catalogue_is_the_files_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "vi" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    po, mo = folder / "zoneband.po", folder / "zoneband.mo"
    shutil.copy(HOST / "locale/vi/LC_MESSAGES/zoneband.po", po)
    assert refused(tmp_path, monkeypatch) == "bị từ chối"
    compiled = mo.read_bytes()
    assert mo.stat().st_mtime_ns == po.stat().st_mtime_ns
    assert sorted(folder.iterdir()) == [mo, po]

    # It is read: nothing else could say this.
    stamp = mo.stat().st_mtime_ns
    mo.write_bytes(compiled.replace("bị từ chối".encode(), "BỊ TỪ CHỐI".encode()))
    os.utime(mo, ns=(stamp, stamp))
    assert refused(tmp_path, monkeypatch) == "BỊ TỪ CHỐI"

    # What is damaged is made anew, as is what is older than the texts, or newer.
    for spoilt in (b"", compiled[:20], compiled[: len(compiled) // 2], bytes(len(compiled))):
        mo.write_bytes(spoilt)
        os.utime(mo, ns=(stamp, stamp))
        assert refused(tmp_path, monkeypatch) == "bị từ chối"
        assert mo.read_bytes() == compiled
    po.write_text(po.read_text().replace('"bị từ chối"', '"không nhận"'))
    for change_s in (-3600, 3600):
        changed = stamp + change_s * 10**9
        os.utime(po, ns=(changed, changed))
        assert refused(tmp_path, monkeypatch) == "không nhận"
        assert mo.stat().st_mtime_ns == changed


def test_where_it_cannot_be_kept_texts_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "vi" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    shutil.copy(HOST / "locale/vi/LC_MESSAGES/zoneband.po", folder)
    (folder / "zoneband.mo").mkdir()  # nothing takes its place, whoever asks
    assert refused(tmp_path, monkeypatch) == "bị từ chối"
    assert sorted(path.name for path in folder.iterdir()) == ["zoneband.mo", "zoneband.po"]


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
