"""Who may use which endpoint of the tracing server. What is not in this table is refused.

An endpoint's event is its name in the audit log (zoneband.server.audit): of every look at what is
known of people, and of every change.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

HEALTH, TRACER, ADMIN, AUDITOR = "health", "tracer", "admin", "auditor"
ROLES = (HEALTH, TRACER, ADMIN, AUDITOR)


class Way(Enum):
    """How a caller proves who it is."""

    PUBLIC = "nobody needs to be known"
    NEWCOMER = "a station's one-time code"
    STATION = "a station's key"
    API = "the token of an account's session"
    PAGE = "the cookie of an account's session"


@dataclass(frozen=True)
class Entry:
    """What is asked of whoever uses an endpoint: a way in, and one of some roles. event: "" for
    what the audit log does not name; changes: whether it changes something."""

    way: Way
    roles: frozenset[str] = frozenset()
    event: str = ""
    changes: bool = False


def _api(*roles: str, look: str = "", change: str = "") -> Entry:
    return Entry(Way.API, frozenset(roles), look or change, bool(change))


def _page(*roles: str, look: str = "", change: str = "") -> Entry:
    return Entry(Way.PAGE, frozenset(roles), look or change, bool(change))


_PUBLIC, _STATION = Entry(Way.PUBLIC), Entry(Way.STATION)
PUBLIC = (
    "GET /",  # sends to the pages
    "GET /healthz",
    "GET /metrics",  # has a token of its own
    "GET /docs",
    "GET /openapi.json",
    "GET /v1/authority",
    "POST /v1/sessions",  # logs in
    "GET /tracer/login",
    "POST /tracer/login",
    "GET /tracer/static/{name}",
)
TABLE: dict[str, Entry] = {
    **dict.fromkeys(PUBLIC, _PUBLIC),
    # Stations: zoneband.server.signed.
    "POST /v1/stations": Entry(Way.NEWCOMER),
    "PUT /v1/stations/{name}/records/{sha256}": _STATION,
    "PUT /v1/stations/{name}/batches/{sha256}": _STATION,
    "GET /v1/stations/{name}/groups": _STATION,
    "GET /v1/bands/{serial}/receipt": _STATION,
    "GET /v1/bands/{serial}/orders": _STATION,
    # Whoever is logged in.
    "DELETE /v1/sessions": _api(*ROLES),
    "POST /tracer/logout": _page(*ROLES),
    # Cases.
    "POST /v1/case-codes": _api(HEALTH, change="case_code"),
    "POST /v1/cases": _api(TRACER, change="declare"),
    "POST /v1/cases/{number}/confirm": _api(HEALTH, change="confirm"),
    "POST /v1/cases/{number}/close": _api(TRACER, HEALTH, change="close"),
    "POST /v1/cases/{number}/withdraw": _api(TRACER, HEALTH, change="withdraw"),
    "GET /v1/cases": _api(TRACER, HEALTH, look="cases"),
    "GET /v1/cases/{number}": _api(TRACER, HEALTH, look="case"),
    "GET /tracer/": _page(TRACER, HEALTH, look="cases"),
    "POST /tracer/cases": _page(TRACER, change="declare"),
    "POST /tracer/codes": _page(HEALTH, change="case_code"),
    "POST /tracer/cases/{number}/confirm": _page(HEALTH, change="confirm"),
    "POST /tracer/cases/{number}/end": _page(TRACER, change="end"),
    # Whom somebody met.
    "GET /v1/cases/{number}/contacts": _api(TRACER, look="contacts"),
    "GET /v1/traces/{serial}": _api(TRACER, look="trace"),
    "GET /v1/venues/{serial}/visits": _api(TRACER, look="visits"),
    "GET /v1/bands/{serial}/people": _api(TRACER, look="people"),
    "GET /v1/rules": _api(TRACER, HEALTH, ADMIN),
    "GET /tracer/cases/{number}": _page(TRACER, look="contacts"),
    "GET /tracer/cases/{number}/timeline": _page(TRACER, look="contacts"),
    "GET /tracer/cases/{number}/graph": _page(TRACER, look="contacts"),
    "GET /tracer/cases/{number}/contacts/{key}": _page(TRACER, look="contacts"),
    "GET /tracer/cases/{number}/calls.csv": _page(TRACER, look="download"),
    "GET /tracer/cases/{number}/calls.pdf": _page(TRACER, look="download"),
    "POST /tracer/cases/{number}/calls": _page(TRACER, change="call"),
    "GET /tracer/venues": _page(TRACER, look="visits"),
    "GET /tracer/venues/{serial}": _page(TRACER, look="visits"),
    # Bands, groups, orders, swaps.
    "GET /v1/bands": _api(ADMIN, TRACER),
    "GET /v1/bands/{serial}": _api(ADMIN, TRACER),
    "GET /v1/groups": _api(ADMIN),
    "POST /v1/groups": _api(ADMIN, change="group_add"),
    "POST /v1/groups/{name}/renew": _api(ADMIN, change="group_renew"),
    "POST /v1/bands/{serial}/orders": _api(ADMIN, change="order"),
    "GET /v1/bands/{serial}/orders/all": _api(ADMIN),
    "GET /v1/swaps": _api(ADMIN, TRACER, look="swaps"),
    "POST /v1/swaps": _api(ADMIN, change="swap"),
    "POST /v1/swaps/undo": _api(ADMIN, change="swap_undo"),
    # What is dropped or erased, and persons' requests.
    "POST /v1/retention": _api(ADMIN, change="retention"),
    "POST /v1/erasures": _api(ADMIN, change="erase"),
    "GET /v1/erasures": _api(ADMIN, look="erasures"),
    "POST /v1/erasures:replay": _api(ADMIN, change="erase_again"),
    "POST /v1/rights": _api(ADMIN, change="right_add"),
    "GET /v1/rights": _api(ADMIN, look="rights"),
    "POST /v1/rights/{right}/answer": _api(ADMIN, change="right_answer"),
    "POST /v1/rights/{right}/done": _api(ADMIN, change="right_done"),
    # The audit log.
    "GET /v1/audit": _api(AUDITOR, look="audit"),
}


def may(roles: Iterable[str], entry: Entry) -> bool:
    """Whether somebody with these roles may use an endpoint."""
    return not entry.roles.isdisjoint(roles)


def read(given: Iterable[str]) -> frozenset[str]:
    """Roles as they are kept. Raises UserError for none, and for a word that is none."""
    found = frozenset(word.strip().lower() for word in given)
    if not found or found - set(ROLES):
        raise UserError(
            _("A role is one of: {roles}.").format(roles=", ".join(ROLES)), ExitCode.USAGE
        )
    return found


def text(roles: Iterable[str]) -> str:
    """Roles as the ledger keeps them: words, in the order of ROLES."""
    kept = set(roles)
    return " ".join(role for role in ROLES if role in kept)


def name(role: str) -> str:
    """A role in words."""
    names = {
        HEALTH: _("health staff"),
        TRACER: _("tracer"),
        ADMIN: _("operator"),
        AUDITOR: _("auditor"),
    }
    return names.get(role, role)
