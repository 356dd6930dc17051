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
    data: Path,
    passphrase: str = "",
    tool: Sequence[str] = TOOL,
    ledger: str = "",
    tls_dir: Path | None = None,
) -> Generator[str]:
    """A tracing server in a process of its own; its URL. passphrase: the authority's, "" to leave
    sealed records sealed; tool: the command that runs Zoneband; ledger: a database's URL, "" for
    the ledger that is in `data`, whatever the environment says; tls_dir: holds its certificate."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"{'https' if tls_dir else 'http'}://127.0.0.1:{port}"
    more = ["--tls-dir", str(tls_dir)] if tls_dir else []
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    env.pop(VARIABLE, None)
    if ledger:
        env[VARIABLE] = ledger
    if passphrase:
        env["ZONEBAND_PASSPHRASE"] = passphrase
    with (data / "server.log").open("w") as out:
        process = subprocess.Popen(
            [*tool, "serve", "--data", str(data), "--port", str(port), *more],
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
            # Whether it is up is asked here, not who it is.
            with httpx2.Client(trust_env=False, verify=False, timeout=2) as http:
                if http.get(f"{url}/healthz").status_code == 200:
                    return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise UserError(_("The server did not start; see {path}.").format(path=data / "server.log"))
