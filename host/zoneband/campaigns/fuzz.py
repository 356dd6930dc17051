"""Bytes from nowhere at everything that reads bytes: on the host, and on the band in its VM.

A round is one minute a target. Each input is whole but for some damage, or made up from end to end;
whatever it is, a reader answers or raises ValueError, within a second of processor time.
"""

import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zoneband import batch as batches
from zoneband import seal
from zoneband.batch import BatchHeader
from zoneband.campaigns.tally import Tally
from zoneband.campaigns.workers import each_in_turn
from zoneband.server.brought import split
from zoneband.server.opener import Opener
from zoneband.server.parse import judge, parse
from zoneband.sim import band as bands
from zoneband.sim import keys, solo
from zoneband.sim.band import Provision
from zoneband.wire import bundle, frames, handshake, hello, log, messages, orders, readers, records

SLOW_S = 1.0
_Target = Callable[[random.Random], Callable[[], None]]
_HEAP = bands.heap(22)  # and room for the targets' own lines
_START = 1_793_682_000
_SERIAL = "ZB-0000-0000"

_READERS: tuple[Callable[[bytes], object], ...] = (
    hello.read_hello,
    hello.read_hello_ok,
    hello.read_proof,
    hello.read_welcome,
    messages.read_pull,
    messages.read_ack,
    messages.read_data,
    messages.read_data_end,
    messages.read_clock_now,
    messages.read_clock_set,
    messages.read_receipt,
    messages.read_one,
    readers.read_encounter,
    readers.read_clock,
    readers.read_boot,
    readers.read_health,
    readers.read_mark,
    readers.read_loss,
    readers.read_new_key,
    bundle.unpack,
    seal.read_head,
    log.unpack_header,
    log.unpack_group,
)
_MESSAGES = (
    messages.pull(1, 2, 3),
    messages.ack(7),
    messages.data(5, bytes(range(32)) * 2),
    messages.clock_set(_START, 5, 6),
    messages.receipt(1, 2, 3, bytes(32)),
    messages.one(messages.STATE_SET, 1, 2),
    messages.one(messages.CUE, 1),
    messages.one(messages.SPEED, 0, 115200),
    messages.order(bytes(76)),
    hello.hello(77),
    hello.hello_ok(_SERIAL, 1, 1, 8, 77, bytes(16)),
    hello.proof(bytes(16), bytes(32)),
    log.pack_header(1, 1, 7, 0),
    log.pack_group(log.group_head(1, 2), bytes(80)),
    records.new_key(1, 0, 2, bytes(16)),
    records.clock(1, 2, 0, 0, _START, 0, 5, 0),
)


@dataclass
class Found:
    """What one target came to."""

    name: str
    inputs: int = 0
    crashes: int = 0
    hung: int = 0
    first: str = ""


def damage(rng: random.Random, data: bytes) -> bytes:
    """Some of an input: bits turned, pieces gone, doubled or moved, or nothing of it kept."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        kind = rng.randrange(6)
        at = rng.randrange(len(out) + 1)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 40)]
        elif kind == 2:
            out[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif kind == 3:
            out[at:at] = out[: rng.randrange(len(out) + 1)]
        elif kind == 4 and out:
            out[at % len(out)] = rng.choice((0, 1, 3, 0x7F, 0x80, 0xFF))
        else:
            out = bytearray(rng.randbytes(rng.randrange(0, 300)))
    return bytes(out)


# --- targets on the host --------------------------------------------------------------------------


def _frames(rng: random.Random) -> Callable[[], None]:
    stream = b"".join(frames.encode(rng.choice(_MESSAGES)) for _ in range(rng.randrange(1, 5)))
    data = damage(rng, stream)
    cut = rng.randrange(1, 60)

    def work() -> None:
        decoder = frames.Decoder()
        for at in range(0, len(data), cut):
            decoder.feed(data[at : at + cut])
        decoder.feed(b"\x00")
        assert decoder.feed(frames.encode(b"after")) == [b"after"]

    return work


def _messages(rng: random.Random) -> Callable[[], None]:
    data = damage(rng, rng.choice(_MESSAGES))
    reader = rng.choice(_READERS)

    def work() -> None:
        reader(data)

    return work


def _channel(rng: random.Random) -> Callable[[], None]:
    key, nonces = rng.randbytes(32), rng.randbytes(32)
    sealed = handshake.Channel(key, handshake.HOST, _SERIAL, nonces).seal(rng.choice(_MESSAGES))
    data = damage(rng, sealed)

    def work() -> None:
        handshake.Channel(key, handshake.BAND, _SERIAL, nonces).open(data)
        assert data == sealed

    return work


def _orders(rng: random.Random) -> Callable[[], None]:
    key = rng.randbytes(32)
    order = orders.pack(key, _SERIAL, 5, orders.UNLOCK)
    data = damage(rng, order)

    def work() -> None:
        orders.unpack(key, _SERIAL, data)
        assert data == order

    return work


class _Logs:
    # Sealed sectors of a band, damaged, into the server's own reader: alone, and with what an
    # honest station brought of them.
    def __init__(self, slots: bytes, receipt_key: bytes, known: set[bytes]) -> None:
        self._slots = slots
        self._known = known
        self._whole = split([(0, slots)])
        self._opener = Opener({keys.AUTHORITY_NUMBER: keys.PRIVATE_KEY}, _SERIAL, receipt_key)

    def __call__(self, rng: random.Random) -> Callable[[], None]:
        size = log.SLOT_BYTES
        slots = damage(rng, self._slots)[: batches.MAX_BYTES // 2]
        slots = slots[: len(slots) // size * size] or bytes(size)
        header = BatchHeader(
            _SERIAL, "virtual", "0.1.0", "st", _log_id(self._slots), 0, 0, len(slots) // size,
            1, 0, 0, _START, 0, 5, True, 1, 3900,
        )  # fmt: skip
        batch = batches.pack(header, [(rng.choice((0, 0, 0, 1, 128)), slots)])
        data = damage(rng, batch) if rng.random() < 0.3 else batch

        def work() -> None:
            found = parse(batches.unpack(data), self._opener)
            assert {placed.record for placed in found.records} <= self._known
            brought = split(batches.unpack(data).chunks)
            read: set[bytes] = set()
            for number, whole in self._whole.items():
                sources = [brought[number], whole] if number in brought else [whole]
                last = number == max(self._whole)
                both = judge(_log_id(self._slots), number, sources, self._opener, last=last)
                read |= {placed.record for placed in both.records}
            assert read == self._known

        return work


def _log_id(slots: bytes) -> int:
    head = log.unpack_header(slots[: log.SLOT_BYTES])
    assert head is not None
    return head[2]


def _on_host(name: str, make: _Target, seed: str, seconds: float) -> Found:
    rng = random.Random(f"zoneband fuzz {seed} {name}")
    found = Found(name)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        work = make(rng)
        began = time.thread_time()
        try:
            work()
        except ValueError:
            pass
        except Exception as error:  # what a fuzzer is for
            found.crashes += 1
            found.first = found.first or repr(error)
        found.hung += time.thread_time() - began > SLOW_S
        found.inputs += 1
    return found


# --- targets in the VM ----------------------------------------------------------------------------

_VM_BEGIN = """
import os, sys, utime
state = {seed}
def draw(n):
    global state
    state = (state * 1103515245 + 12345) & 0x3fffffff
    return (state >> 8) % n
def some(n):
    return bytes(draw(256) for _ in range(n))
def damage(data):
    out = bytearray(data)
    for _ in range((1, 1, 2, 4)[draw(4)]):
        kind = draw(5)
        at = draw(len(out) + 1)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << draw(8)
        elif kind == 1:
            out = out[:at] + out[at + draw(30):]
        elif kind == 2:
            out = out[:at] + some(1 + draw(30)) + out[at:]
        elif kind == 3 and out:
            out[at % len(out)] = (0, 1, 3, 0x7f, 0x80, 0xff)[draw(6)]
        else:
            out = bytearray(some(draw(200)))
    return bytes(out)
until = utime.ticks_add(utime.ticks_ms(), {ms})
inputs = slow = 0
def timed(work):
    global inputs, slow
    begun = utime.clock()
    try:
        work()
    except ValueError:
        pass
    slow += utime.clock() - begun > {slow_s}
    inputs += 1
def more():
    return utime.ticks_diff(until, utime.ticks_ms()) > 0
"""
_VM_FRAMES = """
from wire import frames, messages, hello
seeds = (messages.pull(1, 2, 3), messages.receipt(1, 2, 3, bytes(32)), hello.hello(77),
         hello.proof(bytes(16), bytes(32)))
def one():
    decoder = frames.Decoder()
    decoder.feed(damage(frames.encode(seeds[draw(len(seeds))])))
    decoder.feed(b"\\x00")
    assert decoder.feed(frames.encode(b"after")) == [b"after"]
while more():
    timed(one)
print(inputs, slow)
"""
# A whole band on whose line only a made-up station speaks: before its proof, and with the key.
_VM_SESSION = """
import crowd, time
crowd.install(lambda window, now_s: ())
from band import cable, modules, run
from band.session import Session
from wire import frames, handshake, hello, messages, orders
band = run.make()
key = band.trust.dock[2]
class Line:
    def __init__(self, proved):
        self.out = []
        self.queue = [frames.encode(hello.hello(draw(1 << 29)))]
        self.proved = proved
        self.channel = None
        self.count = 0
    def read(self, timeout_ms):
        if self.queue:
            return self.queue.pop(0)
        if self.count > 12:
            time.sleep_ms(timeout_ms)
            return b""
        self.count += 1
        message = damage(seeds[draw(len(seeds))])
        if self.channel and message and draw(8):
            message = self.channel.seal(message)
        return damage(frames.encode(message)) if not draw(6) else frames.encode(message)
    def write(self, data):
        for payload in frames.Decoder().feed(data):
            if payload[0] == messages.HELLO_OK and self.proved and not self.channel:
                nonces = payload[-16:] + bytes(16)
                mac = handshake.proof(key, handshake.HOST, band.serial, nonces)
                self.queue.append(frames.encode(hello.proof(bytes(16), mac)))
                self.nonces = nonces
            elif payload[0] == messages.WELCOME and self.proved:
                self.channel = handshake.Channel(key, handshake.HOST, band.serial, self.nonces)
    def close(self):
        pass
seeds = (
    messages.pull(band.log.log_id, 0, 3), messages.ack(7), messages.clock_set({utc}, 5, 6),
    messages.receipt(band.log.log_id, 0, 5, bytes(32)), messages.one(messages.STATE_SET, 2, 2),
    messages.one(messages.CLOCK_GET), messages.one(messages.CUE, 1), messages.one(messages.BYE),
    messages.order(bytes(76)), hello.hello(7), bytes((messages.MANIFEST,)) + bytes(80),
    bytes((messages.PIECE,)) + bytes(100),
)
while more():
    line = Line(draw(4) > 0)
    timed(lambda: Session(band, line).run())
    modules.forget(*cable.TAKING)
    band.burst()
print(inputs, slow)
"""
# Flash as nobody wrote it: a band mounts it, writes on, and reads it all.
_VM_SECTORS = """
import esp32
from band.bandlog import BandLog
from band.openslots import OpenSlots
from band.store import Store
from band import logread
from wire import log as layout, records
class Flash:
    def __init__(self, image):
        self.image = image
    def readblocks(self, block, buf, at=0):
        buf[:] = self.image[block * 4096 + at : block * 4096 + at + len(buf)]
    def writeblocks(self, block, buf, at=0):
        for i in range(len(buf)):
            self.image[block * 4096 + at + i] &= buf[i]
    def ioctl(self, op, arg):
        if op == 4:
            return len(self.image) // 4096
        if op == 6:
            self.image[arg * 4096 : arg * 4096 + 4096] = b"\\xff" * 4096
class Numbers:
    def __init__(self):
        self.values = {{"log_id": 7}}
    def get(self, name, default):
        return self.values.get(name, default)
    def put(self, name, value):
        self.values[name] = value
def sector(number):
    out = bytearray(b"\\xff" * 4096)
    out[:32] = layout.pack_header(draw(2), 1, 7, number)
    out[32:128] = layout.pack_group(layout.group_head(1, 2), bytes(80))
    for slot in range(4, draw(129)):
        record = records.mark(records.DOCK, 1, 0, slot)
        out[slot * 32 : slot * 32 + 32] = record + layout.tag_open(7, number, slot, record)
    return out
def one():
    image = bytearray()
    for block in range(3):
        image += sector(block + 3 * draw(3))
    for _ in range(draw(6)):
        at = draw(len(image))
        piece = some(1 + draw(60))
        image[at : at + len(piece)] = piece[: len(image) - at]
    ring = BandLog(Flash(image), Numbers(), lambda: 7, OpenSlots())
    ring.mount(1, (draw(400), bytes(32)) if draw(2) else None)
    buf = bytearray(960)
    for n in range(3):
        try:
            ring.ready(n)
            ring.append(records.mark(records.DOCK, 1, 0, n))
        except OSError:
            pass
    at = ring.tail
    while at < ring.head:
        logread.preamble(ring, at)
        at += max(1, ring.read(at, buf))
    ring.prepare(9)
    ring.expire(1 << 22)
    logread.accept_receipt(ring, ring.receipted, ring.head, bytes(32), bytes(32), "ZB-0000-0000")
while more():
    timed(one)
print(inputs, slow)
"""
_HOSTS: dict[str, _Target] = {
    "frames": _frames,
    "messages": _messages,
    "channel": _channel,
    "orders": _orders,
}
_IN_VM = {"vm_frames": _VM_FRAMES, "vm_session": _VM_SESSION, "vm_sectors": _VM_SECTORS}


def _band(root: Path, name: str, compiled: solo.Compiled) -> solo.Solo:
    facts = Provision(
        _SERIAL, _START // 86400, bytes(32), None, bytes(32), issued_utc_s=_START, filled=200
    )
    return solo.Solo(root / name, compiled, facts)


def _on_band(root: Path, name: str, compiled: solo.Compiled, seed: int, seconds: float) -> Found:
    found = Found(name)
    band = _band(root, f"{name}-{seed}", compiled)
    script = (_VM_BEGIN + _IN_VM[name]).format(
        seed=seed + 1, ms=int(seconds * 1000), slow_s=SLOW_S, utc=_START
    )
    try:
        inputs, slow = band.run(script, timeout_s=seconds + 60, heap=_HEAP).split()[-2:]
    except RuntimeError as error:
        found.crashes, found.first = 1, str(error)
    except subprocess.TimeoutExpired:
        found.hung, found.first = 1, "does not end"
    else:
        found.inputs, found.hung = int(inputs), int(slow)
    return found


# --- rounds ---------------------------------------------------------------------------------------


def run(
    tally: Tally,
    rounds: int,
    told: Callable[[str], None] = lambda line: None,
    seconds: float = 60.0,
    changes: solo.Changes = solo.NO_CHANGES,
    only: str = "",
) -> None:
    """That many rounds more; seconds: of each target. changes: to the firmware, for tests of this
    trial; only: this target alone."""
    with tempfile.TemporaryDirectory(prefix="zoneband-fuzz") as folder:
        root = Path(folder)
        compiled = solo.compile_all(root / "compiled", changes)
        log_ = _Log(root, compiled)
        truth = log_.read()
        hosts: dict[str, _Target] = _HOSTS | {"logs": _Logs(log_.slots, bytes(32), set(truth))}
        jobs = [
            (number, name)
            for number in range(tally.rounds, tally.rounds + rounds)
            for name in [*hosts, *_IN_VM]
            if only in ("", name)
        ]

        def one(index: int) -> Found:
            number, name = jobs[index]
            seed = tally.seed * 10_007 + number
            if name in hosts:
                return _on_host(name, hosts[name], str(seed), seconds)
            return _on_band(root, name, compiled, seed, seconds)

        for found in each_in_turn(one, range(len(jobs))):
            tally.count(0, crashes=found.crashes, hung=found.hung)
            mark = f"✗ {found.first or 'slow'}" if found.crashes or found.hung else "✓"
            told(f"{found.name:12} {found.inputs:9,d}  {mark}")
        for _ in range(rounds):
            # A band's log before, and as it is read after all of that.
            tally.witness(b"".join(sorted(truth)), b"".join(sorted(log_.read())))
        tally.count(rounds)


class _Log:
    """A band's sealed log, and the server's reading of it."""

    def __init__(self, root: Path, compiled: solo.Compiled) -> None:
        image = _band(root, "seed", compiled).path("bandlog.bin").read_bytes()
        self.slots = b"".join(_written(image))

    def read(self) -> list[bytes]:
        opener = Opener({keys.AUTHORITY_NUMBER: keys.PRIVATE_KEY}, _SERIAL, bytes(32))
        header = BatchHeader(
            _SERIAL, "virtual", "0.1.0", "st", _log_id(self.slots), 0, 0, len(self.slots) // 32,
            1, 0, 0, _START, 0, 5, True, 1, 3900,
        )  # fmt: skip
        data = batches.pack(header, [(0, self.slots)])
        found = [placed.record for placed in parse(batches.unpack(data), opener).records]
        assert len(found) > 150
        return found


def _written(image: bytes) -> Iterator[bytes]:
    for at in range(0, len(image), log.SLOT_BYTES):
        slot = image[at : at + log.SLOT_BYTES]
        if slot == log.ERASED:
            return
        yield slot
