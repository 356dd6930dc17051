"""The tracing server that runs on this computer, for verbs beside it: where it listens, and its
certificate, which is in its own name and not in this computer's."""

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from cryptography import x509

_EVERY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # what listens on all addresses listens there


@dataclass(frozen=True)
class LocalServer:
    """url: of the server; context: trusts its certificate and no other, None for plain HTTP; name:
    whom the certificate is for."""

    url: str
    context: ssl.SSLContext | None
    name: str

    def client(self, token: str) -> httpx2.Client:
        """An HTTP client with the token."""
        headers = {"Authorization": f"Bearer {token}"}
        context = self.context
        http = httpx2.Client(
            base_url=self.url,
            headers=headers,
            verify=context or False,  # plain HTTP has no certificate
            trust_env=False,
        )
        if context is not None:
            http.event_hooks = {"request": [self._named]}
        return http

    def _named(self, request: httpx2.Request) -> None:
        request.extensions = {**request.extensions, "sni_hostname": self.name}


def find(data: Path) -> LocalServer | None:
    """The server of a data directory, where it was started last; None when none was, or it cannot
    be known."""
    try:
        noted: dict[str, Any] = json.loads((data / "server" / "running.json").read_text("utf-8"))
        url, folder = urlsplit(str(noted["url"])), str(noted["tls_dir"])
        host = url.hostname or ""
        here = f"{url.scheme}://{_EVERY.get(host, f'[{host}]' if ':' in host else host)}:{url.port}"
        if url.scheme != "https":
            return LocalServer(here, None, "")
        chain = Path(folder) / "fullchain.pem"
        context = ssl.create_default_context(cafile=str(chain))
        # Whoever signed it need not be known here: it is this very certificate.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return LocalServer(here, context, _name(chain))
    except (OSError, ValueError, KeyError, TypeError, x509.ExtensionNotFound):
        return None


def _name(chain: Path) -> str:
    first = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    for name in names.get_values_for_type(x509.DNSName):
        return name.replace("*", "server", 1)
    return str(names.get_values_for_type(x509.IPAddress)[0])
