"""A real server on a port of this computer with one of every caller, for the trial of its gate."""

import secrets
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import FastAPI
from pyotp.totp import TOTP

from zoneband import registration, seal, serials
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.seal import Kind, PublicKey
from zoneband.server.accounts import Accounts, csrf, new_secret
from zoneband.server.app import make_app
from zoneband.server.ledger import open_ledger
from zoneband.server.limits import NO_LIMITS
from zoneband.server.roles import ROLES
from zoneband.server.stations import open_stations

GONE = "gone"  # an account, and a station, that are no more
_PASSWORD = "four cats upon the roof"


@dataclass(frozen=True)
class Site:
    """tokens: of a session of each role's account, and of one that was removed (GONE); keys: of
    the stations near, far and GONE; used: a code that let a station in."""

    url: str
    app: FastAPI
    http: httpx2.Client
    directory: Path
    tokens: dict[str, str]
    keys: dict[str, Ed25519PrivateKey]
    authority: PublicKey
    band: str
    venue: str
    used: str

    def account(self, name: str) -> dict[str, str]:
        """Headers of an account at the API."""
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    def cookie(self, name: str) -> dict[str, str]:
        """Headers of an account at the pages."""
        return {"Cookie": f"zoneband-session={self.tokens[name]}"}

    def form(self, name: str) -> str:
        """What an account's forms carry."""
        return csrf(self.tokens[name])

    def enrolment(self, serial: str, role: str = "band") -> bytes:
        """A band's sealed enrolment with new keys."""
        keys = {name: secrets.token_hex(32) for name in ("base_key", "dock_key", "receipt_key")}
        facts = {"serial": serial, "board": "virtual", "role": role}
        day = int(time.time()) // 86_400 - 1
        return seal.seal(self.authority, Kind.ENROLMENT, facts | {"base_day": day} | keys)


@contextmanager
def opened(directory: Path) -> Generator[Site]:
    """A new server in a directory, and everybody who may come to it."""
    private = X25519PrivateKey.generate()
    authority = PublicKey(1, private.public_key().public_bytes_raw())
    app = make_app(directory, public_keys=[authority], private_keys={1: private}, limits=NO_LIMITS)
    secrets_of = {name: new_secret() for name in (*ROLES, GONE)}
    # At its least cost: this trial is about something else.
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    accounts = Accounts(open_ledger(directory), hasher=quick)
    for name, secret in secrets_of.items():
        accounts.add(name, _PASSWORD, secret, [name] if name in ROLES else ROLES)
    with _serving(app) as url, httpx2.Client(base_url=url, trust_env=False, timeout=30) as http:
        tokens = {name: _log_in(http, name, secret) for name, secret in secrets_of.items()}
        accounts.remove(GONE)
        keys: dict[str, Ed25519PrivateKey] = {}
        used = ""
        stations = open_stations(directory)
        for name in ("near", "far", GONE):
            keys[name] = Ed25519PrivateKey.generate()
            used = stations.invite(name)
            registration.name_in(registration.ask(url, None, keys[name], used))
        stations.revoke(GONE)
        band, venue = serials.make(), serials.make()
        yield Site(url, app, http, directory, tokens, keys, authority, band, venue, used)


def _log_in(http: httpx2.Client, name: str, secret: str) -> str:
    body = {"name": name, "password": _PASSWORD, "code": TOTP(secret).now()}
    answer: Any = http.post("/v1/sessions", json=body)
    if answer.status_code != 201:
        raise UserError(_("The server answered {code}.").format(code=answer.status_code))
    return answer.json()["token"]


@contextmanager
def _serving(app: FastAPI) -> Generator[str]:
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise UserError(_("The server did not start."))
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
