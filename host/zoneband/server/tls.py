"""The server's certificate and key, from a directory as certbot keeps them: fullchain.pem and
privkey.pem (PEM; https://eff-certbot.readthedocs.io/en/stable/using.html#where-certs).

They are looked at again while the server runs: what certbot renews is served without a restart.
What does not fit is told and the old certificate goes on being served."""

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from zoneband import secret_files
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.localtime import local
from zoneband.reasons import said

CHAIN, KEY = "fullchain.pem", "privkey.pem"
_say = logging.getLogger(__name__)
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Certificate:
    """A certificate that may be served; until_s: when it expires, UTC seconds."""

    chain: Path
    key: Path
    until_s: int


def read(folder: Path, utc_s: float) -> Certificate:
    """The certificate and key in a directory. Raises UserError, one line, for what is missing,
    damaged, readable by others, not of each other, expired or not valid yet."""
    chain, key = folder / CHAIN, folder / KEY
    for path in (chain, key):
        if not path.exists():
            raise UserError(
                _("{path} is not there: --tls-dir takes {chain} and {key}, as certbot names them.")
                .format(path=path, chain=CHAIN, key=KEY),
                ExitCode.USAGE,
            )  # fmt: skip
    secret_files.check(key)
    try:
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
        public = certificate.public_key()
    except (OSError, ValueError, IndexError, UnsupportedAlgorithm) as error:
        raise UserError(
            _("{path} holds no certificate (PEM).").format(path=chain), ExitCode.USAGE
        ) from error
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UserError(
            _("{path} holds no private key (PEM, without a passphrase).").format(path=key),
            ExitCode.USAGE,
        ) from error
    whole = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*whole) != public.public_bytes(*whole):
        raise UserError(
            _("{key} is not the key of {chain}: copy both of the same certificate.").format(
                key=key, chain=chain
            ),
            ExitCode.USAGE,
        )
    now = datetime.fromtimestamp(utc_s, UTC)
    until_s = int(certificate.not_valid_after_utc.timestamp())
    if certificate.not_valid_after_utc <= now:
        raise UserError(
            _("The certificate {path} expired on {day}: renew it.").format(
                path=chain, day=f"{local(until_s):%d/%m/%Y}"
            )
        )
    if certificate.not_valid_before_utc > now:
        raise UserError(
            _("The certificate {path} is not valid yet: is this computer's clock right?").format(
                path=chain
            )
        )
    return Certificate(chain, key, until_s)


class Tls:
    """What a server's connections are encrypted with; `renew` follows the files."""

    def __init__(self, folder: Path, utc: Callable[[], float] = time.time) -> None:
        """utc: Unix seconds now. Raises UserError as `read` does."""
        self._folder = folder
        self._utc = utc
        self._told = ""
        self._seen = self._stamp()
        self.context = _context(read(folder, utc()))

    def renew(self) -> bool:
        """Serve the files as they are now, if they changed and are good; whether that was done. To
        be called in the thread that takes connections."""
        seen = self._stamp()
        if seen == self._seen:
            return False
        try:
            found = read(self._folder, self._utc())
            _context(found)  # what fails here has not touched what is served
            self.context.load_cert_chain(found.chain, found.key)
        except (UserError, OSError) as error:
            # A renewal may be half done: it is looked at again, and told once.
            why = error.message if isinstance(error, UserError) else said(error)
            if why != self._told:
                _say.error(_("The certificate in use is kept: %s"), why)
            self._told = why
            return False
        self._seen, self._told = seen, ""
        _say.info(_("The new certificate is served."))
        return True

    def _stamp(self) -> _Stamp:
        found: list[tuple[int, int, int]] = []
        for name in (CHAIN, KEY):
            try:
                facts = (self._folder / name).stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((facts.st_ino, facts.st_mtime_ns, facts.st_size))
        return tuple(found)


def _context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate.chain, certificate.key)
    except OSError as error:
        raise UserError(
            _("{path} cannot be served: {reason}").format(
                path=certificate.chain, reason=said(error)
            ),
            ExitCode.USAGE,
        ) from error
    return context
