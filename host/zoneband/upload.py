"""Store and forward: sealed records and batches from the spool to the tracing server."""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import httpx2

from zoneband import retention, signing
from zoneband import station as stations
from zoneband.errors import ExitCode, UserError
from zoneband.groups import GroupKeys
from zoneband.i18n import _
from zoneband.inventory import Inventory
from zoneband.reasons import of_request
from zoneband.signing import Signature
from zoneband.spool import Receipt, Sealed, Spool
from zoneband.station import Station
from zoneband.wire import orders as order_wire

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 900.0
TRIES = 5
TIMEOUT_S = 30.0
# Nothing is wrong with what was sent: it is signed anew and sent again.
_ONCE_MORE = ("replay", "digest")
ORDERS_S = 3.0  # as long as a dock waits for its band's orders


@dataclass
class Sent:
    """What one upload run did; reached: whether the server answered last."""

    sent: int = 0
    refused: int = 0
    waiting: int = 0
    problem: str = ""
    note: str = ""  # what went well, and should be looked at all the same
    reached: bool = False


def check_url(url: str) -> str:
    """The URL without a trailing slash; plain HTTP only to this computer itself."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(
            _("{url} is no web address: write https://, then the server's name.").format(url=url),
            ExitCode.USAGE,
        )
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise UserError(
            _("{url} is not encrypted: use an https:// address.").format(url=url), ExitCode.USAGE
        )
    return url.rstrip("/")


def client(
    server: str, token: str | None, ca: str | None, auth: httpx2.Auth | None = None
) -> httpx2.Client:
    """An HTTP client for the tracing server: a tracer's with its token, a station's with what
    signs for it."""
    import ssl

    url = check_url(server)
    # Plain HTTP, on this computer alone, has no certificate; to read the system's takes 0.1 s.
    verify: Any = url.startswith("https:")
    if verify and ca:
        verify = ssl.create_default_context(cafile=ca)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.Client(
        base_url=url,
        headers=headers,
        auth=auth,
        verify=verify,
        timeout=TIMEOUT_S,
        trust_env=False,
    )


def signature(station: Station) -> Signature | None:
    """What signs a station's requests; None when it has no key, and the server says so."""
    return Signature(station.key) if station.key else None


def station_client(station: Station) -> httpx2.Client:
    """An HTTP client that signs for a station."""
    return client(station.server, None, station.ca, signature(station))


def refusal(answer: httpx2.Response) -> str:
    """What to do about a 401 or 403, in the station's words."""
    reason = signing.reason_of(answer)
    if reason == "revoked":
        return _(
            "The server has revoked this station. If that is a mistake, ask there for a new code "
            "and run: zoneband station init --code CODE"
        )
    if reason in ("token", "unsigned"):
        return _(
            "This station has no key yet. Ask at the server for a code and run: "
            "zoneband station init --code CODE"
        )
    if reason == "clock":
        return _(
            "This computer's clock is days away from the server's. Set it: "
            "sudo timedatectl set-ntp true"
        )
    if reason == "signature":
        return _(
            "The server finds this station's signature wrong: something on the way, such as a "
            "proxy, changes what is sent. Ask whoever runs the server."
        )
    return _(
        "The server does not know this station. Ask there for a code and run: "
        "zoneband station init --code CODE"
    )


def shut_out(station: Station, timeout_s: float) -> str:
    """Why the server does not let a station in, and what to do; "" when it does, or does not
    answer."""
    try:
        with station_client(station) as http:
            path = f"/v1/stations/{quote(station.name, safe='')}/groups"
            answer = http.get(path, timeout=timeout_s)
    except (httpx2.HTTPError, UserError, OSError):
        return ""
    return refusal(answer) if answer.status_code in (401, 403) else ""


def _said(answer: httpx2.Response) -> str:
    # What keeps the server from taking anything now; it takes it later.
    if signing.reason_of(answer) == "quota":
        return _(
            "This station has brought more than the server takes in so short a time. The rest is "
            "sent later; if this stays so, ask whoever runs the server."
        )
    if answer.status_code == 507:
        return _("The server's disk is full. Tell whoever runs the server; the rest is sent later.")
    return _("The server answered {code}.").format(code=answer.status_code)


def wait_s(attempt: int, retry_after: str | None) -> float:
    """Seconds before the next attempt: what the server asked for, else full jitter."""
    if retry_after:
        try:
            return min(_LONGEST_WAIT_S, max(0.0, float(retry_after)))
        except ValueError:
            try:
                until = parsedate_to_datetime(retry_after).timestamp()
                return min(_LONGEST_WAIT_S, max(0.0, until - time.time()))
            except ValueError:
                pass
    return random.uniform(0, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt))


class _Item(Protocol):
    """One thing to send: where to, what, and what to do with the answer."""

    @property
    def place(self) -> str: ...

    def data(self) -> bytes: ...

    def take(self, answer: httpx2.Response) -> bool: ...

    def refuse(self, why: str) -> None: ...


class _SealedItem:
    def __init__(self, spool: Spool, record: Sealed) -> None:
        self._spool = spool
        self._record = record
        self.place = f"records/{record.name}"

    def data(self) -> bytes:
        return self._record.data

    def take(self, answer: httpx2.Response) -> bool:
        # False: this is no answer of a tracing server.
        try:
            if answer.json()["record"] != self._record.name:
                return False
        except (ValueError, TypeError, KeyError):
            return False
        self._spool.sealed_sent(self._record.name)
        return True

    def refuse(self, why: str) -> None:
        self._spool.sealed_refused(self._record.name, why)


class _BatchItem:
    def __init__(self, spool: Spool, name: str, orders: "_Orders") -> None:
        self._spool = spool
        self._name = name
        self._orders = orders
        self.place = f"batches/{name}"

    def data(self) -> bytes:
        return self._spool.data(self._name)

    def take(self, answer: httpx2.Response) -> bool:
        # False: this is no answer of a tracing server (a hotel's log-in page, a wrong address).
        try:
            body = answer.json()
            receipt = body["receipt"]
            if body["batch"] != self._name:
                return False
            if receipt:
                # The receipt first: a cut between the two only sends the batch once more.
                mac = bytes.fromhex(receipt["mac"])
                log_id, first, upto = (int(receipt[k]) for k in ("log_id", "first", "upto"))
                self._spool.add_receipt(Receipt(receipt["serial"], log_id, first, upto, mac))
            if body.get("resend") is not None:
                self._spool.add_resend(self._name, body["resend"])
            self._orders.came(self._spool.serial(self._name), body)
        except (ValueError, TypeError, KeyError):
            return False
        self._spool.sent(self._name)
        return True

    def refuse(self, why: str) -> None:
        self._spool.refused(self._name, why)


class _Orders:
    """Orders that the server gave. One of them may be a new dock key, of a group's key that is not
    here yet: they go into the spool only with the server's newest keys."""

    def __init__(self, spool: Spool, groups: GroupKeys, station: Station) -> None:
        self._spool = spool
        self._groups = groups
        self._station = station
        self._new: dict[str, dict[int, bytes]] = {}
        self.ask_back: set[str] = set()  # serials

    def came(self, serial: str, body: dict[str, Any]) -> None:
        """Orders in an answer. Raises ValueError, TypeError, KeyError for what are none."""
        given = [bytes.fromhex(order) for order in body.get("orders", [])]
        known = set(self._spool.orders(serial))
        new = {order_wire.number_of(order): order for order in given if order not in known}
        self._new.setdefault(serial, {}).update(new)
        if body.get("ask_back") is True:
            self.ask_back.add(serial)

    def settle(self, http: httpx2.Client, needed: bool) -> None:
        """Ask for the group keys if they are needed or old, and keep the orders. What the server
        does not give now it gives later."""
        new = {serial: orders for serial, orders in self._new.items() if orders}
        if not (new or needed or self._groups.stale()):
            return
        try:
            if not self._groups.fetch(http, self._station):
                return
        except (httpx2.HTTPError, OSError):
            return
        for serial, orders in new.items():
            self._spool.add_orders(serial, orders.values())


class Uploader:
    """Sends what waits in a spool."""

    def __init__(
        self,
        data: Path,
        spool: Spool,
        station: Station,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._data = data
        self._spool = spool
        self._station = station
        self._sleep = sleep
        self._groups = GroupKeys(data)

    def run(
        self,
        tries: int = TRIES,
        progress: Callable[[int, int], None] | None = None,
        *,
        needed: bool = False,
    ) -> Sent:
        """Send all that waits; a problem that stays ends the run and is named. Group keys are asked
        for when they are an hour old, or needed: a band came whose key is not here."""
        done = Sent()
        orders = _Orders(self._spool, self._groups, self._station)
        # Enrolments before logs: a log of a band that the server does not know gets no receipt.
        items = [_SealedItem(self._spool, record) for record in self._spool.waiting_sealed()]
        items += [_BatchItem(self._spool, name, orders) for name in self._spool.waiting()]
        signed = signature(self._station)
        with client(self._station.server, None, self._station.ca, signed) as http:
            for n, item in enumerate(items):
                if not self._send(http, item, tries, done):
                    break
                if progress:
                    progress(n + 1, len(items))
            if needed or not done.problem:
                orders.settle(http, needed)
        if signed is not None and signed.ahead_s:
            done.note = _(
                "This computer's clock is {hours} hours away from the server's. Set it: "
                "sudo timedatectl set-ntp true"
            ).format(hours=round(abs(signed.ahead_s) / 3600))
        if orders.ask_back:
            done.note = _("Take back, as their wearers ask: {bands}").format(
                bands=", ".join(sorted(orders.ask_back))
            )
        self._expire(done)
        done.waiting = self._spool.counts()[0]
        return done

    def _expire(self, done: Sent) -> None:
        # Not by a clock that may be wrong: what is deleted does not come back.
        if not stations.clock_vouched(self._data):
            return
        now_s = time.time()
        lost = self._spool.expire(now_s)
        inventory = Inventory(stations.directory(self._data))
        inventory.expire(now_s)
        inventory.close()
        if lost:
            done.note = _(
                "{n} batches could not be sent for {days} days: they are deleted. Dock their bands "
                "again: what these still have is sent."
            ).format(n=lost, days=retention.DAYS)

    def fetch_orders(self, serial: str, after: int) -> None:
        """Bring a band's orders behind number `after` into the spool: one question that waits for
        ORDERS_S at most. Where the server does not answer, the spool stays as it is."""
        orders = _Orders(self._spool, self._groups, self._station)
        try:
            with station_client(self._station) as http:
                answer = http.get(
                    f"/v1/bands/{quote(serial)}/orders", params={"after": after}, timeout=ORDERS_S
                )
                if answer.status_code == 200:
                    orders.came(serial, answer.json())
                    orders.settle(http, needed=False)
        except (httpx2.HTTPError, ValueError, TypeError, KeyError, AttributeError):
            return

    def _send(self, http: httpx2.Client, item: "_Item", tries: int, done: Sent) -> bool:
        path = f"/v1/stations/{quote(self._station.name, safe='')}/{item.place}"
        for attempt in range(tries):
            retry_after = None
            try:
                answer = http.put(path, content=item.data())
            except httpx2.HTTPError as error:
                done.reached = False
                done.problem = _("The server cannot be reached ({error}).").format(
                    error=of_request(error)
                )
            else:
                done.reached = True
                self._note_time(answer)
                if answer.status_code in (200, 201, 202) and item.take(answer):
                    done.sent += 1
                    done.problem = ""
                    return True
                again = signing.reason_of(answer) in _ONCE_MORE
                if answer.status_code in (401, 403) and not again:
                    done.problem = refusal(answer)
                    return False
                if answer.status_code in (400, 409, 413, 422) and not again:
                    item.refuse(f"{answer.status_code} {answer.text[:200]}")
                    done.refused += 1
                    return True
                retry_after = answer.headers.get("Retry-After")
                done.problem = _said(answer)
                if signing.reason_of(answer) == "quota":
                    return False  # it may take hours
            if attempt + 1 < tries:
                self._sleep(wait_s(attempt, retry_after))
        return False

    def _note_time(self, answer: httpx2.Response) -> None:
        try:
            server_s = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
        except ValueError:
            return
        with contextlib.suppress(OSError):  # a full disk
            stations.note_server_time(self._data, time.time() - server_s)
