"""How a station comes to a tracing server: its one-time code, and a public key from then on."""

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zoneband import signing, upload
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.signing import Signature


def ask(
    url: str, ca: str | None, key: Ed25519PrivateKey, code: str, name: str | None = None
) -> httpx2.Response:
    """The server's answer to a code and a key; name: what the code should be for. Raises
    httpx2.HTTPError."""
    body: dict[str, str] = {"code": code, "public_key": key.public_key().public_bytes_raw().hex()}
    if name is not None:
        body["name"] = name
    with upload.client(url, None, ca, Signature(key)) as http:
        return http.post("/v1/stations", json=body)


def name_in(answer: httpx2.Response) -> str:
    """The station's name in an answer that lets it in. Raises UserError with what to do."""
    reason = signing.reason_of(answer)
    if reason == "code-used":
        raise UserError(_("This code was used before. Ask at the server for a new one."))
    if reason == "code-expired":
        raise UserError(_("This code has expired. Ask at the server for a new one."))
    if reason == "code-name":
        raise UserError(_("This code is another station's. Ask at the server for your own."))
    if reason == "code-key":
        raise UserError(_("The server does not take this key again. Run this once more."))
    if reason == "code" or answer.status_code == 422:
        raise UserError(_("This code is wrong. Is every letter as the server printed it?"))
    if answer.status_code in (401, 403):
        raise UserError(upload.refusal(answer))
    try:
        name = answer.json()["name"] if answer.status_code == 201 else None
    except (ValueError, TypeError, KeyError):
        name = None
    if not isinstance(name, str):
        raise UserError(_("The server answered {code}.").format(code=answer.status_code))
    return name
