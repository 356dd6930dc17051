"""Tracers' accounts: name, password and a code from an authenticator app; and their sessions.

Passwords are kept as Argon2id hashes (RFC 9106, second recommended choice). Codes are TOTP (RFC
6238: 6 digits, 30 s); one of the step before or after is taken too, and each counts once. Wrong
tries slow down both the name and the address they come from, and name, password and code are always
all checked, so that neither words nor time tell which one was wrong.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pyotp import random_base32
from pyotp.totp import TOTP
from sqlalchemy import Connection, Engine, delete, insert, select, update

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.server import ledger, roles
from zoneband.server.database import upsert

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 200
SESSION_S = 8 * 3600
IDLE_S = 30 * 60
ISSUER = "Zoneband"

# How often a session's last use is written down, so that a page is not a write each time.
_SEEN_EVERY_S = 30
_STEP_S = 30
_NAME = re.compile(r"[\w.@-]{1,64}")
# RFC 9106, section 4, second choice: 3 passes, 4 lanes, 64 MiB. Two at a time: 128 MiB at most.
HASHER = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)
_TURNS = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class _Slow:
    """Tries that are free, and seconds after which wrong ones are forgotten."""

    free: int
    forget_s: int


_BY_NAME = _Slow(free=3, forget_s=86_400)
# A whole office may be behind one address.
_BY_ADDRESS = _Slow(free=10, forget_s=3_600)
_LONGEST_WAIT_S = 300


class WrongLogin(Exception):
    """Name, password or code is wrong; nobody is told which."""


class TooManyTries(Exception):
    """Wrong tries came too fast; wait_s: seconds until the next one is heard."""

    def __init__(self, wait_s: int) -> None:
        self.wait_s = wait_s


@dataclass(frozen=True)
class Session:
    """Somebody who is logged in; csrf: what every form of theirs must carry; roles: of now, as
    zoneband.server.roles names them."""

    tracer: str
    csrf: str
    roles: frozenset[str] = frozenset()


class Accounts:
    """The accounts of one ledger. Calls may come from several threads."""

    def __init__(
        self,
        engine: Engine,
        lock: AbstractContextManager[Any] | None = None,
        utc: Callable[[], float] = time.time,
        hasher: PasswordHasher = HASHER,
    ) -> None:
        """utc: Unix seconds now; hasher: with what passwords are hashed."""
        self._engine = engine
        self._lock = lock or threading.RLock()
        self._utc = utc
        self._hasher = hasher

    # --- accounts ---------------------------------------------------------------------------

    def add(
        self, name: str, password: str, secret: str, given: Collection[str] = (roles.TRACER,)
    ) -> str:
        """Make an account; its name as it is kept. secret: of the codes, from `new_secret`; given:
        its roles. Raises UserError for a name that is taken, or for a bad name, password or
        role."""
        kept = read_name(name)
        row = {
            "name": kept,
            "password": self._hash(read_password(password, kept)),
            "totp_secret": secret,
            "totp_used": 0,
            "added_s": int(self._utc()),
            "roles": roles.text(roles.read(given)),
        }
        with self._lock, self._engine.begin() as db:
            add = upsert(db, ledger.tracers).values(row).on_conflict_do_nothing()
            if db.execute(add.returning(ledger.tracers.c.name)).first() is None:
                raise UserError(_("There is a tracer {name} already.").format(name=kept))
        return kept

    def has(self, name: str) -> bool:
        """Whether there is an account of this name."""
        with self._engine.connect() as db:
            return _of(db, _fold(name)) is not None

    def known(self, name: str) -> str | None:
        """The name of an account as it is kept; None when there is none."""
        return _fold(name) if self.has(name) else None

    def every(self) -> list[dict[str, Any]]:
        """All accounts by name: name, roles, added_s, and seen_s of their newest session or
        None."""
        with self._engine.connect() as db:
            seen: dict[str, int] = {}
            for row in db.execute(select(ledger.sessions)).mappings():
                seen[row["tracer"]] = max(seen.get(row["tracer"], 0), row["seen_s"])
            rows = db.execute(select(ledger.tracers).order_by(ledger.tracers.c.name)).mappings()
            return [
                {
                    "name": r["name"],
                    "roles": r["roles"].split(),
                    "added_s": r["added_s"],
                    "seen_s": seen.get(r["name"]),
                }
                for r in rows
            ]

    def remove(self, name: str) -> None:
        """End an account and its sessions. Raises UserError when there is none."""
        with self._lock, self._engine.begin() as db:
            gone = db.execute(delete(ledger.tracers).where(ledger.tracers.c.name == _fold(name)))
            if not gone.rowcount:
                raise _no_such(name)
            db.execute(delete(ledger.sessions).where(ledger.sessions.c.tracer == _fold(name)))

    def change(self, name: str, password: str, secret: str | None = None) -> None:
        """Give an account a new password, and with secret new codes; its sessions end, and what
        slowed it down is forgotten. Raises UserError."""
        kept = _fold(name)
        values: dict[str, Any] = {"password": self._hash(read_password(password, kept))}
        if secret is not None:
            values |= {"totp_secret": secret, "totp_used": 0}
        table = ledger.tracers
        with self._lock, self._engine.begin() as db:
            if not db.execute(update(table).where(table.c.name == kept).values(values)).rowcount:
                raise _no_such(name)
            db.execute(delete(ledger.sessions).where(ledger.sessions.c.tracer == kept))
            tries = ledger.login_tries
            db.execute(delete(tries).where(tries.c.subject == _name_subject(kept)))

    def set_roles(self, name: str, given: Collection[str]) -> None:
        """Give an account other roles, from its next request on. Raises UserError."""
        table = ledger.tracers
        values = {"roles": roles.text(roles.read(given))}
        with self._lock, self._engine.begin() as db:
            one = update(table).where(table.c.name == _fold(name)).values(values)
            if not db.execute(one).rowcount:
                raise _no_such(name)

    # --- logging in -------------------------------------------------------------------------

    def login(self, name: str, password: str, code: str, address: str) -> str:
        """A new session's token. address: the caller's IP address. Raises WrongLogin or
        TooManyTries."""
        kept = _fold(name)
        now_s = int(self._utc())
        self._count(kept, address, now_s)
        with self._engine.connect() as db:
            row = _of(db, kept)
        right = self._matches(row["password"] if row else self._nobody, password)
        step = _step_of(row["totp_secret"] if row else _NO_SECRET, code, now_s)
        if row is None or not right or step is None:
            raise WrongLogin
        token = secrets.token_urlsafe(32)
        table = ledger.tracers
        with self._lock, self._engine.begin() as db:
            # Nobody who looked over a shoulder, and no second request at once, uses a code again.
            once = update(table).where(table.c.name == kept, table.c.totp_used < step)
            once = once.where(table.c.password == row["password"])
            if not db.execute(once.values(totp_used=step)).rowcount:
                raise WrongLogin
            tries = ledger.login_tries
            db.execute(delete(tries).where(tries.c.subject == _name_subject(kept)))
            sessions = ledger.sessions
            db.execute(delete(sessions).where(sessions.c.began_s <= now_s - SESSION_S))
            db.execute(
                insert(sessions).values(
                    token_sha256=_digest(token), tracer=kept, began_s=now_s, seen_s=now_s
                )
            )
        return token

    def _count(self, name: str, address: str, now_s: int) -> None:
        # Every try counts as wrong until it proves right, so that many at once gain nothing.
        # A right one clears its name only: else an account of one's own would free an address.
        subjects = ((_name_subject(name), _BY_NAME), (_address_subject(address), _BY_ADDRESS))
        table = ledger.login_tries
        with self._lock, self._engine.begin() as db:
            longest = max(slow.forget_s for _subject, slow in subjects)
            db.execute(delete(table).where(table.c.last_s <= now_s - longest))
            failed: list[int] = []
            wait_s = 0
            for subject, slow in subjects:
                row = db.execute(select(table).where(table.c.subject == subject)).first()
                if row is None or row.last_s <= now_s - slow.forget_s:
                    failed.append(0)
                    continue
                failed.append(row.failed)
                if row.failed >= slow.free:
                    pause_s = min(2 ** min(row.failed - slow.free + 1, 16), _LONGEST_WAIT_S)
                    wait_s = max(wait_s, row.last_s + pause_s - now_s)
            if wait_s > 0:
                raise TooManyTries(wait_s)
            for (subject, _slow), before in zip(subjects, failed, strict=True):
                values = {"failed": before + 1, "last_s": now_s}
                db.execute(
                    upsert(db, table)
                    .values(subject=subject, **values)
                    .on_conflict_do_update(index_elements=["subject"], set_=values)
                )

    @cached_property
    def _nobody(self) -> str:
        # What an unknown name is checked against, so that it takes as long.
        return self._hash(secrets.token_urlsafe(16))

    def _hash(self, password: str) -> str:
        with _TURNS:
            return self._hasher.hash(password)

    def _matches(self, hashed: str, password: str) -> bool:
        # An endless password would keep the processor busy; it is hashed all the same, cut.
        folded = _fold_password(password[: 4 * LONGEST_PASSWORD])[: LONGEST_PASSWORD + 1]
        with _TURNS:
            try:
                return self._hasher.verify(hashed, folded)
            except (VerificationError, InvalidHashError):
                return False

    # --- sessions ---------------------------------------------------------------------------

    def session(self, token: str) -> Session | None:
        """Whose session a token is of; None when there is none, or it has ended: 8 hours after its
        begin, or 30 minutes after its last use."""
        now_s = int(self._utc())
        table = ledger.sessions
        digest = _digest(token)
        with self._engine.connect() as db:
            tracers = ledger.tracers
            of = select(table, tracers.c.roles).join(tracers, tracers.c.name == table.c.tracer)
            row = db.execute(of.where(table.c.token_sha256 == digest)).first()
        if row is None or now_s >= row.began_s + SESSION_S or now_s >= row.seen_s + IDLE_S:
            return None
        if now_s >= row.seen_s + _SEEN_EVERY_S:
            with self._lock, self._engine.begin() as db:
                db.execute(update(table).where(table.c.token_sha256 == digest).values(seen_s=now_s))
        return Session(row.tracer, csrf(token), frozenset(row.roles.split()))

    def end(self, token: str) -> None:
        """Log out."""
        table = ledger.sessions
        with self._lock, self._engine.begin() as db:
            db.execute(delete(table).where(table.c.token_sha256 == _digest(token)))


def csrf(token: str) -> str:
    """What forms of a session carry: made of its token, which other sites cannot read."""
    return hmac.new(token.encode(), b"zoneband csrf 1", "sha256").hexdigest()


def read_name(text: str) -> str:
    """A tracer's name as it is kept: small letters. Raises UserError."""
    name = _fold(text)
    if not _NAME.fullmatch(name):
        raise UserError(
            _("A tracer's name has 1 to 64 letters, digits, dots, hyphens or @."), ExitCode.USAGE
        )
    return name


def read_password(text: str, name: str) -> str:
    """A password as it is hashed. Raises UserError for one that is short or easy to guess."""
    password = _fold_password(text)
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise UserError(
            _("A password has {least} to {most} characters.").format(
                least=SHORTEST_PASSWORD, most=LONGEST_PASSWORD
            ),
            ExitCode.USAGE,
        )
    plain = password.casefold()
    guesses: Collection[str] = (name, ISSUER.casefold())
    if len(set(plain)) < 5 or any(len(g) > 3 and plain.strip("0123456789") == g for g in guesses):
        raise UserError(_("This password is easy to guess: take several words."), ExitCode.USAGE)
    return password


def new_secret() -> str:
    """A secret for codes: 160 bits in base32."""
    return random_base32(32)


def enrolment_uri(name: str, secret: str) -> str:
    """What authenticator apps read as a QR code."""
    return TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def code_fits(secret: str, code: str, utc_s: float) -> bool:
    """Whether an app that was given a secret shows this code now."""
    return _step_of(secret, code, int(utc_s)) is not None


_NO_SECRET = new_secret()


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _fold_password(text: str) -> str:
    # Keyboards write Vietnamese letters in more than one way.
    return unicodedata.normalize("NFKC", text)


def _step_of(secret: str, code: str, now_s: int) -> int | None:
    # The 30-second step that a code is of, newest first.
    plain = re.sub(r"\s", "", code)
    totp = TOTP(secret)
    found: int | None = None
    for step in (now_s // _STEP_S + more for more in (1, 0, -1)):
        same = hmac.compare_digest(totp.generate_otp(step).encode(), plain.encode())
        if same and found is None:
            found = step
    return found


def _of(db: Connection, name: str) -> dict[str, Any] | None:
    found = db.execute(select(ledger.tracers).where(ledger.tracers.c.name == name))
    row = found.mappings().first()
    return None if row is None else {str(key): value for key, value in row.items()}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _name_subject(name: str) -> str:
    # Hashed: people type their password where the name belongs.
    return "name:" + _digest(name)


def _address_subject(address: str) -> str:
    # Whoever has one IPv6 address has 2^64 of them.
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "address:"
    if isinstance(parsed, ipaddress.IPv6Address):
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


def _no_such(name: str) -> UserError:
    return UserError(_("There is no tracer {name}.").format(name=name), ExitCode.NOTHING)
