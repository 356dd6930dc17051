"""One band's life for a campaign: it logs, is docked, loses its power; at its end, what is left?

The band is the firmware in a VM of its own, the dock the station's own job over a pty, the server
the tracing server itself in this process. The ground truth is what the band acknowledged: each
record whose slot had read back.
"""

import contextlib
import random
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path

from zoneband import batch as batches
from zoneband.campaigns.tally import Verdict
from zoneband.dock.job import DockJob, DockResult, Outcome
from zoneband.release import Bundle
from zoneband.server.enrolment import Enrolment
from zoneband.server.opener import Opener
from zoneband.server.parse import parse
from zoneband.server.tracing_server import TracingServer
from zoneband.sim import band as bands
from zoneband.sim import keys
from zoneband.sim.band import HARD_RESET, PWRON_RESET, Provision
from zoneband.sim.solo import Compiled, Solo
from zoneband.sim.solo_cable import Fate, SoloCable, clean
from zoneband.spool import Receipt, Spool
from zoneband.wire import bluezone

START = 1_793_682_000
DEAD = -9  # how a VM ends whose power was cut
RESTART = 30  # and one whose band called machine.reset()
_PATIENCE_S = 120.0
_END_S, _UPDATE_END_S = 0.5, 10.0
HEAP = bands.heap(6)  # and room for the neighbours and the witness
Place = tuple[int, int]
"""Log id and cursor of a record."""
_making = threading.Lock()  # a ledger is made by one thread at a time

# Started as the loader does, which counts the starts of an update on trial; but what goes wrong
# ends the VM. Ten near neighbours, a window a minute: records, rotations and RTC memory in turn.
# What it has acknowledged and what time it has come to stand in files that no cut reaches.
_BEGIN = """
import uos, witness
if uos.getenv("STAND_IN_CUT"):
    import cutpower
    cutpower.limit_files()
import loader
loader.use(loader.choose()[0])
import _air, crowd, hashlib
def beacons(window, now_s):
    for n in range(10):
        rid = hashlib.sha256(b"%d %d" % (n, now_s // 900)).digest()[:12]
        yield rid, -52 - n, bytes((0, 0, 0, 0, 0, n))
crowd.install(beacons)
import esp32
from band import run
from band.bandlog import BandLog
witness.watch(BandLog, "../truth", "../now")
band = run.make()
"""
LOG = _BEGIN + "for _ in range({bursts}):\n    band.burst()\n    witness.tick()\n"
DOCK = _BEGIN + "while not band.cable.docked:\n    band.burst()\n    witness.tick()\n"
START_ONLY = _BEGIN + "witness.tick()\n"
_STAND = """
import esp32, loader
loader.find()
from band.keys import BandKeys
keys = BandKeys(esp32.Partition.find(1, label="bandkeys")[0])
word = "whole" if keys.load() else "broken"
at_s = keys.utc_s()
print(word, at_s, keys.id_at(at_s, at_s).hex())
"""


class Life:
    """One band, its station's spool and its server, in one directory."""

    def __init__(
        self,
        where: Path,
        compiled: Compiled,
        number: int,
        seed: int,
        signer: bytes = b"",
        period_ms: int = 60000,
    ) -> None:
        """signer: Ed25519 key (32 bytes) whose updates the band takes; period_ms: of its radio."""
        self.rng = random.Random(f"zoneband life {seed} {number}")
        self._where = where
        self.number = number
        self.serial = f"ZB-{number:04d}-0000"
        self._base, self.receipt_key = self.rng.randbytes(32), self.rng.randbytes(32)
        facts = Provision(
            self.serial,
            START // 86400,
            self._base,
            None,
            self.receipt_key,
            signer=bytes((keys.AUTHORITY_NUMBER,)) + signer if signer else b"",
            issued_utc_s=START,
        )
        self.band = Solo(where / "band", compiled, facts, {"period_ms": period_ms})
        self.now_us = 0
        self.power_on_us = 0
        self.cause = PWRON_RESET
        self.spool = Spool(where / "station")
        with _making:
            self.server = TracingServer(where / "server", utc=self.utc)
        self.server.unlock({keys.AUTHORITY_NUMBER: keys.PRIVATE_KEY})
        self.server.enrol(
            Enrolment(
                self.serial, "virtual", "band", START // 86400,
                self._base, bytes(32), self.receipt_key, keys.GROUP, keys.GENERATION,
            )
        )  # fmt: skip
        self.crashes: list[str] = []
        self.cuts: list[int] = []  # virtual times
        self.restarts = 0  # by the band itself
        self.retired = False  # it was ordered to have no IDs any more
        self._taken = 0

    def close(self) -> None:
        """Free the station's and the server's files."""
        self.spool.close()

    def utc(self) -> float:
        """UTC seconds of this band's world."""
        return START + self.now_us / 1e6

    # --- what happens ---------------------------------------------------------------------------

    def _start(
        self, script: str, cut: int, terminal: int | None = None
    ) -> "subprocess.Popen[bytes]":
        return self.band.start(
            script,
            now_us=self.now_us,
            cause=self.cause,
            power_on_us=self.power_on_us,
            cut=cut,
            heap=HEAP,
            terminal=terminal,
        )

    def _ended(self, process: "subprocess.Popen[bytes]", shown: bytes) -> bool:
        # True when the power was cut. Whatever else ends a VM early is a crash.
        ticked = self._where / "band" / "now"
        if ticked.exists():
            self.now_us = max(self.now_us, int(ticked.read_text() or "0"))
        if process.returncode not in (0, DEAD, RESTART):
            self.crashes.append(shown.decode(errors="replace")[-2000:])
        if process.returncode == DEAD:
            self.cuts.append(self.now_us)
        if process.returncode == RESTART:
            self.restarts += 1
            self.reset(HARD_RESET)
        return process.returncode == DEAD

    def log(self, bursts: int, cut: int = 0, script: str = LOG) -> bool:
        """Live that many minutes, or until the power goes; whether it went."""
        process = self._start(script.format(bursts=bursts), cut)
        out, errors = process.communicate(timeout=_PATIENCE_S)
        return self._ended(process, out + errors)

    def script(self, script: str, cut: int = 0) -> None:
        """Start the band, and run a script in its VM."""
        process = self._start(_BEGIN + script, cut)
        out, errors = process.communicate(timeout=_PATIENCE_S)
        self._ended(process, out + errors)

    def power_lost(self) -> None:
        """From here on without RTC memory and run time."""
        self.band.path("rtc.bin").unlink(missing_ok=True)
        self.power_on_us = self.now_us
        self.cause = PWRON_RESET

    def reset(self, cause: int) -> None:
        """From here on after a reset that keeps RTC memory."""
        self.cause = cause

    def dock(
        self,
        cut: int = 0,
        fate: Fate = clean,
        unplug_after_s: float | None = None,
        bundle: Bundle | None = None,
    ) -> DockResult:
        """One dock by the station's own job. fate: what happens on the line; bundle: the update
        that the station has."""
        with SoloCable(fate) as cable:
            process = self._start(DOCK, cut, cable.terminal)

            def watch() -> None:
                # A band that has ended, or was pulled out, is gone from the port.
                try:
                    process.wait(unplug_after_s)
                except subprocess.TimeoutExpired:
                    pass
                cable.unplug()

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            result = DockJob(
                cable.port,
                self.spool,
                "campaign",
                True,
                keys.dock_key,
                deliver=self.deliver,
                utc=self.utc,
                fetch_orders=self._fetch_orders,
                find_update=lambda band: bundle,
            ).run()
            cable.unplug()
            try:
                process.wait(_UPDATE_END_S if bundle else _END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            watcher.join()
            shown = cable.rest()
        self._ended(process, shown)
        self.now_us += 2_000_000
        return result

    @contextlib.contextmanager
    def serving(self, script: str, cable: SoloCable) -> Generator[None]:
        """The band runs a script on a cable meanwhile, and ends when it finds a file `stop`."""
        stop = self._where / "band" / "stop"
        process = self._start(_BEGIN + script, 0, cable.terminal)
        try:
            yield
        finally:
            stop.touch()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            stop.unlink()
            self._ended(process, cable.rest())

    def deliver(self) -> None:
        """The server takes what waits in the spool, and its receipts come back."""
        for name in self.spool.waiting():
            took = self.server.take("campaign", name, self.spool.data(name))
            self._taken += took.count
            if made := took.receipt:
                receipt = Receipt(
                    made["serial"], made["log_id"], made["first"], made["upto"],
                    bytes.fromhex(made["mac"]),
                )  # fmt: skip
                self.spool.add_receipt(receipt)
            self.spool.sent(name)

    def _fetch_orders(self, serial: str, after: int) -> None:
        self.spool.add_orders(serial, self.server.orders.pending(serial, after))

    # --- the end --------------------------------------------------------------------------------

    def truth(self) -> dict[Place, list[bytes]]:
        """What the band has acknowledged, by its place; a place that it used twice has two."""
        found: dict[Place, list[bytes]] = {}
        path = self._where / "band" / "truth"
        for line in path.read_text().splitlines() if path.exists() else ():
            words = line.split(" ")
            if len(words) == 3 and len(words[2]) == 48:
                place = int(words[0]), int(words[1])
                found.setdefault(place, []).append(bytes.fromhex(words[2]))
        return found

    def held(self) -> dict[Place, bytes]:
        """Record by place of all that the server can read in what it was sent."""
        opener = Opener({keys.AUTHORITY_NUMBER: keys.PRIVATE_KEY}, self.serial, self.receipt_key)
        # A log as one: what a bad line took of one batch, a key group maybe, another brought.
        logs: dict[int, list[batches.Batch]] = {}
        for path in sorted((self._where / "server" / "batches").iterdir()):
            batch = batches.unpack(path.read_bytes())
            logs.setdefault(batch.header.log_id, []).append(batch)
        found: dict[Place, bytes] = {}
        for log_id, kept in logs.items():
            chunks = tuple(chunk for batch in kept for chunk in batch.chunks)
            for placed in parse(batches.Batch(kept[0].header, chunks), opener).records:
                found[log_id, placed.sector * 128 + placed.slot] = placed.record
        return found

    def judge(self) -> Verdict:
        """Dock it twice with all well, and hold what the server then has against the truth."""
        outcomes = [self.dock().outcome]
        # What it writes from here on, the last dock's marks, may still be in its flash at the end.
        truth = self.truth()
        outcomes.append(self.dock().outcome)
        self.deliver()
        held = self.held()
        state = self.server.band_state(self.serial)
        wrong = sum(
            each[kind] for each in state["logs"] for kind in ("altered", "missing", "foreign")
        )
        ids = self._has_ids()
        lost = [place for place, made in truth.items() if made != [held.get(place)]]
        if len(truth) <= len(self.cuts):
            lost.append((0, 0))  # it hardly writes at all
        said = f"outcomes {outcomes}, ids {ids}, lost {len(lost)}: {lost[:20]}, taken {self._taken}"
        said += "".join(f"\n{each}" for each in state["logs"])
        return Verdict(
            lost=len(lost),
            doubled=abs(self._taken - len(held)),
            unreadable=wrong,
            bricked=int(outcomes[-1] != Outcome.DONE.value or ids == self.retired),
            truth=_lines({place: b"".join(made) for place, made in truth.items()}),
            result=_lines({place: record for place, record in held.items() if place in truth}),
            said=said,
        )

    def _has_ids(self) -> bool:
        # Its keys are whole, and the ID is one that the server resolves to it.
        try:
            word, at_s, rid = self.band.run(_STAND).split()
        except RuntimeError:
            return False
        known = self.server.base_keys(self.serial)
        return word == "whole" and any(
            _id_at(day, key, int(at_s)).hex() == rid for day, key in known
        )


def _id_at(base_day: int, key: bytes, utc_s: int) -> bytes:
    for _day in range(utc_s // bluezone.DAY_S - base_day):
        key = bluezone.next_day_key(key)
    return bluezone.day_ids(key)[bluezone.slot_at(utc_s)]


def _lines(records: dict[Place, bytes]) -> bytes:
    return "".join(f"{at[0]} {at[1]} {records[at].hex()}\n" for at in sorted(records)).encode()
