"""Stations of a test: a code, a key, and what signs their requests."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zoneband.server.stations import Stations, open_stations
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature
from zoneband.station import Station


def invite(directory: Path, name: str, utc: Callable[[], float] | None, **more: Any) -> str:
    """A code of the server in a directory."""
    stations = open_stations(directory)
    if utc is not None:
        stations._utc = utc  # pyright: ignore[reportPrivateUsage]
    return stations.invite(name, **more)


def come(
    http: httpx2.Client,
    directory: Path,
    name: str,
    utc: Callable[[], float],
    groups: Sequence[str] | None = None,
) -> Signature:
    """Let a station in over HTTP, as its verb does; what signs for it."""
    code = invite(directory, name, utc, group_names=groups)
    key = Ed25519PrivateKey.generate()
    signs = Signature(key, utc)
    body = {"code": code, "public_key": key.public_key().public_bytes_raw().hex()}
    answer = http.post("/v1/stations", json=body, auth=signs)
    assert answer.status_code == 201 and answer.json() == {"name": name}, answer.text
    return signs


def known(server: TracingServer | Stations, name: str) -> Ed25519PrivateKey:
    """A key that a server knows under a name, without HTTP."""
    stations = server.stations if isinstance(server, TracingServer) else server
    key = Ed25519PrivateKey.generate()
    stations.enrol(stations.invite(name), key.public_key().public_bytes_raw())
    return key


def settings(url: str, name: str = "st", key: Ed25519PrivateKey | None = None) -> Station:
    """A station of a server that does not look at keys, or knows this one."""
    return Station(url, name, key or Ed25519PrivateKey.generate(), None)
