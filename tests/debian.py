"""Programs of Debian's own packages, which tests run as they are."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


def program(package: str, *names: str, path: str | None = None) -> str:
    """The first of some programs that is there, from a package that is installed when this may be
    done; without it the test is skipped. path: where to look, instead of $PATH."""

    def found() -> str | None:
        return next(filter(None, (shutil.which(name, path=path) for name in names)), None)

    return installed(package, found)


def installed(package: str, found: Callable[[], T | None]) -> T:
    """What `found` finds, at once or once a package is installed."""
    if there := found():
        return there
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        pytest.skip(f"this needs a package that is not here: sudo apt-get install {package}")
    # One at a time: tests run side by side, and of two apt-gets one would fail.
    with (Path(tempfile.gettempdir()) / "zoneband-tests-apt.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if there := found():
            return there
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
            done = subprocess.run([apt, *words], env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                pytest.skip(f"apt-get {words[0]} failed, so no {package}: {done.stderr[-300:]}")
    there = found()
    assert there is not None, f"{package} is installed and not found"
    return there
