"""A certificate authority for tests, and what it signs for this computer."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """An authority; `file` is what stations are told to trust."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._own = _name("test authority")
        made = (
            self._blank(self._key.public_key(), EARLY, LATE)
            .subject_name(self._own)
            .add_extension(x509.BasicConstraints(True, None), True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def _blank(
        self, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(self._own)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )

    def sign(
        self,
        folder: Path,
        begin: datetime = EARLY,
        end: datetime = LATE,
        names: tuple[str, ...] = ("localhost",),
    ) -> x509.Certificate:
        """A new key and certificate for this computer, as certbot leaves them."""
        secret = ec.generate_private_key(ec.SECP256R1())
        known = [x509.DNSName(name) for name in names]
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        made = (
            self._blank(secret.public_key(), begin, end)
            .subject_name(_name(names[0]))
            .add_extension(x509.SubjectAlternativeName([*known, here]), False)
            .sign(self._key, hashes.SHA256())
        )
        folder.mkdir(exist_ok=True)
        (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key = folder / "privkey.pem"
        key.touch(0o600)
        key.write_bytes(
            secret.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return made


def last_days(days: float) -> tuple[datetime, datetime]:
    """Validity that ends in so many days, which may be negative."""
    now = datetime.now(UTC)
    return now - timedelta(days=30), now + timedelta(days=days)
