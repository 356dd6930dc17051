"""Who signed a request: the server's side of zoneband.signing (RFC 9421, RFC 9530).

Every refusal has a `reason` for the station's program: rate, quota, unsigned, token, key,
signature, clock, revoked, replay, digest, slow, station; zoneband.server.stations names those of
codes."""

import asyncio
import base64
import hashlib
import hmac
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Request
from http_message_signatures import algorithms
from http_message_signatures.exceptions import InvalidSignature
from http_message_signatures.resolvers import (
    HTTPSignatureKeyResolver,
    SigningKey,
    VerificationKey,
)
from http_message_signatures.signatures import HTTPMessageVerifier
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from zoneband import signing
from zoneband.server.limits import QUOTA_DAYS, Buckets, Limits
from zoneband.server.nonces import WINDOW_S, Nonces
from zoneband.server.problem import Problem
from zoneband.server.stations import Known, Stations

NO_BODY = hashlib.sha256(b"").digest()
_LONGEST_HEADER = 1024
_NONCE = r"[\x21-\x7e]{16,64}"
# What is not so could be read as a part of the path, or cut it short.
_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


@dataclass(frozen=True)
class Caller:
    """A station that signed a request, by a key; digest: SHA-256 of the body that it signed; mark:
    of its nonce, for Nonces.settle."""

    name: str
    key_id: str
    digest: bytes
    mark: bytes


@dataclass(frozen=True)
class _Message:
    method: str
    url: str
    headers: "_Lines"


class _Lines:
    """The lines of a request's header, as the verifier reads them."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self._lines = lines

    def items(self) -> Iterable[tuple[str, str]]:
        return self._lines


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, find: Callable[[str], bytes | None]) -> None:
        self._find = find

    def resolve_public_key(self, key_id: str) -> VerificationKey:
        found = self._find(key_id)
        if found is None:
            raise Problem(401, "no station has this key", reason="key")
        return Ed25519PublicKey.from_public_bytes(found)

    def resolve_private_key(self, key_id: str) -> SigningKey:
        raise LookupError(key_id)  # a station's own, and nobody else's


class _Verifier(HTTPMessageVerifier):
    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """The server's own clock and window decide, and only on what is genuine."""


class Doorkeeper:
    """Lets requests in that a station has signed."""

    def __init__(
        self,
        stations: Stations,
        nonces: Nonces,
        utc: Callable[[], float],
        limits: Limits,
        reserve: Callable[[], None],
    ) -> None:
        """utc: Unix seconds now; reserve: raises OSError when there is no more room on the disk for
        what stations bring."""
        self._reserve = reserve
        self._stations = stations
        self._nonces = nonces
        self._utc = utc
        self._body_s = limits.body_s
        self._by_station = Buckets(limits.station_per_s, limits.station_burst)
        self._by_address = Buckets(limits.address_per_s, limits.address_burst)
        self._by_account = Buckets(limits.account_per_s, limits.account_burst)
        day = limits.quota_per_day
        self._kept = Buckets(day / 86_400, day * QUOTA_DAYS)

    def station(self, request: Request) -> Caller:
        """The station that signed a request, which has not been here before. Raises Problem, and
        OSError when the disk is full."""
        self.slow_down(request)
        found: list[Known] = []

        def find(key_id: str) -> bytes | None:
            known = self._stations.by_key(key_id)
            if known is None:
                return None
            found.append(known)
            return known.public_key

        digest, key_id, created_s, nonce = self._verify(request, find)
        [known] = found
        if known.revoked:
            raise _revoked()
        _refuse("rate", self._by_station.take(known.name))
        if request.method == "PUT":
            _refuse("quota", self._kept.wait_s(known.name))
        return Caller(known.name, key_id, digest, self._once(key_id, created_s, nonce))

    def still(self, caller: Caller) -> None:
        """Whether a station that was let in may still come: its body took a while. Raises
        Problem."""
        known = self._stations.by_key(caller.key_id)
        if known is None or known.revoked:
            raise _revoked()

    def newcomer(self, request: Request, public_key: bytes, body: bytes) -> bytes:
        """The mark of the nonce of a request that is signed with the key that it brings. Raises
        Problem, and OSError when the disk is full."""
        wanted = signing.key_id(public_key)
        digest, key_id, created_s, nonce = self._verify(
            request, lambda name: public_key if name == wanted else None
        )
        self.check_body(digest, hashlib.sha256(body).digest())
        return self._once(key_id, created_s, nonce)

    def slow_down(self, request: Request) -> None:
        """Count a request of an address. Raises Problem 429."""
        _refuse("rate", self._by_address.take(request.client.host if request.client else ""))

    def slow_account_down(self, account: str) -> None:
        """Count a request of an account. Raises Problem 429."""
        _refuse("rate", self._by_account.take(account))

    def keeps(self, caller: Caller, size: int) -> None:
        """Count what the server now keeps of a station, in bytes."""
        self._kept.spend(caller.name, size)

    def check_body(self, signed: bytes, came: bytes) -> None:
        """Whether a body is what was signed, by their SHA-256. Raises Problem."""
        if not hmac.compare_digest(signed, came):
            raise Problem(400, "the body is not the one that was signed", reason="digest")

    async def body(self, request: Request, signed: bytes | None, limit: int) -> bytes:
        """The body that was signed, at most limit bytes; signed: its SHA-256, None where that is
        checked later. Raises Problem."""
        parts: list[bytes] = []
        size = 0
        running = hashlib.sha256()
        try:
            async with asyncio.timeout(self._body_s):
                async for part in request.stream():
                    size += len(part)
                    if size > limit:
                        raise Problem(413, f"at most {limit // 1024} KiB")
                    running.update(part)
                    parts.append(part)
        except ClientDisconnect:
            raise Problem(400, "the body did not come whole") from None  # nobody reads it
        except TimeoutError:
            raise Problem(408, "the body did not come in time", reason="slow") from None
        if signed is not None:
            self.check_body(signed, running.digest())
        return b"".join(parts)

    def _once(self, key_id: str, created_s: int, nonce: str) -> bytes:
        self._reserve()  # a nonce is kept, too
        mark = self._nonces.take(key_id, nonce, created_s)
        if mark is None:
            raise Problem(401, "this request came before", reason="replay")
        return mark

    def _verify(
        self, request: Request, find: Callable[[str], bytes | None]
    ) -> tuple[bytes, str, int, str]:
        # (the body's signed digest, key id, when it was signed, nonce) of a genuine signature that
        # covers all that it must. A request of another moment is told only to whoever has the key.
        lines = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.scope["headers"]]
        given = {name: value for name, value in lines}
        if "signature" not in given or "signature-input" not in given:
            if given.get("authorization", "").startswith("Bearer "):
                raise Problem(401, "stations have keys instead of tokens", reason="token")
            raise Problem(401, "the request is not signed", reason="unsigned")
        checked = ("signature", "signature-input", "content-digest", "host")
        counts = [sum(name == one for name, _value in lines) for one in checked]
        if counts != [1] * 4 or any(len(given[name]) > _LONGEST_HEADER for name in checked):
            raise _not_genuine()
        message = _Message(request.method, _url(request, given["host"]), _Lines(lines))
        verifier = _Verifier(
            signature_algorithm=algorithms.ED25519,  # pyright: ignore[reportPrivateImportUsage]
            key_resolver=_Keys(find),
        )
        try:
            [found] = verifier.verify(
                message,
                max_age=None,
                expect_tag=signing.TAG,
                require_components=signing.COMPONENTS,
            )
        except InvalidSignature as error:
            # What the look for the key came to: nobody's, or a ledger that did not answer.
            if isinstance(error.__cause__, (Problem, SQLAlchemyError)):
                raise error.__cause__ from None
            raise _not_genuine() from None
        except ValueError:
            raise _not_genuine() from None  # more than one signature
        signed = found.parameters
        digest = _DIGEST.fullmatch(given["content-digest"])
        created_s, nonce = signed.get("created"), signed.get("nonce")
        if digest is None or not isinstance(created_s, int) or not isinstance(nonce, str):
            raise _not_genuine()
        if not re.fullmatch(_NONCE, nonce) or "expires" in signed:
            raise _not_genuine()
        now_s = int(self._utc())
        if abs(now_s - created_s) > WINDOW_S:
            raise Problem(401, "signed at another time", reason="clock", utc_s=now_s)
        return base64.b64decode(digest[1]), str(signed["keyid"]), created_s, nonce


def _url(request: Request, host: str) -> str:
    # As it came: decoding and encoding again would not always give the same bytes.
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    if not re.fullmatch(_HOST, host) or "#" in path + query:
        raise _not_genuine()
    return f"{request.scope['scheme']}://{host}{path}{'?' + query if query else ''}"


def _refuse(reason: str, wait_s: float) -> None:
    if wait_s:
        title = {"rate": "too many requests", "quota": "this station has brought too much"}
        after = {"Retry-After": str(max(1, math.ceil(wait_s)))}
        raise Problem(429, title[reason], after, reason=reason)


def _revoked() -> Problem:
    return Problem(403, "this station is revoked", reason="revoked")


def _not_genuine() -> Problem:
    return Problem(401, "the signature is not genuine", reason="signature")
