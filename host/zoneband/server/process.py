"""A tracing server in a process of its own, for the demo, the tests and the benchmarks."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.server.database import VARIABLE

TOOL = (sys.executable, "-m", "zoneband")


@contextmanager
def running(
    data: Path, passphrase: str = "", tool: Sequence[str] = TOOL, ledger: str = ""
) -> Generator[str]:
    """A tracing server in a process of its own; its URL. passphrase: the authority's, "" to leave
    sealed records sealed; tool: the command that runs Zoneband; ledger: a database's URL, "" for
    the ledger that is in `data`, whatever the environment says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    env.pop(VARIABLE, None)
    if ledger:
        env[VARIABLE] = ledger
    if passphrase:
        env["ZONEBAND_PASSPHRASE"] = passphrase
    with (data / "server.log").open("w") as out:
        process = subprocess.Popen(
            [*tool, "serve", "--data", str(data), "--port", str(port)],
            stdout=out,
            stderr=out,
            env=env,
        )
        try:
            _await(url, process, data)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _await(url: str, process: subprocess.Popen[bytes], data: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/healthz", trust_env=False, timeout=2).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise UserError(_("The server did not start; see {path}.").format(path=data / "server.log"))
