"""How a station signs its requests: HTTP Message Signatures (RFC 9421) with Ed25519 over the
digest of the body (RFC 9530), a moment and a nonce. The server checks them in
zoneband.server.signed."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from http_message_signatures import algorithms
from http_message_signatures.httpx2 import adapt_message
from http_message_signatures.signatures import HTTPMessageSigner

from zoneband import durable

# All that a signature covers, beside its own parameters: created, nonce, keyid, alg and tag.
COMPONENTS = ("@method", "@authority", "@path", "@query", "content-digest")
TAG = "zoneband-station"
_LABEL = "station"
_NONCE_BYTES = 16


def key_id(public: bytes) -> str:
    """The name of a public key (32 bytes): its SHA-256 in hexadecimal."""
    return hashlib.sha256(public).hexdigest()


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Keep a private key (PKCS #8, PEM) for this user alone, whole or not at all."""
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    durable.write(path, lambda f: f.write(text), 0o600)


def read_key(path: Path) -> Ed25519PrivateKey | None:
    """A key that write_key kept; None when there is none. Raises ValueError for a damaged file."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = load_pem_private_key(text, None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("no station key") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise ValueError("no station key")
    return found


class Signature(httpx2.Auth):
    """Signs every request of a client. A server that finds this computer's clock too far from its
    own says what time it is there; the request is then signed once more, for that time."""

    requires_request_body = True
    requires_response_body = True

    def __init__(self, key: Ed25519PrivateKey, utc: Callable[[], float] = time.time) -> None:
        """utc: Unix seconds now."""
        self._utc = utc
        self._key_id = key_id(key.public_key().public_bytes_raw())
        self._key = key
        self._signer = HTTPMessageSigner(
            signature_algorithm=algorithms.ED25519  # pyright: ignore[reportPrivateImportUsage]
        )
        # How far this computer's clock is ahead of the server's, once the server minded.
        self.ahead_s: float = 0

    def sign(self, request: httpx2.Request) -> None:
        """Put a new signature on a request, instead of one that it has."""
        request.headers.pop("Content-Digest", None)
        prepared = self._signer.prepare(
            adapt_message(request),
            key_id=self._key_id,
            created=datetime.fromtimestamp(int(self._utc() - self.ahead_s), UTC),
            nonce=secrets.token_urlsafe(_NONCE_BYTES),
            tag=TAG,
            covered_component_ids=COMPONENTS,
            body=request.read(),
        )
        # The signer's own `apply` would work all of it out a second time.
        made = base64.b64encode(self._key.sign(prepared.signature_base)).decode()
        request.headers["Signature-Input"] = f"{_LABEL}={prepared.signature_params}"
        request.headers["Signature"] = f"{_LABEL}=:{made}:"

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """As httpx2.Auth asks for."""
        self.sign(request)
        answer = yield request
        if answer.status_code == 401 and reason_of(answer) == "clock":
            there_s = answer.json().get("utc_s")
            if type(there_s) is int:
                self.ahead_s = self._utc() - there_s
                self.sign(request)
                yield request


def reason_of(answer: httpx2.Response) -> str:
    """Why the server refused, as zoneband.server.signed names it; "" when no tracing server
    answered, or it gave no such reason."""
    try:
        found = answer.json().get("reason")
    except (ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""
