"""Store and forward: whatever the network and the server do, each batch arrives once."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import clocked
from bandbook import NOON, A, B, BandBook, key
from stationed import known, settings
from support import ROOT
from zoneband import batch as batches
from zoneband import i18n, upload
from zoneband.errors import UserError
from zoneband.server.enrolment import Enrolment
from zoneband.server.process import running
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature, write_key
from zoneband.spool import Spool
from zoneband.upload import Uploader, check_url, wait_s

Answer = tuple[int, dict[str, str], bytes | None]  # None: what a tracing server says
OK: Answer = (201, {}, None)


class Scripted:
    """An HTTP server that gives the answers it was told, in order, and keeps what came."""

    def __init__(self, answers: list[Answer], delay_s: float = 0) -> None:
        self.answers = answers
        self.came: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                name = self.path.rsplit("/", 1)[1]
                outer.came.append(name)
                time.sleep(delay_s)
                status, headers, body = outer.answers.pop(0) if outer.answers else OK
                if body is None:
                    body = json.dumps({"batch": name, "receipt": None}).encode()
                try:
                    self.send_response(status)
                    for head, value in headers.items():
                        self.send_header(head, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the client gave up

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Three batches of one band."""
    made = Spool(tmp_path / "station")
    book = BandBook(A, tmp_path)
    first = 0
    for n in range(3):
        book.met(B, NOON + n * 3600, 25, -66)
        data = book.batch(first)
        first = book.log.head
        made.add(data)
    yield made
    made.close()


def send(spool: Spool, url: str, tmp_path: Path, tries: int = 5) -> tuple[upload.Sent, list[float]]:
    slept: list[float] = []
    uploader = Uploader(tmp_path, spool, settings(url), slept.append)
    return uploader.run(tries), slept


def test_errors_of_the_server_are_waited_out(spool: Spool, tmp_path: Path) -> None:
    names = spool.waiting()
    server = Scripted([(500, {}, b""), (429, {"Retry-After": "7"}, b""), (503, {}, b"x"), OK])
    done, slept = send(spool, server.url, tmp_path)
    assert (done.sent, done.waiting, done.problem) == (3, 0, "")
    assert server.came == [names[0]] * 4 + names[1:]
    assert slept[1] == 7
    assert all(0 <= s <= 900 for s in slept)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            (429, {"Retry-After": "900"}, b'{"reason":"quota"}'),
            "brought more than the server takes",
        ),
        ((507, {}, b'{"title":"the server\'s disk is full"}'), "disk is full"),
        ((500, {}, b""), "answered 500"),
    ],
)
def test_what_the_server_does_not_take_now_is_said_and_waits(
    spool: Spool, tmp_path: Path, answer: Answer, said: str
) -> None:
    i18n.set_language("en")
    names = spool.waiting()
    asked = 1 if "quota" in str(answer) else 2  # a quota may take hours: nobody waits for that
    server = Scripted([answer] * asked)
    done, slept = send(spool, server.url, tmp_path, tries=2)
    assert said in done.problem and (done.sent, done.refused) == (0, 0)
    assert spool.waiting() == names and len(slept) == asked - 1
    done, _ = send(spool, server.url, tmp_path)
    assert (done.sent, done.waiting, done.problem) == (3, 0, "")


def test_waits_grow_with_jitter_and_follow_the_servers_word() -> None:
    for attempt in range(12):
        drawn = [wait_s(attempt, None) for _ in range(50)]
        assert 0 <= min(drawn) and max(drawn) <= min(900, 5 * 2**attempt)
        assert len(set(drawn)) > 40
    assert 50 < wait_s(0, formatdate(time.time() + 60, usegmt=True)) <= 60
    assert wait_s(0, "86400") == 900
    assert 0 <= wait_s(0, "soon") <= 5


def test_a_server_that_is_down_costs_nothing(spool: Spool, tmp_path: Path) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done, _ = send(spool, f"http://127.0.0.1:{port}", tmp_path, tries=2)
    assert (done.sent, done.waiting) == (0, 3)
    assert "cannot be reached" in done.problem or "Không" in done.problem
    done, _ = send(spool, Scripted([]).url, tmp_path)
    assert (done.sent, done.waiting) == (3, 0)


@pytest.mark.parametrize("resend, cursor", [(None, 19), (7, 7), (900, 19)])
def test_the_next_pull_begins_where_the_server_asks_for_it(
    spool: Spool, tmp_path: Path, resend: int | None, cursor: int
) -> None:
    names = spool.waiting()
    assert spool.cursor(A, 77) == 19
    answers: list[Answer] = [
        (201, {}, json.dumps({"batch": name, "receipt": None, "resend": resend}).encode())
        for name in names[:1]
    ]
    done, _ = send(spool, Scripted(answers).url, tmp_path)
    assert (done.sent, done.waiting) == (3, 0)
    assert spool.cursor(A, 77) == cursor


@pytest.mark.parametrize("resend", ["soon", -1, 1e300, float("inf"), {}, 1 << 40])
def test_a_strange_place_to_pull_from_is_no_answer(
    spool: Spool, tmp_path: Path, resend: object
) -> None:
    name = spool.waiting()[0]
    body = json.dumps({"batch": name, "receipt": None, "resend": resend}).encode()
    done, _ = send(spool, Scripted([(201, {}, body)] * 2).url, tmp_path, tries=2)
    assert done.sent == 0 and spool.cursor(A, 77) == 19


def test_a_slow_server_is_given_up_and_asked_again_later(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "TIMEOUT_S", 0.3)
    done, _ = send(spool, Scripted([], delay_s=1).url, tmp_path, tries=1)
    assert (done.sent, done.waiting) == (0, 3)
    assert done.problem


def test_what_is_refused_for_good_is_kept_and_stops_nothing(spool: Spool, tmp_path: Path) -> None:
    names = spool.waiting()
    done, slept = send(spool, Scripted([(422, {}, b"bad")]).url, tmp_path)
    assert (done.sent, done.refused, done.waiting, slept) == (2, 1, 0, [])
    assert spool.counts() == (0, 1)
    assert batches.name(spool.data(names[0])) == names[0]


def test_an_unknown_station_is_told_what_to_do(spool: Spool, tmp_path: Path) -> None:
    done, _ = send(spool, Scripted([(401, {}, b"")]).url, tmp_path)
    assert (done.sent, done.waiting) == (0, 3)
    assert "station init" in done.problem


@pytest.mark.parametrize(
    "body", [b"<html>Please log in</html>", b"[]", b'{"receipt": null}', b'{"batch": "x"}', b""]
)
def test_a_log_in_page_is_no_receipt(spool: Spool, tmp_path: Path, body: bytes) -> None:
    done, _ = send(spool, Scripted([(200, {"Date": "yesterday"}, body)] * 2).url, tmp_path, 2)
    assert (done.sent, done.waiting) == (0, 3)
    assert done.problem


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "ftp://x", "tracing.example.vn", "http://evil.example:80/"]
)
def test_only_tls_leaves_this_computer(url: str) -> None:
    with pytest.raises(UserError):
        check_url(url)
    assert check_url("https://tracing.example.vn/") == "https://tracing.example.vn"
    assert check_url("http://localhost:8470") == "http://localhost:8470"


def enrolled(tmp_path: Path) -> Ed25519PrivateKey:
    """A server's directory that knows both bands; the key of station st."""
    server = TracingServer(tmp_path / "server")
    for serial in (A, B):
        server.enrol(Enrolment(serial, "virtual", "band", 20_760, key(serial), bytes(32), key("r")))
    return known(server, "st")


def test_a_server_killed_in_the_middle_of_a_request_has_each_batch_once(
    spool: Spool, tmp_path: Path
) -> None:
    key_of_st = enrolled(tmp_path)
    names = spool.waiting()
    body = spool.data(names[0])
    path = f"/v1/stations/st/batches/{names[0]}"
    signs = Signature(key_of_st, lambda: NOON + 86_400)
    today = clocked.tool(NOON + 86_400)
    for size in (0, len(body) // 2, len(body) - 1, len(body)):
        with running(tmp_path, tool=today) as url:
            asked = httpx2.Request("PUT", url + path, content=body)
            signs.sign(asked)
            lines = [f"PUT {path} HTTP/1.1", *(f"{k}: {v}" for k, v in asked.headers.items())]
            head = "\r\n".join([*lines, "", ""]).encode()
            with closing(socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1])))) as s:
                s.sendall(head + body[:size])
                time.sleep(0.02)
                subprocess.run(["pkill", "-9", "-f", f"serve --data {tmp_path}"], check=True)
    with running(tmp_path, tool=today) as url:
        uploader = Uploader(tmp_path, spool, settings(url, key=key_of_st))
        done = uploader.run()
        assert (done.sent, done.waiting, done.refused) == (3, 0, 0)
        again = [name for name in names if spool.data(name)]
        assert len(again) == 3
    found = TracingServer(tmp_path / "server").trace(A, NOON - 86_400, NOON + 86_400)
    assert [c["records"] for c in found["contacts"]] == [15]


def test_a_server_without_disk_space_says_so_and_takes_the_batch_later(
    spool: Spool, tmp_path: Path
) -> None:
    # A real limit on the size of files: every write beyond it fails as on a full disk.
    key_of_st = enrolled(tmp_path)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200));"
        "sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; from fastapi.testclient import TestClient;"
        "from zoneband.server.app import make_app;"
        "from zoneband.signing import Signature, read_key;"
        "app = TestClient(make_app(Path(sys.argv[2])), raise_server_exceptions=False);"
        "a = app.put(sys.argv[3], content=Path(sys.argv[4]).read_bytes(),"
        " auth=Signature(read_key(Path(sys.argv[5]))));"
        "print(a.status_code, a.json()['title'])"
    )
    [name, *_] = spool.waiting()
    (tmp_path / "body").write_bytes(spool.data(name))
    write_key(tmp_path / "key.pem", key_of_st)
    asked = [str(ROOT / "host"), str(tmp_path / "server"), f"/v1/stations/st/batches/{name}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *asked, str(tmp_path / "body"), str(tmp_path / "key.pem")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("507 the server's disk is full"), done.stdout + done.stderr
    assert not list((tmp_path / "server" / "batches").glob("*"))
    server = TracingServer(tmp_path / "server")
    took = server.take("st", name, spool.data(name))
    assert took.new and took.count == 5


def test_the_verb_says_what_is_left(spool: Spool, tmp_path: Path) -> None:
    settings = {"server": "http://127.0.0.1:9", "name": "st", "token": "t", "ca": None}
    (tmp_path / "station" / "station.json").write_text(json.dumps(settings))
    code = (
        "import sys; from zoneband import upload; upload.TRIES = 1;"
        "upload.Uploader.run.__defaults__ = (1, None);"
        "sys.argv = ['zoneband', '--lang', 'en', 'upload', '--data', sys.argv[1]];"
        "from zoneband.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "host")},
    )
    assert done.returncode == 4, done.stderr
    assert "3 waiting" in done.stdout and "Nothing is lost" in done.stderr
    assert "Traceback" not in done.stderr
