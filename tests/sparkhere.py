"""Apache Spark on this computer for tests: what it needs is installed when this may be done."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from zoneband.errors import UserError
from zoneband.tracing import local_spark

_REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "spark.txt"


def _call(*words: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=400)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no Spark here: {words[0]} failed: {error}")
    if done.returncode != 0:
        pytest.skip(f"no Spark here: {' '.join(words[:5])} failed: {done.stderr[-200:]}")


def need() -> None:
    """Java and Spark; without them, and where they cannot be installed, the test is skipped."""
    try:
        local_spark.java()
    except UserError as error:
        apt = shutil.which("apt-get")
        if apt is None or os.geteuid() != 0:
            pytest.skip(error.message)
        _call(apt, "update")
        _call(apt, "install", "-y", "--no-install-recommends", "openjdk-17-jre-headless")
    try:
        local_spark.home()
    except UserError:
        words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call(sys.executable, *words, "--require-hashes", "-r", str(_REQUIREMENTS))


@contextmanager
def running(folder: Path, settings: Mapping[str, str] | None = None) -> Generator[str]:
    """The URL of a Spark Connect server over two local threads."""
    need()
    # What runs for seconds over some hundred rows is not worth optimising: nearly all the time is
    # compilers' and planners'. `zoneband campaign spark` leaves all this on.
    quick = {
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
        "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote",
        "spark.log.level": "WARN",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.shuffle.partitions": "1",
    }
    with local_spark.spark(folder, settings=quick | dict(settings or {})) as url:
        yield url
