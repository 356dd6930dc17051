"""Apache Spark on this computer, for tests, campaigns and the bench: a Spark Connect server of the
pyspark package over local threads, or over a standalone master and workers on loopback."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

_LEAST_JAVA = 17
_STARTS_S = 300.0  # some seconds, but on a busy computer
_HOST = "127.0.0.1"


def java() -> str:
    """The program `java` that Spark will run. Raises UserError without Java 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    said = ""
    if found:
        try:
            told = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=60)
            said = told.stderr
        except (OSError, subprocess.TimeoutExpired):
            found = None
    version = re.search(r'version "(\d+)', said)
    if not found or version is None or int(version[1]) < _LEAST_JAVA:
        text = _("Spark needs Java {version} or newer: sudo apt install openjdk-17-jre-headless")
        raise UserError(text.format(version=_LEAST_JAVA), ExitCode.NOTHING)
    return found


def home() -> Path:
    """Where the pyspark package keeps Spark. Raises UserError when it is not installed whole."""
    spec = importlib.util.find_spec("pyspark")
    where = Path(spec.origin).parent if spec and spec.origin else None
    if where is None or not (where / "bin" / "spark-class").exists():
        text = _(
            "Spark is not installed: .venv/bin/python -m pip install -r requirements/spark.txt"
        )
        raise UserError(text, ExitCode.NOTHING)
    return where


@contextmanager
def spark(
    folder: Path, workers: int = 0, memory: str = "1g", settings: Mapping[str, str] | None = None
) -> Generator[str]:
    """The URL of a Spark Connect server of our own, on loopback. folder: for its logs and what it
    spills; workers: of a standalone cluster, 0: two threads of the server itself; memory: of each
    JVM that works. Raises UserError when it cannot be started."""
    java()
    where = home()
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "spark.connect.grpc.binding.address": _HOST,
        "spark.connect.grpc.binding.port": str(_free()),
        "spark.driver.bindAddress": _HOST,
        "spark.driver.host": _HOST,
        "spark.driver.memory": memory,
        "spark.executor.memory": memory,
        "spark.local.dir": str(folder / "local"),
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        **(settings or {}),
    }
    with ExitStack() as running:
        master = "local[2]"
        if workers:
            port = _free()
            master = f"spark://{_HOST}:{port}"
            words = ["--host", _HOST, "--port", str(port), "--webui-port", "0"]
            started = _start(where, folder, "master", "deploy.master.Master", words)
            running.callback(_end, started)
            _await(port, started, folder / "master.log")
            for number in range(workers):
                name = f"worker-{number}"
                words = ["--host", _HOST, "--cores", "1", "--memory", memory, "--webui-port", "0"]
                words += ["--work-dir", str(folder / name), master]
                started = _start(where, folder, name, "deploy.worker.Worker", words)
                running.callback(_end, started)
        words = ["--master", master, "--name", "Zoneband", "--class", _SERVER]
        for key, value in options.items():
            words += ["--conf", f"{key}={value}"]
        started = _start(where, folder, "connect", "deploy.SparkSubmit", [*words, "spark-internal"])
        running.callback(_end, started)
        port = int(options["spark.connect.grpc.binding.port"])
        _await(port, started, folder / "connect.log")
        yield f"sc://{_HOST}:{port}"


_SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


def _start(
    where: Path, folder: Path, name: str, kind: str, words: Sequence[str]
) -> subprocess.Popen[bytes]:
    surroundings = os.environ | {"SPARK_HOME": str(where), "SPARK_LOCAL_IP": _HOST}
    surroundings.pop("SPARK_REMOTE", None)
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [str(where / "bin" / "spark-class"), f"org.apache.spark.{kind}", *words],
            cwd=folder,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _end(started: subprocess.Popen[bytes]) -> None:
    # A worker has executors of its own: they are in its session.
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(started.pid, how)
        except ProcessLookupError:
            break
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            continue
    started.wait()


def _await(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _STARTS_S
    while time.monotonic() < deadline and started.poll() is None:
        try:
            socket.create_connection((_HOST, port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
    raise UserError(_("Spark did not start: {said}").format(said=lines[-1][:200]))


def _free() -> int:
    with socket.socket() as free:
        free.bind((_HOST, 0))
        return int(free.getsockname()[1])
