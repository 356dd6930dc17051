"""A real nginx for tests: Debian's, not as root, in a directory of its own."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import debian
from support import ROOT

RECIPE = ROOT / "host" / "zoneband" / "proxy" / "nginx.conf"
_MAIN = """
daemon off;
pid {where}/pid;
error_log {where}/error.log info;
events {{}}
http {{
    client_body_temp_path {where}/body;
    proxy_temp_path {where}/proxy;
    fastcgi_temp_path {where}/fastcgi;
    uwsgi_temp_path {where}/uwsgi;
    scgi_temp_path {where}/scgi;
    include {where}/zoneband.conf;
}}
"""


def program() -> str:
    """Debian's nginx."""
    return debian.program("nginx-light", "nginx", path=os.environ["PATH"] + ":/usr/sbin")


def recipe(where: Path, port: int, behind: int) -> str:
    """The recipe with this test's name, ports and paths, and nothing else of it changed."""
    text = RECIPE.read_text()
    for wanted, mine in (
        (r"listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (r"listen \[::\]:443 ssl;", ""),
        (r"server_name tracing\.example\.vn;", "server_name localhost;"),
        (r"/etc/letsencrypt/live/tracing\.example\.vn/", f"{where}/tls/"),
        (r"http://127\.0\.0\.1:8470;", f"http://127.0.0.1:{behind};"),
        (r"/var/log/nginx/", f"{where}/"),
    ):
        text, count = re.subn(wanted, mine, text)
        assert count >= 1, wanted
    return text


@contextmanager
def serving(where: Path, text: str, port: int) -> Generator[None]:
    """nginx with a recipe, from its first answer on."""
    (where / "zoneband.conf").write_text(text)
    (where / "nginx.conf").write_text(_MAIN.format(where=where))
    # The master process as nobody, too: what the recipe needs, it needs without root.
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        for path in (where, *where.rglob("*")):
            shutil.chown(path, user, "nogroup")
    run = subprocess.Popen(
        [program(), "-p", where, "-e", where / "error.log", "-c", where / "nginx.conf"],
        user=user,
        group="nogroup" if user else None,
        extra_groups=[] if user else None,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert run.poll() is None and time.monotonic() < deadline, (
                where / "error.log"
            ).read_text()
            time.sleep(0.05)
        yield
    finally:
        run.terminate()
        run.wait(20)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
