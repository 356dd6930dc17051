"""Apache Spark on this computer for tests: what it needs is installed when this may be done."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from debian import installed
from zoneband.errors import UserError
from zoneband.tracing import local_spark

T = TypeVar("T")
_REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "spark.txt"


def _there(find: Callable[[], T]) -> T | None:
    try:
        return find()
    except UserError:
        return None


def need() -> None:
    """Java and Spark; without them, and where they cannot be installed, the test is skipped."""
    installed("openjdk-17-jre-headless", lambda: _there(local_spark.java))
    if _there(local_spark.home) is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        words = [*pip, "--require-hashes", "-r", str(_REQUIREMENTS)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"pip failed, so no Spark: {done.stderr[-300:]}")
        importlib.invalidate_caches()


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
