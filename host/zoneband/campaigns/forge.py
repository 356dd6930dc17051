"""Forgeries: whoever lacks a key tries to pass for somebody who has it.

A round is all of them once, against one band that is handed out and a server. Each must be refused,
and the band must tell in its own log what it refused.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from zoneband import batch as batches
from zoneband.batch import BatchHeader
from zoneband.campaigns.life import START, Life
from zoneband.campaigns.tally import Tally, Verdict
from zoneband.campaigns.workers import each_in_turn
from zoneband.dock.greeting import Greeting, Impostor, NoBand, Refused
from zoneband.dock.link import Link, LinkLost
from zoneband.dock.session import BandSession
from zoneband.sim import keys, solo
from zoneband.sim.solo_cable import SoloCable
from zoneband.wire import (
    bundle,
    frames,
    handshake,
    log,
    messages,
    orders,
    readers,
    receipt,
    records,
    sealing,
    updates,
)

_PATIENCE_S = 4.0
_PERIOD_MS = 1000  # real ones, on a cable
# Waits for stations until it is told to stop; then a while passes, and what was refused is told.
_SERVE = """
while not crowd.exists("../stop"):
    band.burst()
_air.now_us += 1000 * 1000000
band.burst()
band.burst()
witness.tick()
"""

Forgery = Callable[["_Attack"], bool]  # True: it passed for genuine


class _Attack:
    """One band on a cable, and what an attacker has: a place on the cable, and all but the keys."""

    def __init__(self, life: Life, cable: SoloCable) -> None:
        self.life = life
        self.cable = cable
        self.heard: list[bytes] = []  # frames of a station to the band, off the tapped cable
        self.old_order = b""

    @contextlib.contextmanager
    def session(self, proved: bool = True) -> Generator[tuple[BandSession, Link]]:
        """A station's session, which the station proves."""
        link = Link(self.cable.port)
        try:
            session = BandSession(link, keys.dock_key, self.life.utc)
            if proved:
                session.greet(_PATIENCE_S)
            yield session, link
            if proved:
                with contextlib.suppress(LinkLost):
                    session.bye()
        finally:
            link.close()
            time.sleep(0.05)

    def status(self) -> Greeting:
        """What the band says of itself."""
        with self.session() as (session, _):
            return session.greet(_PATIENCE_S)


def _refused(work: Callable[[], object], *reasons: int) -> bool:
    # False when it was refused for one of these reasons, as it must be.
    try:
        work()
    except Refused as refused:
        return refused.reason not in reasons
    except Impostor:
        pass  # it took the proof, and gave its own
    return True


# --- on the cable --------------------------------------------------------------------------------


def wrong_dock_key(attack: _Attack) -> bool:
    """A station of another group."""
    link = Link(attack.cable.port)
    try:
        wrong = handshake.dock_key(b"a stolen key of another group   ", attack.life.serial)
        session = BandSession(link, lambda band: wrong, attack.life.utc)
        return _refused(lambda: session.greet(_PATIENCE_S), messages.BAD_PROOF)
    finally:
        link.close()


def no_proof(attack: _Attack) -> bool:
    """Messages without any proof."""
    with attack.session(proved=False) as (session, link):
        band = session.hello(_PATIENCE_S)
        for message in (
            messages.one(messages.STATE_SET, records.RETURNED, 1),
            messages.pull(1, 0, 4),
            messages.one(messages.CLOCK_GET),
        ):
            link.send(frames.encode(message))
        while (payload := link.receive(0.4)) is not None:
            if payload[0] != messages.HELLO_OK:
                return True
        return not band.provisioned


def replayed_session(attack: _Attack) -> bool:
    """All that a station once said, said again."""
    before = attack.status()
    link = Link(attack.cable.port)
    try:
        for frame in attack.heard:
            link.send(frame)
            while (payload := link.receive(0.1)) is not None:
                if payload[0] not in (messages.HELLO_OK, messages.REFUSED):
                    return True
    finally:
        link.close()
    after = attack.status()
    return (after.state, after.receipted) != (before.state, before.receipted)


def replayed_frame(attack: _Attack) -> bool:
    """One message of this very session, said twice by somebody on the cable."""
    with attack.session() as (session, link):
        sent: list[bytes] = []
        real = link.send

        def keep(frame: bytes) -> None:
            sent.append(frame)
            real(frame)

        link.send = keep  # type: ignore[method-assign]
        session.clock()
        link.send = real  # type: ignore[method-assign]
        for frame in sent:
            link.send(frame)
        return link.receive(0.5) is not None


def altered_frame(attack: _Attack) -> bool:
    """A message of this session with another meaning, its CRC made right again."""
    with attack.session() as (session, link):
        real = link.send

        def alter(frame: bytes) -> None:
            payload = bytearray(frames.decode(frame[:-1]))
            payload[0] = messages.SELF_TEST
            real(frames.encode(bytes(payload)))

        link.send = alter  # type: ignore[method-assign]
        session._send(messages.one(messages.CLOCK_GET))  # pyright: ignore[reportPrivateUsage]
        link.send = real  # type: ignore[method-assign]
        return link.receive(0.5) is not None


# --- receipts and orders -------------------------------------------------------------------------


def _receipt(attack: _Attack, key: bytes, more: int = 0, serial: str = "") -> bool:
    with attack.session() as (session, _):
        band = session.greet(_PATIENCE_S)
        slots: list[bytes] = []
        session.pull(band.log_id, band.receipted, lambda cursor, data: slots.append(data))
        digest = sealing.next_secret(b"".join(slots))  # SHA-256 of them
        upto = band.head + more
        who = serial or attack.life.serial
        mac = receipt.mac(key, who, band.log_id, band.receipted, upto, digest)
        return _refused(
            lambda: session.receipt(band.log_id, band.receipted, upto, mac), messages.BAD_RECEIPT
        )


def receipt_of_a_station(attack: _Attack) -> bool:
    """A receipt under the only key that a station has."""
    return _receipt(attack, handshake.dock_key(keys.GROUP_KEY, attack.life.serial))


def receipt_of_another_band(attack: _Attack) -> bool:
    """The server's receipt for another band."""
    return _receipt(attack, bytes(32), serial="ZB-9999-0000")


def receipt_for_a_later_cursor(attack: _Attack) -> bool:
    """The server's own receipt, for more than it holds."""
    return _receipt(attack, attack.life.receipt_key, more=1)


def _order(attack: _Attack, order: bytes, *reasons: int) -> bool:
    with attack.session() as (session, _):
        return _refused(lambda: session.order(order), *reasons)


def order_of_a_station(attack: _Attack) -> bool:
    """An order under the dock key."""
    key = handshake.dock_key(keys.GROUP_KEY, attack.life.serial)
    order = orders.pack(key, attack.life.serial, 900, orders.UNLOCK)
    return _order(attack, order, messages.BAD_ORDER)


def order_of_another_band(attack: _Attack) -> bool:
    """An order that the server made for another band."""
    order = orders.pack(attack.life.receipt_key, "ZB-9999-0000", 900, orders.UNLOCK)
    return _order(attack, order, messages.BAD_ORDER)


def altered_order(attack: _Attack) -> bool:
    """A genuine order whose hidden kind somebody turned into another."""
    order = bytearray(orders.pack(attack.life.receipt_key, attack.life.serial, 900, orders.REKEY))
    order[4] ^= orders.REKEY ^ orders.UNLOCK
    return _order(attack, bytes(order), messages.BAD_ORDER)


def order_out_of_turn(attack: _Attack) -> bool:
    """A genuine order that the band carried out before, and one made before it."""
    life = attack.life
    number = orders.number_of(attack.old_order)
    older = orders.pack(life.receipt_key, life.serial, number - 1, orders.UNLOCK)
    with attack.session() as (session, _):
        was = session.greet(_PATIENCE_S).flags
        # The last one again: its answer might have been lost, so it is called done, and is not.
        session.order(attack.old_order)
        if session.greet(_PATIENCE_S).flags != was:
            return True
    return _order(attack, older, messages.OLD_ORDER)


# --- updates -------------------------------------------------------------------------------------


def _update(
    attack: _Attack, version: tuple[int, int, int], signer: Ed25519PrivateKey, reason: int
) -> bool:
    manifest = bundle.pack(keys.AUTHORITY_NUMBER, version, (0, 0, 0), 6, 1000, bytes(32), ())
    signed = manifest + signer.sign(bundle.LABEL + manifest)
    with attack.session() as (session, _):

        def give() -> None:
            for at in range(0, len(signed), updates.PIECE_BYTES):
                piece = signed[at : at + updates.PIECE_BYTES]
                message = updates.manifest(at, len(signed), piece)
                session.ask(message, messages.WANTED, 20)

        return _refused(give, reason)


def unsigned_update(attack: _Attack) -> bool:
    """A newer version that the authority did not sign."""
    return _update(attack, (9, 0, 0), Ed25519PrivateKey.generate(), messages.BAD_UPDATE)


def old_update(attack: _Attack) -> bool:
    """An older version that the authority did sign, once."""
    return _update(attack, (0, 0, 1), keys.SIGNING, messages.OLD_UPDATE)


# --- the band's log ------------------------------------------------------------------------------


def _station_log(life: Life, fmt: int) -> bytes:
    """A batch that a station made up: everything right but the log key."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    log_id, number = 0x5EED, 0
    header = log.pack_header(fmt, keys.AUTHORITY_NUMBER, log_id, number)
    head = log.group_head(7, 0)
    secret = life.rng.randbytes(32)
    info = sealing.info(life.serial, header, head)
    sealed = suite.encrypt(secret, keys.PRIVATE_KEY.public_key(), info=info)
    slots = header + log.pack_group(head, sealed if fmt else bytes(80))
    false_key = sealing.log_key(handshake.dock_key(keys.GROUP_KEY, life.serial))
    for slot in range(log.FIRST_RECORD, 20):
        record = records.encounter(bytes(12), slot * 60, 300, 70, -50, -48, 0xFFF, 6)
        if slot % 4 == 0:
            record = records.clock(slot * 60, 0, 1, 0, START + slot * 60, 0, 5, 0)
        if fmt == log.FORMAT_OPEN:
            slots += record + log.tag_open(log_id, number, slot, record)
            continue
        cipher = Cipher(algorithms.AES128(sealing.cipher_key(secret)), modes.ECB()).encryptor()
        hidden = sealing.mix(record, cipher.update(sealing.COUNTERS))
        tag_key = sealing.tag_key(secret, false_key)
        slots += hidden + sealing.tag(tag_key, log_id, number, slot, hidden)
        secret = sealing.next_secret(secret)
    batch = BatchHeader(
        life.serial, "virtual", "0.1.0", "campaign", log_id, 0, 0, len(slots) // 32,
        7, 2000, 0, START + 2000, 0, 5, True, records.ISSUED, 3900,
    )  # fmt: skip
    return batches.pack(batch, [(0, slots)])


def _server_takes(life: Life, data: bytes) -> bool:
    took = life.server.take("campaign", batches.name(data), data)
    return bool(took.count or took.receipt)


def log_sealed_by_a_station(attack: _Attack) -> bool:
    """A log with a right key group and all, by a station that knows the public key."""
    return _server_takes(attack.life, _station_log(attack.life, log.FORMAT_SEALED))


def log_in_the_open(attack: _Attack) -> bool:
    """A log in the old format, which needs no key, of a band that seals."""
    return _server_takes(attack.life, _station_log(attack.life, log.FORMAT_OPEN))


FORGERIES: dict[str, Forgery] = {
    work.__name__: work
    for work in (
        wrong_dock_key,
        no_proof,
        replayed_session,
        replayed_frame,
        altered_frame,
        receipt_of_a_station,
        receipt_of_another_band,
        receipt_for_a_later_cursor,
        order_of_a_station,
        order_of_another_band,
        altered_order,
        order_out_of_turn,
        unsigned_update,
        old_update,
        log_sealed_by_a_station,
        log_in_the_open,
    )
}
# What the band's log must tell of them.
_TOLD = {
    records.REFUSED_PROOF,
    records.REFUSED_FRAME,
    records.REFUSED_RECEIPT,
    records.REFUSED_ORDER,
    records.REFUSED_UPDATE,
}


def run(
    tally: Tally,
    rounds: int,
    told: Callable[[str], None] = lambda line: None,
    changes: solo.Changes = solo.NO_CHANGES,
    only: str = "",
) -> None:
    """That many rounds more. changes: to the firmware, for tests of this trial; only: this forgery
    alone."""
    with tempfile.TemporaryDirectory(prefix="zoneband-forge") as folder:
        root = Path(folder)
        compiled = solo.compile_all(root / "compiled", changes)
        first = tally.rounds

        def one(number: int) -> tuple[list[str], Verdict | None]:
            return _round(root / str(number), compiled, number, tally.seed, only)

        for number, done in enumerate(each_in_turn(one, range(first, first + rounds)), first):
            passed, verdict = done
            tally.count(1, accepted_forgeries=len(passed))
            if verdict is not None:
                tally.count(0, lost=verdict.lost, bricked=verdict.bricked)
                tally.witness(verdict.truth, verdict.result)
            told(f"{number:5d}  {'✗ ' + ', '.join(passed) if passed else '✓'}")


def _round(
    where: Path, compiled: solo.Compiled, number: int, seed: int, only: str
) -> tuple[list[str], Verdict | None]:
    # What was accepted, and what the band and its log came to meanwhile.
    life = Life(where, compiled, number, seed, keys.SIGNER, _PERIOD_MS)
    try:
        life.log(90)
        life.dock()  # a server that knows this band's logs are sealed
        names = [name for name in FORGERIES if only in ("", name)]
        with SoloCable() as cable:
            with life.serving(_SERVE, cable):
                attack = _Attack(life, cable)
                _honest_session(attack)
                passed = [name for name in names if FORGERIES[name](attack)]
        verdict = None
        if not only:
            verdict = life.judge()
            marks = {
                readers.read_mark(record)[2]
                for record in life.held().values()
                if record[0] == records.REFUSAL
            }
            passed += [f"not told: {what}" for what in sorted(_TOLD - marks)]
        return passed + [f"crash: {crash[-300:]}" for crash in life.crashes], verdict
    except (LinkLost, NoBand) as error:
        return [f"no band: {error} {life.crashes}"], None
    finally:
        life.close()


def _honest_session(attack: _Attack) -> None:
    # What somebody taps off the cable: a whole session, with a state, a receipt and an order.
    life = attack.life
    number = 5
    attack.old_order = orders.pack(life.receipt_key, life.serial, number, orders.UNLOCK)
    with attack.session(proved=False) as (session, link):
        real = link.send

        def keep(frame: bytes) -> None:
            attack.heard.append(frame)
            real(frame)

        link.send = keep  # type: ignore[method-assign]
        session.greet(_PATIENCE_S)
        session.clock()
        session.order(attack.old_order)
        session.set_state(records.RETURNED, 7)
        session.set_state(records.ISSUED, 8)
        session.bye()
