"""A small town with known meetings over three days, and a tracing server that has its logs.

Who met whom, so that tests know what a tracer must see. The case is An, ill since the last day.
"""

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pyotp.totp import TOTP

from bandbook import DAY, BandBook, key
from stationed import come
from zoneband import seal, serials
from zoneband.seal import Kind, PublicKey
from zoneband.server import roles
from zoneband.server.accounts import Accounts, new_secret
from zoneband.server.app import make_app
from zoneband.server.ledger import open_ledger
from zoneband.wire import bluezone, records

FIRST = DAY - 2
START = FIRST * 86_400 - 7 * 3600  # midnight in Vietnam, 1 November 2026
ONSET = "2026-11-03"
NAME, PASSWORD = "lan.tran", "bốn con mèo trên mái"


class Wearer(NamedTuple):
    """Somebody of the town; phone "" without consent to calls. docked: whether the band came."""

    serial: str
    name: str
    born: int
    phone: str
    number: int
    docked: bool = True
    role: str = "band"


def _wearer(n: int, name: str, born: int, phone: str, docked: bool = True) -> Wearer:
    # Not every number has a check character.
    numbers = range(n * 1_000_003, n * 1_000_003 + 99)
    serial = next(found for number in numbers if (found := serials.of_number(number)))
    return Wearer(serial, name, born, phone, 100 + n, docked)


AN = _wearer(1, "Nguyễn Văn An", 1985, "+84912345678")
BINH = _wearer(2, "Trần Thị Bình", 1987, "+84987654321")
CUONG = _wearer(4, "Lê Hoàng Cường", 1990, "+84901112223")
DUNG = _wearer(5, "Phạm Thị Mỹ Dung", 1978, "+84333444555")
EM = _wearer(6, "Hoàng Văn Em", 2001, "+84555666777", docked=False)
PHUONG = _wearer(7, "Đỗ Thị Phượng", 1969, "")
GIANG = _wearer(9, "Vũ Thị Giang", 1950, "+842438225566")
HAI = _wearer(11, "Bùi Quang Hải", 1948, "+84777888999")
MARKET = _wearer(12, "", 0, "")._replace(role="venue")
# One band that two people had in turn, Linh from the second day on.
KHANH = _wearer(14, "Đinh Gia Khánh", 1994, "+84911000111")
LINH = KHANH._replace(name="Ngô Thuỳ Linh", born=1999, phone="+84922000222", number=214)
HANDED_ON_S = START + 86_400 + 8 * 3600
EVERYBODY = (AN, BINH, CUONG, DUNG, EM, PHUONG, GIANG, HAI, MARKET, KHANH)


class Meeting(NamedTuple):
    """Two bands near each other from a day and hour on; rssi: the mean level, dBm."""

    a: Wearer
    b: Wearer
    day: int
    hour: float
    minutes: int
    rssi: int


MEETINGS = (
    *(Meeting(AN, BINH, day, 19, 120, -61) for day in (0, 1, 2)),
    Meeting(AN, BINH, 1, 6, 45, -70),
    *(Meeting(AN, CUONG, day, 8, 150, -67) for day in (0, 1)),
    Meeting(AN, CUONG, 1, 13.5, 60, -79),
    *(Meeting(AN, DUNG, day, 9, 120, -77) for day in (0, 1)),
    Meeting(AN, EM, 1, 7, 25, -66),
    Meeting(AN, PHUONG, 1, 12, 10, -64),
    Meeting(AN, MARKET, 2, 17, 30, -68),
    Meeting(PHUONG, MARKET, 2, 17.25, 40, -66),
    Meeting(BINH, GIANG, 1, 14, 40, -63),
    Meeting(GIANG, HAI, 2, 9, 55, -65),
)


def id_at(serial: str, utc_s: int) -> bytes:
    """What a band sends at a time."""
    day_key = key(serial)
    for _day in range(utc_s // 86_400 - FIRST + 1):
        day_key = bluezone.next_day_key(day_key)
    return bluezone.day_ids(day_key)[bluezone.slot_at(utc_s)]


def _log(path: Path, me: Wearer) -> BandBook:
    written: dict[int, list[tuple[Wearer, int]]] = defaultdict(list)
    for meeting in MEETINGS:
        if me not in (meeting.a, meeting.b):
            continue
        other = meeting.b if me == meeting.a else meeting.a
        begin = START + meeting.day * 86_400 + int(meeting.hour * 3600)
        for at in range(begin, begin + meeting.minutes * 60, 300):
            # Bodies turn: the level wanders, the same for both sides and in every run.
            wander = (at // 300 * 7) % 5 - 2
            written[at].append((other, meeting.rssi + wander))
    book = BandBook(me.serial, path, boot_s=START)
    book.mark(records.STATE, START + 60, records.ISSUED, me.number)
    handed_on = me is not KHANH
    for at in sorted([*written, *range(START + 1800, START + 3 * 86_400, 900)]):
        if not handed_on and at >= HANDED_ON_S:
            book.mark(records.STATE, HANDED_ON_S, records.ISSUED, LINH.number)
            handed_on = True
        if at % 900 == 0:
            book.clock(at)
        for other, rssi in written.get(at, ()):
            base = book.log.ready(at - START + 300)
            rid = id_at(other.serial, at)
            made = records.encounter(rid, at - START - base, 298, 70, rssi, rssi + 6, 0xFFF, 6)
            book.log.append(made)
    return book


class Town:
    """The server of the town, in a directory; `now` is its clock, UTC seconds."""

    def __init__(self, path: Path) -> None:
        self.now = START + 3 * 86_400 + 10 * 3600
        private = X25519PrivateKey.generate()
        self.authority = PublicKey(1, private.public_key().public_bytes_raw())
        data = path / "server"
        self.app: FastAPI = make_app(data, lambda: self.now, [self.authority], {1: private})
        self.http = TestClient(self.app, client=("127.0.0.1", 1))
        self._station = come(self.http, data, "st", lambda: self.now)
        tracer = (data / "tracer-token").read_text()
        self.tracer = {"Authorization": f"Bearer {tracer}"}
        logs = path / "logs"
        logs.mkdir()
        for who in EVERYBODY:
            self._enrol(who)
            if who.name:
                self._record(Kind.PERSON, self._person(who))
        self._record(Kind.PERSON, self._person(LINH))
        for who in EVERYBODY:
            if who.docked:
                self._dock(_log(logs, who), who)
        self.secret = new_secret()
        accounts = Accounts(open_ledger(data), utc=lambda: self.now)
        accounts.add(NAME, PASSWORD, self.secret, (roles.HEALTH, roles.TRACER))

    def code(self) -> str:
        """A code that was not used before."""
        self.now += 30
        return TOTP(self.secret).at(self.now)

    def _enrol(self, who: Wearer) -> None:
        facts = {
            "serial": who.serial, "board": "virtual", "role": who.role, "base_day": FIRST - 1,
            "base_key": key(who.serial).hex(), "dock_key": "00" * 32,
            "receipt_key": key(who.serial + "r").hex(),
        }  # fmt: skip
        self._record(Kind.ENROLMENT, facts)

    def _person(self, who: Wearer) -> dict[str, Any]:
        return {
            "serial": who.serial, "number": who.number, "name": who.name,
            "birth_year": who.born, "phone": who.phone or None,
            "phone_of": ("relative" if who is HAI else "own") if who.phone else None,
            "commune": "26740", "language": "vi",
        }  # fmt: skip

    def _record(self, kind: Kind, facts: dict[str, Any]) -> None:
        data = seal.seal(self.authority, kind, facts)
        name = hashlib.sha256(data).hexdigest()
        path = f"/v1/stations/st/records/{name}"
        answer = self.http.put(path, content=data, auth=self._station)
        assert answer.status_code == 201, answer.text

    def _dock(self, book: BandBook, who: Wearer) -> None:
        run_s = 3 * 86_400 + 1800
        data = book.batch(run_s=run_s, utc_s=START + run_s)
        name = hashlib.sha256(data).hexdigest()
        path = f"/v1/stations/st/batches/{name}"
        answer = self.http.put(path, content=data, auth=self._station)
        assert answer.status_code == 201, (who.name, answer.text)
