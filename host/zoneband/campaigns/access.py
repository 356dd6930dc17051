"""Every endpoint, asked by whoever must not be answered.

A round is a new server, and at each of its endpoints, as its OpenAPI and its pages name them:
nobody; a stranger's token and key; an account that was removed; every account without the role; a
revoked station, another station under its own name and under that one's, a replayed and a stale
request; a station's code that is made up or used; a form of no session. Refused are 401 and 403,
and at a page the way to the login: any other answer is an accepted forgery. Whoever may ask is
asked beside, and must be let in: a server that refuses everybody would prove nothing ("lost").
"""

import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.routing import APIRoute
from starlette.routing import Mount

from zoneband import serials
from zoneband.campaigns.access_site import GONE, Site, opened
from zoneband.campaigns.tally import Tally
from zoneband.server import audit_log
from zoneband.server.nonces import WINDOW_S
from zoneband.server.roles import PUBLIC, ROLES, TABLE, Way
from zoneband.signing import Signature, key_id

_SPAN = "from=2026-11-03&to=2026-11-04"


@dataclass(frozen=True)
class Call:
    """A request that its endpoint would answer."""

    endpoint: str  # as zoneband.server.roles names it
    method: str
    path: str
    json: dict[str, Any] | None = None
    form: dict[str, str] | None = None
    content: bytes | None = None


@dataclass
class _Found:
    tried: int = 0
    passed: list[str] = field(default_factory=list[str])
    shut_out: list[str] = field(default_factory=list[str])


def run(tally: Tally, rounds: int, told: Callable[[str], None] = lambda line: None) -> None:
    """That many rounds more."""
    for _round in range(rounds):
        number = tally.rounds
        rng = random.Random(tally.seed * 1_000_003 + number)
        with tempfile.TemporaryDirectory(prefix="zoneband-access") as folder:
            found = _Found()
            with opened(Path(folder) / "server") as site:
                calls = _calls(site)
                _each(site, calls, rng, found)
            log = audit_log.verify(audit_log.lines_of(Path(folder) / "server" / audit_log.NAME))
        tally.count(
            1,
            accepted_forgeries=len(found.passed),
            lost=len(found.shut_out),
            unreadable=int(log.fault is not None),
        )
        tally.figures["refused"] = tally.figures.get("refused", 0) + found.tried - len(found.passed)
        tally.figures["endpoints"] = len(calls)
        tally.witness(repr(sorted(c.endpoint for c in calls)).encode(), repr(found.passed).encode())
        wrong = ["answered: " + each for each in found.passed]
        wrong += ["shut out: " + each for each in found.shut_out]
        told(f"{number:5d}  {found.tried} tried  {'✗ ' + '; '.join(wrong) if wrong else '✓'}")


def endpoints(site: Site) -> list[str]:
    """What the server's own OpenAPI and its pages name, without what is open to everybody."""
    paths: dict[str, Any] = site.http.get("/openapi.json").json()["paths"]
    found = [f"{method.upper()} {path}" for path, calls in paths.items() for method in calls]
    for mount in site.app.routes:
        if isinstance(mount, Mount):
            for route in mount.routes:
                if isinstance(route, APIRoute):
                    found += [
                        f"{method} {mount.path}{route.path}" for method in route.methods or ()
                    ]
    return sorted(set(found) - set(PUBLIC))


# --- what an endpoint would answer -----------------------------------------------------------


def _calls(site: Site) -> list[Call]:
    # A request to each, good but for who sends it; and the band, venue and case that they name.
    site.http.put(**_record(site, site.band), auth=Signature(site.keys["near"]))
    site.http.put(**_record(site, site.venue, "venue"), auth=Signature(site.keys["near"]))
    declare = _case(site)
    site.http.post("/v1/cases", json=declare, headers=site.account("tracer"))
    site.http.post("/v1/groups", json={"name": "g"}, headers=site.account("admin"))
    return [_call(site, endpoint) for endpoint in endpoints(site)]


def _record(site: Site, serial: str, role: str = "band") -> dict[str, Any]:
    data = site.enrolment(serial, role)
    name = hashlib.sha256(data).hexdigest()
    return {"url": f"/v1/stations/near/records/{name}", "content": data}


def _case(site: Site) -> dict[str, str]:
    given = site.http.post("/v1/case-codes", headers=site.account("health")).json()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return {"serial": site.band, "onset": day, "code": str(given.get("code"))}


def _call(site: Site, endpoint: str) -> Call:
    method, path = endpoint.split(" ")
    serial = site.venue if "/venues/" in path else site.band
    names = {"number": "1", "serial": serial, "key": f"{site.band}-0"}
    names["name"] = "g" if "/groups/{name}" in path else "near"
    content = None
    if "{sha256}" in path:
        content = site.enrolment(serials.make()) if "/records/" in path else b"no batch"
        names["sha256"] = hashlib.sha256(content).hexdigest()
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    if "/traces/" in path or "/visits" in path or "/venues/" in path:
        path += "?" + _SPAN
    if path.endswith("/receipt"):
        path += "?log_id=1&first=0"
    swap = {"serial_a": site.band, "serial_b": site.venue, "from": "2026-11-03", "to": "2026-11-04"}
    bodies: dict[str, dict[str, Any]] = {
        "POST /v1/cases": {"serial": site.band, "onset": "2026-11-03"},
        "POST /v1/cases/{number}/close": {"reason": "well"},
        "POST /v1/cases/{number}/withdraw": {"reason": "wrong band"},
        "POST /v1/groups": {"name": "g"},
        "POST /v1/bands/{serial}/orders": {"kind": "unlock"},
        "POST /v1/swaps": swap,
        "POST /v1/swaps/undo": swap,
        "POST /v1/stations": {"code": "00000-00000-00000-00000", "public_key": "00" * 32},
    }
    forms = {
        "POST /tracer/cases": {"serial": site.band, "by": "onset", "day": "2026-11-03"},
        "POST /tracer/cases/{number}/end": {"how": "close", "reason": "well"},
        "POST /tracer/cases/{number}/calls": {"serial": site.band, "state": "reached"},
    }
    form = forms.get(endpoint, {}) if method == "POST" and path.startswith("/tracer/") else None
    return Call(endpoint, method, path, bodies.get(endpoint), form, content)


# --- who asks ----------------------------------------------------------------------------------


def _each(site: Site, calls: list[Call], rng: random.Random, found: _Found) -> None:
    tries = [(name, call, send) for call in calls for name, send in _attacks(site, call)]
    rng.shuffle(tries)
    for name, call, send in tries:
        found.tried += 1
        answer = send()
        if not _refused(answer):
            found.passed.append(f"{call.endpoint} ({name}): {answer.status_code}")
    # Whoever may: what ends a session or a case comes last.
    for call in sorted(calls, key=lambda c: (c.endpoint.endswith(("sessions", "logout")),)):
        for who, answer in _rightful(site, call):
            if _refused(answer):
                found.shut_out.append(f"{call.endpoint} ({who}): {answer.status_code}")


def _refused(answer: httpx2.Response) -> bool:
    if answer.status_code == 303:
        where = answer.headers.get("location", "")
        return where.startswith("/tracer/login") and "said=" not in where
    return answer.status_code in (401, 403)


def _send(
    site: Site, call: Call, headers: dict[str, str] | None = None, form: str = ""
) -> httpx2.Response:
    data = None if call.form is None else call.form | {"form": form}
    body: dict[str, Any] = {"json": call.json, "data": data, "content": call.content}
    kept = {name: value for name, value in body.items() if value is not None}
    return site.http.request(call.method, call.path, headers=headers, **kept)


def _signed(
    site: Site, call: Call, key: Ed25519PrivateKey, of: str | None = None, at_s: float | None = None
) -> httpx2.Request:
    # of: whose key it says it is signed with; at_s: when.
    made = Signature(key, lambda: time.time() if at_s is None else at_s)
    if of is not None:
        made._key_id = key_id(  # pyright: ignore[reportPrivateUsage]
            site.keys[of].public_key().public_bytes_raw()
        )
    body: dict[str, Any] = {"json": call.json, "content": call.content}
    kept = {name: value for name, value in body.items() if value is not None}
    request = site.http.build_request(call.method, call.path, **kept)
    made.sign(request)
    return request


Attack = tuple[str, Callable[[], httpx2.Response]]


def _attacks(site: Site, call: Call) -> Iterator[Attack]:
    entry = TABLE.get(call.endpoint)
    yield "nobody", lambda: _send(site, call)
    stranger = {"Authorization": "Bearer " + "0" * 64, "Cookie": "zoneband-session=" + "0" * 43}
    yield "a stranger's token", lambda: _send(site, call, stranger)
    gone = site.account(GONE) | site.cookie(GONE)
    yield "a removed account", lambda: _send(site, call, gone, site.form(GONE))
    if entry is None or entry.way in (Way.STATION, Way.NEWCOMER):
        for role in ROLES:
            who = site.account(role) | site.cookie(role)
            yield f"an account: {role}", lambda who=who: _send(site, call, who)
        yield from _stations(site, call)
        return
    key = site.keys["near"]
    yield "a station", lambda: site.http.send(_signed(site, call, key))
    for role in ROLES:
        api, page = site.account(role), site.cookie(role)
        right, wrong = (api, page) if entry.way is Way.API else (page, api)
        if role not in entry.roles:
            form = site.form(role)
            yield (
                f"without the role: {role}",
                lambda right=right, form=form: _send(site, call, right, form),
            )
        elif call.method == "POST" and entry.way is Way.PAGE:
            yield f"no form of its session: {role}", lambda right=right: _send(site, call, right)
        yield f"by the other way: {role}", lambda wrong=wrong: _send(site, call, wrong)


def _stations(site: Site, call: Call) -> Iterator[Attack]:
    near, far = site.keys["near"], site.keys["far"]

    def again() -> httpx2.Response:
        request = _signed(site, call, near)
        site.http.send(request)
        return site.http.send(request)

    def signed(key: Ed25519PrivateKey, **more: Any) -> Callable[[], httpx2.Response]:
        return lambda: site.http.send(_signed(site, call, key, **more))

    yield "a key that nobody knows", signed(Ed25519PrivateKey.generate())
    yield "a revoked station", signed(site.keys[GONE])
    yield "another station under its name", signed(far, of="near")
    yield "replayed", again
    for seconds in (-WINDOW_S - 60, WINDOW_S + 60):
        yield f"stale by {seconds} s", signed(near, at_s=time.time() + seconds)
    if "/near/" in call.path:
        yield "another station", signed(far)
    if call.endpoint == "POST /v1/stations":
        public = near.public_key().public_bytes_raw().hex()
        for code in (site.used, "00000-00000-00000-00000"):
            body = {"code": code, "public_key": public}
            other = Call(call.endpoint, call.method, call.path, body)
            yield (
                "a code that is used or made up",
                lambda o=other: site.http.send(_signed(site, o, near)),
            )


def _rightful(site: Site, call: Call) -> Iterator[tuple[str, httpx2.Response]]:
    entry = TABLE.get(call.endpoint)
    if entry is None or entry.way is Way.NEWCOMER:
        return
    if entry.way is Way.STATION:
        yield "near", site.http.send(_signed(site, call, site.keys["near"]))
        return
    may = sorted(entry.roles)
    # Each session ends once.
    ends = {"DELETE /v1/sessions": may[:2], "POST /tracer/logout": may[2:]}
    for role in ends.get(call.endpoint, may):
        headers = site.account(role) if entry.way is Way.API else site.cookie(role)
        yield role, _send(site, call, headers, site.form(role))
