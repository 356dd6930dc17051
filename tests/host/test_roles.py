"""Who may do what: a role for each account, a code for each case, and a second person."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pyotp.totp import TOTP
from sqlalchemy import text
from starlette.routing import Mount

from bandbook import NOON, A, B
from office import PLACE, Office
from typed import Typed
from zoneband import i18n, tracer
from zoneband.errors import UserError
from zoneband.seal import Kind
from zoneband.server import audit_log, case_codes, database, gate, ledger, migrating
from zoneband.server.accounts import Accounts, new_secret
from zoneband.server.audit import OPERATOR
from zoneband.server.ledger import open_ledger
from zoneband.server.limits import Limits
from zoneband.server.roles import ADMIN, AUDITOR, HEALTH, PUBLIC, ROLES, TABLE, TRACER, Way
from zoneband.tracing import case_words
from zoneband.wire import records

PASSWORD = "bốn con mèo trên mái"
DAY = "from=2026-11-03&to=2026-11-04"


class Staff(Office):
    """An office with an account for each role, and one that has two."""

    def __init__(self, path: Path, **settings: Any) -> None:
        super().__init__(path, **settings)
        self.secrets = {name: new_secret() for name in (*ROLES, "both")}
        quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        accounts = Accounts(open_ledger(path / "server"), utc=lambda: self.now, hasher=quick)
        for name, secret in self.secrets.items():
            given = (HEALTH, TRACER) if name == "both" else (name,)
            accounts.add(name, PASSWORD, secret, given)
        self.accounts = accounts
        self.tokens = {name: self.log_in(name) for name in self.secrets}
        for number, (serial, name) in enumerate(((A, "Trần Thị Lan"), (B, "Hoa")), 1):
            since = NOON - 7200
            self.book(serial).mark(records.STATE, since, records.ISSUED, number)
            who = {"name": name, "phone": None, "birth_year": 1960}
            self.record(Kind.PERSON, serial=serial, number=number, utc_s=since, **who)
        self.book(A).met(B, NOON, 20, -66)
        self.dock()

    @property
    def app(self) -> FastAPI:
        found: Any = self.http.app
        return found

    def log_in(self, name: str) -> str:
        self.now += 60
        body = {"name": name, "password": PASSWORD, "code": TOTP(self.secrets[name]).at(self.now)}
        answer = self.http.post("/v1/sessions", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["token"]

    def as_(self, name: str, method: str, path: str, **values: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[name]}"}
        return self.http.request(method, path, headers=headers, **values)

    def pages(self, name: str) -> TestClient:
        cookies = {"__Host-zoneband-session": self.tokens[name]}
        return TestClient(
            self.app,
            base_url="https://zoneband.example",
            client=("127.0.0.1", 1),
            follow_redirects=False,
            cookies=cookies,
        )


@pytest.fixture
def staff(tmp_path: Path) -> Staff:
    return Staff(tmp_path)


def said(answer: Any) -> str:
    """The one line of a refusal."""
    line = case_words.refusal(answer.json()["code"], answer.json()["values"])
    assert line and "\n" not in line
    return line


def declare(staff: Staff, who: str, code: str | None, serial: str = A) -> Any:
    body = {"serial": serial, "onset": "2026-11-03", "code": code}
    return staff.as_(who, "POST", "/v1/cases", json=body)


def give(staff: Staff, who: str = HEALTH) -> str:
    return staff.as_(who, "POST", "/v1/case-codes").json()["code"]


# --- the table -----------------------------------------------------------------------------------


def routes(app: FastAPI, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for route in app.routes:
        if isinstance(route, Mount):
            inner: Any = route.app
            yield from routes(inner, prefix + route.path)
        else:
            made: Any = route
            for method in made.methods - {"HEAD"}:
                yield f"{method} {prefix}{made.path}", made


def test_the_table_names_every_endpoint_and_nothing_else(staff: Staff) -> None:
    found = dict(routes(staff.app))
    assert set(found) == set(TABLE)
    for endpoint, route in found.items():
        if not isinstance(route, gate.GuardedRoute):
            assert endpoint in PUBLIC, endpoint  # of Starlette: it answers by itself
    for entry in TABLE.values():
        accounts = entry.way in (Way.API, Way.PAGE)
        assert accounts == bool(entry.roles)


def test_an_endpoint_that_is_not_in_the_table_is_refused(staff: Staff) -> None:
    @staff.app.get("/v1/new")
    def new() -> str:  # pyright: ignore[reportUnusedFunction]
        return "secret"

    for headers in (None, staff.tracer):
        answer = staff.http.get("/v1/new", headers=headers)
        assert answer.status_code == 403 and "secret" not in answer.text
    staff.app.add_route("/v1/raw", lambda _request: None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(RuntimeError, match="/v1/raw"):
        gate.check(staff.app)


MAY = [
    ("POST", "/v1/case-codes", {HEALTH}),
    ("POST", "/v1/cases", {TRACER}),
    ("GET", "/v1/cases", {TRACER, HEALTH}),
    ("GET", "/v1/cases/1", {TRACER, HEALTH}),
    ("POST", "/v1/cases/1/confirm", {HEALTH}),
    ("GET", "/v1/cases/1/contacts", {TRACER}),
    ("GET", f"/v1/traces/{A}?{DAY}", {TRACER}),
    ("GET", f"/v1/venues/{PLACE}/visits?{DAY}", {TRACER}),
    ("GET", f"/v1/bands/{A}/people", {TRACER}),
    ("GET", "/v1/groups", {ADMIN}),
    ("POST", "/v1/groups", {ADMIN}),
    ("POST", f"/v1/bands/{A}/orders", {ADMIN}),
    ("POST", "/v1/swaps", {ADMIN}),
    ("GET", "/v1/audit", {AUDITOR}),
]


def test_each_role_may_do_its_own_and_no_more(staff: Staff) -> None:
    declare(staff, TRACER, give(staff))
    for method, path, may in MAY:
        for role in ROLES:
            answer = staff.as_(role, method, path, json={} if method == "POST" else None)
            assert (answer.status_code not in (401, 403)) == (role in may), (path, role)
            if role not in may:
                assert answer.json()["reason"] == "role"
                assert "Lan" not in answer.text and "Hoa" not in answer.text


PAGES = [
    ("/tracer/", {TRACER, HEALTH}),
    ("/tracer/cases/1", {TRACER}),
    ("/tracer/cases/1/timeline", {TRACER}),
    ("/tracer/cases/1/calls.csv", {TRACER}),
    ("/tracer/venues", {TRACER}),
]


def test_pages_are_for_their_roles_and_say_so(staff: Staff) -> None:
    declare(staff, TRACER, give(staff))
    for path, may in PAGES:
        for role in ROLES:
            answer = staff.pages(role).get(path, headers={"Accept-Language": "en"})
            assert answer.status_code == (200 if role in may else 403), (path, role)
            if role not in may:
                assert "only for" in answer.text and "Hoa" not in answer.text
                assert "/tracer/logout" in answer.text


def test_a_role_that_is_taken_away_ends_at_the_next_request(staff: Staff) -> None:
    assert staff.as_("both", "GET", "/v1/rules").status_code == 200
    declare(staff, TRACER, give(staff))
    assert staff.as_("both", "GET", "/v1/cases/1/contacts").status_code == 200
    staff.accounts.set_roles("both", [HEALTH])
    assert staff.as_("both", "GET", "/v1/cases/1/contacts").status_code == 403
    assert staff.as_("both", "GET", "/v1/cases/1").status_code == 200
    with pytest.raises(UserError):
        staff.accounts.set_roles("both", ["king"])
    with pytest.raises(UserError):
        staff.accounts.set_roles("both", [])


def test_an_account_that_asks_too_much_waits_and_another_does_not(tmp_path: Path) -> None:
    staff = Staff(tmp_path, limits=Limits(account_per_s=0.01, account_burst=4))
    contacts = f"/v1/cases/{staff.declare(A, onset='2026-11-03')['number']}/contacts"
    asked = [staff.as_(TRACER, "GET", contacts) for _ in range(130)]
    assert [a.status_code for a in asked] == [200] * 4 + [429] * 126
    assert asked[-1].json()["reason"] == "rate" and int(asked[-1].headers["Retry-After"]) > 50
    i18n.set_language("en")
    assert "Too many questions" in str(tracer._wrong(asked[-1], None))
    for language, said in (("vi", "Hỏi quá nhiều"), ("en", "Too many questions")):
        page = staff.pages(TRACER).get("/tracer/", params={"lang": language})
        assert page.status_code == 429 and said in page.text and "Retry-After" in page.headers
    assert staff.as_(HEALTH, "GET", "/v1/cases").status_code == 200
    assert staff.ask("GET", contacts).status_code == 200  # the server's own computer
    assert staff.as_(TRACER, "DELETE", "/v1/sessions").status_code == 204
    # Nor does it fill the audit log: beyond a hundred lines its refusals are only counted.
    read = audit_log.lines_of(tmp_path / "server" / audit_log.NAME)
    lines = [line for line in map(audit_log.parse, read) if line]
    refused = [line for line in lines if line["event"] == "refused" and line["why"] == "rate"]
    assert len(refused) == 100 and {line["account"] for line in refused} == {TRACER}


def test_who_logged_out_is_let_in_no_more(staff: Staff) -> None:
    assert staff.as_(TRACER, "DELETE", "/v1/sessions").status_code == 204
    answer = staff.as_(TRACER, "GET", "/v1/cases")
    assert (answer.status_code, answer.json()["reason"]) == (401, "session")


# --- codes ---------------------------------------------------------------------------------------


def test_a_code_declares_one_case_once(staff: Staff) -> None:
    code = give(staff)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", code)
    assert "with a code" in said(declare(staff, TRACER, None))
    assert "with a code" in said(declare(staff, TRACER, " "))
    assert "no such code" in said(declare(staff, TRACER, "00000-00000"))
    assert staff.as_(TRACER, "GET", "/v1/cases").json() == []
    typed = code.lower().replace("-", " ")
    case = declare(staff, TRACER, typed).json()
    assert case["new"] and case["declared_by"] == TRACER
    assert "already" in said(declare(staff, TRACER, code, B))
    # To add what was not known needs none.
    body = {"serial": A, "onset": "2026-11-03", "isolated": "2026-11-04"}
    again = staff.as_(TRACER, "POST", "/v1/cases", json=body).json()
    assert not again["new"] and again["isolated"] == "2026-11-04"
    held = (staff.path / "server" / "ledger.sqlite").read_bytes()
    assert code.encode() not in held and code.replace("-", "").encode() not in held


def test_a_code_ends_after_a_day(staff: Staff) -> None:
    code = give(staff)
    staff.now += case_codes.VALID_S
    staff.tokens[TRACER] = staff.log_in(TRACER)
    assert "expired" in said(declare(staff, TRACER, code))


def test_a_declaration_that_is_refused_uses_no_code_up(staff: Staff) -> None:
    code = give(staff)
    body = {"serial": A, "onset": "2026-12-24", "code": code}
    assert staff.as_(TRACER, "POST", "/v1/cases", json=body).status_code == 400
    assert declare(staff, TRACER, code, "ZB-0000-0000").status_code == 404
    assert declare(staff, TRACER, code).status_code == 201


def test_who_guesses_codes_is_slowed_down(staff: Staff) -> None:
    answers = [declare(staff, TRACER, f"00000-{n:05d}") for n in range(70)]
    assert "Too many" in said(answers[-1]) and answers[-1].status_code == 409
    assert declare(staff, "both", give(staff)).status_code == 201


def test_the_page_of_health_staff_gives_a_code_and_the_tracers_takes_it(staff: Staff) -> None:
    def form(visit: TestClient) -> str:
        found = re.search(r'name="form" value="([^"]+)"', visit.get("/tracer/").text)
        assert found is not None
        return found[1]

    health, tracer = staff.pages(HEALTH), staff.pages(TRACER)
    home = health.get("/tracer/").text
    assert "/tracer/codes" in home and 'action="/tracer/cases"' not in home
    assert "/tracer/codes" not in tracer.get("/tracer/").text
    assert health.post("/tracer/codes", data={"form": "x"}).status_code == 403
    answer = health.post("/tracer/codes", data={"form": form(health)})
    shown = re.search(r"<strong>([0-9A-Z-]{11})</strong>", answer.text)
    assert shown is not None and answer.headers["cache-control"] == "no-store"
    values = {"serial": A, "by": "onset", "day": "2026-11-03", "form": form(tracer)}
    wrong = tracer.post("/tracer/cases", data=values | {"code": "12345-12345"})
    assert wrong.status_code == 422 and 'id="code"' in wrong.text
    done = tracer.post("/tracer/cases", data=values | {"code": shown[1]})
    assert (done.status_code, done.headers["location"]) == (303, "/tracer/cases/1?said=declared")


def test_a_band_is_traced_only_for_a_case(staff: Staff) -> None:
    paths = {serial: f"/v1/traces/{serial}?{DAY}" for serial in (A, B)}
    assert "is a case" in said(staff.as_(TRACER, "GET", paths[A]))
    declare(staff, TRACER, give(staff))
    assert staff.as_(TRACER, "GET", paths[A]).status_code == 200
    answer = staff.as_(TRACER, "GET", paths[B])
    assert "is a case" in said(answer) and "Lan" not in answer.text
    staff.as_(TRACER, "POST", "/v1/cases/1/withdraw", json={"reason": "wrong band"})
    assert staff.as_(TRACER, "GET", paths[A]).status_code == 409
    # Whoever is at the server's own computer has all its data anyway; the audit log tells.
    assert staff.ask("GET", paths[A]).status_code == 200


# --- two persons -------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Staff:
    return Staff(tmp_path, two_persons=True)


ASKED = (
    "/v1/cases/1/contacts",
    f"/v1/traces/{A}?{DAY}",
    f"/v1/venues/{PLACE}/visits?{DAY}&case=1",
)


def test_with_two_persons_a_case_is_traced_when_another_has_confirmed_it(pair: Staff) -> None:
    case = declare(pair, "both", give(pair)).json()
    assert "unconfirmed" in [note["code"] for note in case["notes"]]
    for path in ASKED:
        answer = pair.as_(TRACER, "GET", path)
        assert answer.status_code == 409 and "confirmed" in said(answer) + "confirmed", path
        assert "Hoa" not in answer.text
    assert (
        "second person"
        in pair.pages(TRACER).get("/tracer/cases/1", headers={"Accept-Language": "en"}).text
    )
    own = pair.as_("both", "POST", "/v1/cases/1/confirm")
    assert own.status_code == 409 and "somebody else" in said(own)
    assert pair.as_(TRACER, "GET", ASKED[0]).status_code == 409
    done = pair.as_(HEALTH, "POST", "/v1/cases/1/confirm").json()
    assert (done["declared_by"], done["confirmed_by"]) == ("both", HEALTH)
    for path in ASKED:
        assert pair.as_(TRACER, "GET", path).status_code == 200, path
    assert "Hoa" in pair.pages(TRACER).get("/tracer/cases/1").text
    # Of a band that is nobody's confirmed case nothing is told.
    assert pair.as_(TRACER, "GET", f"/v1/traces/{B}?{DAY}").status_code == 409


def test_health_staff_confirm_on_their_page(pair: Staff) -> None:
    declare(pair, "both", give(pair))
    path = "/tracer/cases/1/confirm"
    assert path not in pair.pages("both").get("/tracer/").text
    visit = pair.pages(HEALTH)
    home = visit.get("/tracer/").text
    found = re.search(r'name="form" value="([^"]+)"', home)
    assert path in home and found is not None
    assert visit.post(path, data={"form": found[1]}).headers["location"].endswith("said=confirmed")
    assert pair.as_(TRACER, "GET", ASKED[0]).status_code == 200


# --- accounts of before --------------------------------------------------------------------------


def test_accounts_of_before_keep_what_they_could(place: Path) -> None:
    def at(revision: str) -> None:
        with database.connect(database.url_of(place)).begin() as db:
            database.lock(db)
            migrating.migrate(db, place, revision)

    at("0008")
    row = "INSERT INTO tracers VALUES ('lan', 'x', 'y', 0, 5)"
    with database.connect(database.url_of(place)).begin() as db:
        db.execute(text(row))
    accounts = Accounts(ledger.open_ledger(place))
    assert accounts.every()[0]["roles"] == [HEALTH, TRACER]
    # An older program knows no roles: whoever may not trace is not let in by it.
    accounts.set_roles("lan", [TRACER, ADMIN])
    accounts.add("tu", PASSWORD, new_secret(), [AUDITOR])
    at("0008")
    with database.connect(database.url_of(place)).connect() as db:
        assert db.execute(text("SELECT name FROM tracers")).scalars().all() == ["lan"]


# --- the verbs -----------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(staff: Staff, typed: Typed) -> Run:
    """Runs the program on the server's computer, or elsewhere with data=."""
    return lambda *words, data=staff.path: typed(*words, "--data", str(data))


def test_accounts_get_roles_by_the_verbs_and_the_audit_log_tells(
    staff: Staff, run: Run, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    words = ("tracer", "add", "mai", "--role", "health", "--password-file", str(secret))
    assert run(*words)[0] == 0
    found = {row["name"]: row["roles"] for row in json.loads(run("tracer", "list", "--json")[1])}
    assert found["mai"] == [HEALTH]
    assert run("tracer", "role", "mai", "health", "auditor")[0] == 0
    assert "health staff, auditor" in run("tracer", "list")[1]
    code, _, err = run("tracer", "role", "mai", "king")
    assert code == 2 and err.count("\n") == 1
    assert run("tracer", "role", "nobody", "health")[0] == 3
    assert run("tracer", "remove", "mai")[0] == 0
    told = json.loads(run("audit", "list", "--json")[1])[-8:]
    assert [(v["event"], v["account"]) for v in told] == [
        (event, OPERATOR)
        for change in ("add", "role", "role", "remove")
        for event in (f"account_{change}", "refused" if change == "none" else "done")
    ][:4] + [("account_role", OPERATOR), ("refused", OPERATOR)] + [
        ("account_remove", OPERATOR),
        ("done", OPERATOR),
    ]
    assert run("audit", "verify")[0] == 0


def test_from_another_computer_one_logs_in_with_a_role(
    staff: Staff, run: Run, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)

    def log_in(name: str) -> tuple[int, str, str]:
        staff.now += 60
        code = TOTP(staff.secrets[name]).at(staff.now)
        words = ("tracer", "login", name, "--password-file", str(secret), "--code", code)
        return run(*words, "--server", url, data=away)

    with staff.serving() as url:
        code, _, err = run("case", "list", "--server", url, data=away)
        assert code == 2 and "tracer login" in err
        assert log_in(HEALTH)[:2] == (0, "health is logged in: health staff\n")
        assert (away / "tracer-session").stat().st_mode & 0o777 == 0o600
        code, out, _ = run("case", "code", "--server", url, data=away)
        given = out.strip()
        code, _, err = run("trace", "--case", "1", "--server", url, data=away)
        assert (code, err) == (5, "This is only for: tracer. Your account has another role.\n")
        assert run("tracer", "logout", "--server", url, data=away)[0] == 0
        assert run("tracer", "logout", "--server", url, data=away)[0] == 3
        assert log_in(TRACER)[0] == 0
        facts = ("--onset", "2026-11-03", "--code", given)
        # Where somebody has logged in is remembered.
        assert run("case", "declare", A, *facts, data=away)[0] == 0
        assert "Hoa" in run("trace", "--case", "1", data=away)[1]
        assert log_in(ADMIN)[0] == 0
        assert run("rights", "list", data=away)[0] == 3
        # No other server gets this one's token.
        code, _, err = run("case", "list", "--server", "https://other.example", data=away)
        assert code == 2 and "tracer login" in err
        code, out, _ = run("retention", "run", data=away)
        assert code == 0 and "Dropped: 0" in out
        assert log_in(AUDITOR)[0] == 0
        code, out, _ = run("audit", "verify", "--server", url, "--json", data=away)
        assert code == 0 and json.loads(out)["good"]
        code, out, _ = run("audit", "list", "--server", url, "--json", data=away)
        told = json.loads(out)
        assert [v["event"] for v in told if v["account"] == TRACER][-4:] == [
            "login",
            "declare",
            "done",
            "contacts",
        ]
        staff.now += 9 * 3600
        code, _, err = run("case", "list", "--server", url, data=away)
        assert code == 5 and "has ended" in err
        code, _, err = run(
            "tracer", "login", TRACER, "--password-file", str(secret), "--code", "1",
            "--server", url, data=away,
        )  # fmt: skip
        assert code == 5 and err.count("\n") == 1
