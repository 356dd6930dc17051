"""`zoneband serve` as it starts."""

import socket
from pathlib import Path

import pytest

from typed import Typed
from zoneband.errors import UserError
from zoneband.server import running


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
