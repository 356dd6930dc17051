"""Whatever this computer lacks, a verb says it in one line."""

import errno
import os
import socket
import sqlite3
from pathlib import Path

import pytest

from typed import Typed
from zoneband import i18n, reasons
from zoneband.errors import ExitCode
from zoneband.server import database, ledger
from zoneband.server.tracing_server import TracingServer


def one_line(typed: Typed, *words: str, vietnamese: str, english: str) -> str:
    for lang, reason in (("vi", vietnamese), ("en", english)):
        code, _out, err = typed(*words, lang=lang)
        assert code == ExitCode.REFUSED, err
        assert err.count("\n") == 1 and "Error" not in err and "sqlalche" not in err, err
        assert reason in err, err
    return err


def test_a_data_directory_that_is_none(typed: Typed, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("a file")
    words = ("serve", "--data", str(place), "--port", "0")
    line = one_line(typed, *words, vietnamese="không phải là thư mục", english="Not a directory")
    assert str(place) in line


def test_a_place_that_cannot_be_written(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere: the kernel's own refusal stands in for the mode of a folder.
    def refuse(*_words: object, **_more: object) -> int:
        raise PermissionError(13, "Permission denied", str(tmp_path / "server" / "lock"))

    monkeypatch.setattr(os, "open", refuse)
    words = ("serve", "--data", str(tmp_path), "--port", "0")
    line = one_line(
        typed, *words, vietnamese="không có quyền truy cập", english="Permission denied"
    )
    assert "lock" in line


def test_a_ledger_that_is_no_database(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "ledger.sqlite").write_text("no database at all" * 100)
    for words in (("serve", "--port", "0"), ("station", "invite", "one"), ("rights", "list")):
        one_line(
            typed, *words, "--data", str(tmp_path),
            vietnamese="tệp không phải là cơ sở dữ liệu", english="file is not a database",
        )  # fmt: skip


def test_a_ledger_that_somebody_else_writes(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TracingServer(tmp_path / "server")
    monkeypatch.setattr(database, "_BUSY_S", 0.1)
    with sqlite3.connect(tmp_path / "server" / "ledger.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        for words in (("station", "invite", "one"), ("retention", "run")):
            one_line(
                typed, *words, "--data", str(tmp_path), vietnamese="đang bận", english="busy"
            )  # fmt: skip
        other.execute("ROLLBACK")
    other.close()
    code, out, err = typed("station", "invite", "one", "--data", str(tmp_path))
    assert code == 0 and out and not err
    assert ledger.open_ledger(tmp_path / "server")


def test_a_port_that_somebody_else_listens_at(typed: Typed, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = one_line(
            typed, "serve", "--data", str(tmp_path), "--port", port,
            vietnamese="đang có chương trình khác dùng", english="Address already in use",
        )  # fmt: skip
    assert port in line


def test_a_server_that_does_not_answer(typed: Typed, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    one_line(
        typed, "case", "list", "--data", str(tmp_path), "--server", url, "--token", "t",
        vietnamese="kết nối bị từ chối", english="Connection refused",
    )  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
        errno.EMFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EADDRINUSE,
        errno.ECONNREFUSED, errno.ENETUNREACH, errno.ETIMEDOUT,
    ],
)  # fmt: skip
def test_the_systems_reasons_are_in_the_users_language(code: int) -> None:
    error = OSError(code, os.strerror(code))
    with i18n.reading("en"):
        assert reasons.said(error) == os.strerror(code)
    with i18n.reading("vi"):
        assert reasons.said(error) != os.strerror(code)


def test_a_reason_that_nobody_translated_is_told_as_it_is() -> None:
    with i18n.reading("vi"):
        assert reasons.said(OSError(errno.ENOSTR, "Device not a stream")) == "Device not a stream"
        assert reasons.said(ValueError("at line 3")) == "at line 3"
        assert reasons.said(sqlite3.OperationalError("disk I/O error")) == "lỗi đọc ghi đĩa"
        assert reasons.of_request(ValueError("what was asked")) == "ValueError"
