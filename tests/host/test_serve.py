"""`zoneband serve` as it starts, and what it says of itself."""

import re
import socket
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from typed import Typed
from zoneband.errors import UserError
from zoneband.server import running
from zoneband.server.app import make_app


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_said_before_anything_else(host: str) -> None:
    with running.listen(host, 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}.*--port"):
            running.listen(host, port)


def test_nothing_is_promised_on_a_port_that_is_taken(typed: Typed, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = typed("serve", "--data", str(tmp_path), "--port", port)
    assert (code, out) == (5, "")
    assert err.count("\n") == 1 and port in err and "--port" in err


def test_the_page_of_calls_names_each_and_needs_no_other_computer(tmp_path: Path) -> None:
    http = TestClient(make_app(tmp_path), client=("127.0.0.1", 1))
    page = http.get("/docs")
    assert page.status_code == 200
    described = http.get("/openapi.json").json()["paths"]
    for path, methods in described.items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in page.text
    assert "when an enrolment contradicts" in " ".join(page.text.split())
    assert "<td><code>onset</code></td><td>body</td>" in page.text
    refs = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert refs and all(ref.startswith("/") for ref in refs)
    for ref in refs:
        assert http.get(ref).status_code == 200
