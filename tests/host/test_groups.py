"""Groups: whoever serves a group docks its bands, and no one else; a key can be replaced."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from bandbook import DAY, NOON, A, B, BandBook, key
from served import Server
from stationed import settings
from support import ROOT
from zoneband import authority, seal, upload
from zoneband import groups as group_keys
from zoneband import station as stations
from zoneband.errors import UserError
from zoneband.flash import keys as band_keys
from zoneband.flash.plan import Plan, Request
from zoneband.groups import GroupKey, GroupKeys
from zoneband.seal import Kind
from zoneband.server import groups, ledger, migrating
from zoneband.server.enrolment import Enrolment
from zoneband.server.process import running
from zoneband.server.tracing_server import TracingServer
from zoneband.signing import Signature
from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.upload import Uploader
from zoneband.wire import handshake, orders, records

PASSPHRASE = "correct horse battery"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server with bands A and B of group 1."""
    return Server(tmp_path / "server")


def keys_of(server: Server, name: str, signs: Signature) -> list[dict[str, Any]]:
    answer = server.http.get(f"/v1/stations/{name}/groups", auth=signs)
    assert answer.status_code == 200, answer.text
    return answer.json()["groups"]


def add(server: Server, name: str) -> int:
    answer = server.http.post("/v1/groups", json={"name": name}, headers=server.tracer)
    assert answer.status_code == 201, answer.text
    return answer.json()["number"]


# --- at the server -----------------------------------------------------------------------------


def test_a_server_has_one_group_from_its_first_start(server: Server) -> None:
    [entry] = keys_of(server, "st", server.station)
    assert (entry["number"], entry["name"], entry["generation"]) == (1, "default", 1)
    again = Server(server.path)
    assert keys_of(again, "st", again.station) == [entry]


def test_a_station_gets_the_keys_of_its_groups_and_no_others(server: Server) -> None:
    assert (add(server, "Chợ Bến Thành"), add(server, "Cảng Cát Lái")) == (2, 3)
    market = server.register("market", groups=["Chợ Bến Thành", "default"])
    assert [k["number"] for k in keys_of(server, "market", market)] == [2, 1]
    assert [k["number"] for k in keys_of(server, "st", server.station)] == [1]
    found = {k["key"] for k in keys_of(server, "market", market)}
    assert len(found) == 2 and all(len(bytes.fromhex(each)) == 32 for each in found)


def test_a_station_that_registers_again_keeps_its_groups_unless_it_names_others(
    server: Server,
) -> None:
    add(server, "market")
    server.register("s", groups=["market"])
    assert [k["name"] for k in keys_of(server, "s", server.register("s"))] == ["market"]
    signs = server.register("s", groups=["default"])
    assert [k["name"] for k in keys_of(server, "s", signs)] == ["default"]


def test_a_group_that_is_not_there_is_told_and_changes_nothing(server: Server) -> None:
    with pytest.raises(groups.UnknownGroup, match="no"):
        server.register("st", groups=["default", "no"])
    assert [k["name"] for k in keys_of(server, "st", server.station)] == ["default"]
    path = "/v1/groups/no/renew"
    assert server.http.post(path, headers=server.tracer).status_code == 404


def test_a_group_is_made_once(server: Server) -> None:
    add(server, "market")
    [before] = groups.keys_in(server.path, "market")
    answer = server.http.post("/v1/groups", json={"name": "market"}, headers=server.tracer)
    assert (answer.status_code, answer.json()["number"]) == (200, 2)
    assert groups.keys_in(server.path, "market") == [before]


def test_keys_are_shown_to_their_station_alone(server: Server) -> None:
    other = server.register("other")
    path = "/v1/stations/st/groups"
    assert server.http.get(path).status_code == 401
    assert server.http.get(path, auth=other).status_code == 403
    assert server.http.get(path, headers=server.tracer).status_code == 401
    listed = server.http.get("/v1/groups", headers=server.tracer)
    [entry] = keys_of(server, "st", server.station)
    assert entry["key"] not in listed.text
    for path in ("/v1/groups", "/v1/groups/default/renew"):
        answer = server.http.post(path, json={"name": "x"}, auth=server.station)
        assert answer.status_code == 401
    assert server.http.get("/v1/groups", auth=server.station).status_code == 401


def renew(server: Server, name: str) -> dict[str, Any]:
    answer = server.http.post(f"/v1/groups/{name}/renew", headers=server.tracer)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_renewed_key_goes_to_every_band_of_the_group_and_to_no_other(
    server: Server, tmp_path: Path
) -> None:
    add(server, "market")
    assert renew(server, "market") == {"name": "market", "generation": 2, "bands": 0}
    assert renew(server, "default") == {"name": "default", "generation": 2, "bands": 2}
    old, new = keys_of(server, "st", server.station)
    assert (old["generation"], new["generation"]) == (1, 2) and old["key"] != new["key"]
    for serial in (A, B):
        [order] = server.pending(serial)
        number, kind, body = orders.unpack(key(serial + "r"), serial, order)
        assert (number, kind) == (1, orders.DOCK_KEY)
        made = handshake.dock_key(bytes.fromhex(new["key"]), serial)
        assert orders.read_dock_key(body) == (1, 2, made)


def listed(server: Server) -> dict[str, tuple[int, int, int]]:
    found = server.http.get("/v1/groups", headers=server.tracer).json()
    return {g["name"]: (g["generation"], g["bands"], g["bands_newest"]) for g in found}


def test_a_bands_generation_follows_its_own_mark(server: Server, tmp_path: Path) -> None:
    renew(server, "default")
    assert listed(server) == {"default": (2, 2, 0)}
    book = BandBook(A, tmp_path)
    book.mark(records.ORDER, NOON, orders.DOCK_KEY, 1)
    server.put(book.batch())
    assert listed(server) == {"default": (2, 2, 1)}
    assert server.pending(A) == []
    # Its enrolment, sent once more by another station, still says the same.
    keys = key(A), handshake.dock_key(bytes(32), A), key(A + "r")
    again = TracingServer(server.path)
    assert again.enrol(Enrolment(A, "virtual", "band", DAY, *keys)) is False
    assert listed(server) == {"default": (2, 2, 1)}


def test_a_band_made_with_an_earlier_key_is_ordered_to_the_newest(server: Server) -> None:
    renew(server, "default")
    serial = "ZB-CCCC-0008"
    behind = Enrolment(serial, "virtual", "band", DAY, key(serial), bytes(32), key(serial + "r"))
    TracingServer(server.path).enrol(behind)
    assert server.opened(serial) == [(1, orders.DOCK_KEY)]


def test_the_last_generation_is_the_last(server: Server) -> None:
    with ledger.open_ledger(server.path).begin() as db:
        db.execute(text("UPDATE group_keys SET generation=255"))
    answer = server.http.post("/v1/groups/default/renew", headers=server.tracer)
    assert answer.status_code == 409
    assert server.pending(A) == []


def test_stations_of_an_earlier_program_serve_the_first_group(tmp_path: Path) -> None:
    from sqlalchemy import create_engine

    path = tmp_path / "server"
    path.mkdir()
    with create_engine(f"sqlite:///{path / 'ledger.sqlite'}").begin() as db:
        migrating.migrate(db, path, "0002")
        db.execute(text("INSERT INTO stations VALUES ('old', 'x')"))
        values = f"1, '{A}', 'virtual', 'band', {DAY}, x'01', x'02', x'03'"
        db.execute(text(f"INSERT INTO bands VALUES ({values})"))
    server = TracingServer(path)
    assert [k["number"] for k in server.groups.of_station("old")] == [1]
    assert server.groups.every()[0]["bands_newest"] == 1


# --- enrolment and flashing --------------------------------------------------------------------


def test_a_bands_dock_key_is_of_its_group_and_its_serial() -> None:
    group_key = bytes(range(32))
    made, other = (band_keys.make(7, 3, group_key) for _n in range(2))
    assert (made.group, made.generation) == (7, 3)
    assert made.dock_key == handshake.dock_key(group_key, made.serial) != other.dock_key


def test_the_server_knows_a_bands_group_from_its_enrolment(tmp_path: Path) -> None:
    public = authority.make(tmp_path, PASSPHRASE)
    server = TracingServer(tmp_path / "server")
    server.unlock(authority.unlock(tmp_path, PASSPHRASE))
    server.groups.add("market")
    sealed = band_keys.enrolment(public, band_keys.make(2, 1, bytes(32)), "virtual")
    assert server.take_sealed("st", "a", sealed) == (True, "opened")
    assert [(g["name"], g["bands"]) for g in server.groups.every()] == [
        ("default", 0), ("market", 1),
    ]  # fmt: skip
    made = band_keys.make(2, 1, bytes(32))
    for n, (name, value) in enumerate((("group", 0), ("group", 65536), ("generation", 256))):
        facts = {
            "serial": made.serial, "board": "virtual", "role": "band", "base_day": DAY,
            "base_key": key("x").hex(), "dock_key": "00" * 32, "receipt_key": "00" * 32,
        } | {name: value}  # fmt: skip
        sealed = seal.seal(public, Kind.ENROLMENT, facts)
        assert server.take_sealed("st", f"b{n}", sealed) == (True, "unreadable")


def test_a_plan_takes_the_first_groups_newest_key_and_the_signing_key(tmp_path: Path) -> None:
    public = authority.make(tmp_path, PASSPHRASE)
    request = Request(tmp_path, steps=("keys",))
    with pytest.raises(UserError, match="station init"):
        Plan(request)
    known = [GroupKey(9, "b", 1, b"b" * 32), GroupKey(9, "b", 2, b"c" * 32)]
    GroupKeys(tmp_path).save([*known, GroupKey(2, "a", 5, b"a" * 32)])
    plan = Plan(request)
    assert plan.group == (9, 2, b"c" * 32)
    assert plan.signer == f"{public.number:02x}" + public.signing.hex()


# --- at the station ----------------------------------------------------------------------------


def entry(number: int, generation: int, letter: bytes, name: str = "g") -> GroupKey:
    return GroupKey(number, name, generation, letter * 32)


def test_a_station_finds_the_dock_key_of_any_generation_it_has(tmp_path: Path) -> None:
    known = GroupKeys(tmp_path)
    assert known.load() == [] and known.dock_key(1, 1, A) is None
    GroupKeys(tmp_path).save([entry(1, 1, b"a"), entry(1, 2, b"b")])
    assert known.dock_key(1, 1, A) == handshake.dock_key(b"a" * 32, A)
    assert known.dock_key(1, 2, A) == handshake.dock_key(b"b" * 32, A)
    assert known.dock_key(1, 3, A) is None and known.dock_key(2, 1, A) is None
    assert (known.newest(1), known.newest(2)) == (2, 0)
    path = tmp_path / "station" / "groups.json"
    assert path.stat().st_mode & 0o077 == 0
    assert "a" * 32 not in repr(known.load())


@pytest.mark.parametrize(
    "change",
    [{"number": 0}, {"number": 65536}, {"number": "1"}, {"generation": 0}, {"generation": 256},
     {"key": "00"}, {"key": "x" * 64}, {"key": None}],
)  # fmt: skip
def test_what_are_no_group_keys_is_refused(change: dict[str, object]) -> None:
    facts = group_keys.as_json([entry(1, 1, b"a")])
    assert group_keys.read(facts) == [entry(1, 1, b"a")]
    facts["groups"][0] |= change
    with pytest.raises(ValueError):
        group_keys.read(facts)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"groups": 3}', '{"groups": [7]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    known = GroupKeys(tmp_path)
    known.save([entry(1, 1, b"a")])
    (tmp_path / "station" / "groups.json").write_text(text)
    with pytest.raises(UserError, match=r"groups\.json"):
        known.key(1, 1)


def test_keys_of_another_server_are_told_of(tmp_path: Path) -> None:
    known = GroupKeys(tmp_path)
    before = [GroupKey(1, "chợ", 1, bytes(32)), GroupKey(2, "cảng", 1, bytes(32))]
    known.save(before)
    assert known.differing(before) == []
    known.save([GroupKey(1, "default", 1, bytes([1]) * 32), GroupKey(1, "default", 2, bytes(32))])
    assert known.differing(before) == ["chợ"]


def test_a_files_keys_stay_until_the_server_gives_that_group(tmp_path: Path) -> None:
    known = GroupKeys(tmp_path)
    known.add([entry(2, 1, b"m", "market")])
    assert known.current() == (2, 1, b"m" * 32)

    def answering(*keys: GroupKey) -> httpx2.Client:
        body = json.dumps(group_keys.as_json(keys))
        transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, text=body))
        return httpx2.Client(transport=transport, base_url="http://x")

    station = settings("http://x")
    assert known.fetch(answering(entry(1, 1, b"d")), station)
    assert known.current()[0] == 1 and known.key(2, 1) == b"m" * 32
    with pytest.raises(UserError, match="of another server"):
        known.add([entry(1, 1, b"x")])
    assert known.fetch(answering(entry(2, 1, b"m"), entry(2, 2, b"n")), station)
    assert known.load() == [entry(2, 1, b"m"), entry(2, 2, b"n")]


# --- a server in a process of its own ----------------------------------------------------------


def zoneband(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoneband", "--lang", "en", *words, "--data", str(data)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "host"), "COLUMNS": "140"},
    )


class Site:
    """A server's computer and a station's, each with its own data."""

    def __init__(self, path: Path, url: str) -> None:
        self.server, self.data, self.url = path / "authority", path / "site", url
        self.spool = Spool(stations.directory(self.data))

    def verb(self, *words: str) -> str:
        done = zoneband(self.server, *words, "--server", self.url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def settings(self) -> Station:
        return stations.need(self.data)

    def uploader(self) -> Uploader:
        return Uploader(self.data, self.spool, self.settings(), lambda _s: None)

    def age(self, seconds: float) -> None:
        then = time.time() - seconds
        os.utime(self.data / "station" / "groups.json", (then, then))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A server with two bands of a group that is still to be made."""
    path = tmp_path / "groups"
    path.mkdir()
    server = TracingServer(path / "authority" / "server")
    for serial in (A, B):
        keys = key(serial), bytes(32), key(serial + "r")
        server.enrol(Enrolment(serial, "virtual", "band", DAY, *keys, 2, 1))
    with running(path / "authority") as url:
        yield Site(path, url)


def _the_verbs_make_list_and_export_groups(site: Site, tmp_path: Path) -> None:
    done = zoneband(site.server, "order", "list", B, "--server", site.url)
    assert done.returncode == 3 and done.stdout + done.stderr == f"Nothing was ordered of {B}.\n"
    assert "number 2" in site.verb("group", "add", "Chợ Lớn")
    shown = json.loads(site.verb("group", "list", "--json"))
    assert [(g["number"], g["name"], g["bands"]) for g in shown] == [
        (1, "default", 0), (2, "Chợ Lớn", 2),
    ]  # fmt: skip
    assert "Chợ Lớn" in site.verb("group", "list")
    file = tmp_path / "keys.json"
    done = zoneband(site.server, "group", "export", "Chợ Lớn", str(file))
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o077 == 0
    assert zoneband(tmp_path, "station", "groups", str(file)).returncode == 0
    [found] = GroupKeys(tmp_path).load()
    assert (found.number, found.name) == (2, "Chợ Lớn")
    assert zoneband(site.server, "group", "export", "no", str(file)).returncode == 3
    assert "server's computer" in zoneband(tmp_path, "group", "export", "a", str(file)).stderr
    assert zoneband(tmp_path, "station", "groups", str(tmp_path / "none")).returncode == 2


def _a_station_joins_its_groups_as_it_registers(site: Site) -> None:
    done = zoneband(site.server, "station", "invite", "st", "--group", "nowhere")
    assert done.returncode == 2 and "nowhere" in done.stderr
    words = ("station", "invite", "st", "--group", "Chợ Lớn", "--group", "default")
    code = zoneband(site.server, *words).stdout.split("\n")[0]
    done = zoneband(site.data, "station", "init", "--server", site.url, "--code", code)
    assert done.returncode == 0 and "Chợ Lớn, default" in done.stdout, done.stderr
    assert GroupKeys(site.data).current()[:2] == (2, 1)


def _orders_come_only_with_the_keys_that_they_may_need(site: Site, tmp_path: Path) -> None:
    book = BandBook(A, tmp_path)
    book.clock(NOON)
    site.spool.add(book.batch())
    assert "2 bands" in site.verb("group", "renew", "Chợ Lớn")
    known = GroupKeys(site.data)
    assert known.key(2, 2) is None and not known.stale()
    assert site.uploader().run(1).sent == 1
    [order] = site.spool.orders(A)
    _number, kind, body = orders.unpack(key(A + "r"), A, order)
    number, generation, dock_key = orders.read_dock_key(body)
    assert (kind, number, generation) == (orders.DOCK_KEY, 2, 2)
    assert dock_key == known.dock_key(2, 2, A)
    # Nothing was to be sent for the other band: its dock asks.
    assert site.spool.orders(B) == []
    site.uploader().fetch_orders(B, 0)
    assert len(site.spool.orders(B)) == 1
    site.uploader().fetch_orders(B, 1)
    assert len(site.spool.orders(B)) == 1


def _keys_are_asked_for_once_an_hour_or_when_needed(site: Site) -> None:
    known, run = GroupKeys(site.data), site.uploader().run
    for generation, (age_s, needed, comes) in enumerate(
        ((60, False, False), (60, True, True), (3700, False, True), (-60, False, True)), 3
    ):
        site.verb("group", "renew", "Chợ Lớn")
        site.age(age_s)
        run(1, needed=needed)
        assert (known.key(2, generation) is not None) == comes, generation


def _the_verbs_order_and_list(site: Site) -> None:
    assert "next dock" in site.verb("order", "unlock", B)
    shown = json.loads(site.verb("order", "list", B, "--json"))
    assert shown[-1]["kind"] == "unlock" and not shown[-1]["done"]
    assert "new dock key" in site.verb("order", "list", B)
    done = zoneband(site.server, "order", "retire", "ZB-CCCC-0008", "--server", site.url)
    assert done.returncode == 3
    code = site.verb("case", "code").split()[0]
    site.verb("case", "add", B, "--onset", "2026-11-01", "--code", code)
    assert json.loads(site.verb("order", "list", B, "--json"))[-1]["kind"] == "rekey"


def _without_a_server_all_stays_as_it_is(site: Site) -> None:
    known = GroupKeys(site.data)
    before, orders_before = known.load(), site.spool.orders(A)
    site.age(7200)
    away = settings("http://127.0.0.1:9")
    uploader = Uploader(site.data, site.spool, away, lambda _s: None)
    uploader.fetch_orders(A, 0)
    assert uploader.run(1, needed=True).problem == ""
    assert known.load() == before and site.spool.orders(A) == orders_before
    stranger = settings(site.url)
    Uploader(site.data, site.spool, stranger).fetch_orders(A, 0)
    assert site.spool.orders(A) == orders_before
    assert upload.ORDERS_S <= 3


def test_a_site_from_its_first_group_to_a_server_that_is_gone(site: Site, tmp_path: Path) -> None:
    # Each part begins where the one before ended.
    _the_verbs_make_list_and_export_groups(site, tmp_path)
    _a_station_joins_its_groups_as_it_registers(site)
    _orders_come_only_with_the_keys_that_they_may_need(site, tmp_path)
    _keys_are_asked_for_once_an_hour_or_when_needed(site)
    _the_verbs_order_and_list(site)
    _without_a_server_all_stays_as_it_is(site)
