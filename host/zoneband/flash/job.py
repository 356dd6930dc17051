"""Flashing one board: from what the chip is to the band's own "done".

Every step can be cut and begun again: what stands in flash already is skipped, and keys are given
once. The enrolment is on disk, sealed, before the band gets its keys, and is sent only after the
band has proved that it has them.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from zoneband import __version__, station
from zoneband.dock.greeting import Greeting, Impostor, NoBand, NoKey, NotProvisioned, Refused
from zoneband.dock.link import Link, LinkLost
from zoneband.dock.refusals import no_key, refusal
from zoneband.dock.session import BandSession
from zoneband.errors import UserError
from zoneband.flash import keys as band_keys
from zoneband.flash import locked
from zoneband.flash.board import Board
from zoneband.flash.keys import BandKeys
from zoneband.flash.locked import Gate, Locked, Updated
from zoneband.flash.plan import Plan, WhichBoard
from zoneband.flash.repl import NoRepl, Repl, ScriptFailed, get_attention, restart
from zoneband.flash.tool import Esptool
from zoneband.i18n import _
from zoneband.inventory import Inventory, State
from zoneband.seal import Kind
from zoneband.spool import Spool
from zoneband.wire import messages, status

# A band's program starts within a second or two; beside a whole tray of others it takes longer.
_HELLO_S = 20.0
_LOOK = "import esp32\nfrom band import setup\nsetup.look(esp32)"
_PROVISION = (
    "import esp32\nfrom band import setup\n"
    "setup.provision(esp32, {serial!r}, {day}, {base!r}, {dock!r}, {receipt!r}, {group}, "
    "{generation}, {authority!r}, {signer!r})"
)
_TEST = (
    "import machine, esp32, bluetooth\nfrom band import setup\n"
    "setup.test(machine, esp32, bluetooth)"
)
_RUN = "import main"


class Outcome(Enum):
    """How a board ended; the value is what JSON shows."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass
class FlashResult:
    """One board, for the tray and for JSON. seconds: from the start to the band's own "done";
    tests: part -> True, False or None (the board has no such part); skipped: regions that stood
    there already; choices: boards that fit when nobody chose one."""

    port: str
    outcome: str = Outcome.FAILED.value
    message: str = ""
    note: str = ""
    serial: str | None = None
    new: bool = False
    board: str | None = None
    chip: str | None = None
    mac: str | None = None
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict[str, float])
    skipped: list[str] = field(default_factory=list[str])
    tests: dict[str, bool | None] = field(default_factory=dict[str, bool | None])
    clock_set: bool = False
    choices: list[str] = field(default_factory=list[str])

    def as_json(self) -> dict[str, Any]:
        """Keys and values for a script."""
        return asdict(self)


Report = Callable[[str, float], None]  # step, share of it that is done


class FlashJob:
    """Flashes the board at one port. make_keys: a band's keys of its group's number, generation
    and key."""

    def __init__(
        self,
        port: str,
        plan: Plan,
        spool: Spool,
        inventory: Inventory,
        report: Report = lambda _step, _share: None,
        make_keys: Callable[[int, int, bytes], BandKeys] = band_keys.make,
    ) -> None:
        self._plan = plan
        self._spool = spool
        self._inventory = inventory
        self._report = report
        self._make_keys = make_keys
        self._gate = Gate(plan.request.data, plan.groups, spool)
        self._esptool = Esptool(port, plan.request.baud, plan.request.esptool_args)
        self._port = port
        self._began = 0.0
        self.result = FlashResult(port)

    def run(self) -> FlashResult:
        """Flash; every way it can end is an outcome, none an exception."""
        result = self.result
        self._began = step_began = time.monotonic()
        try:
            for name, step in self._steps():
                step_began = time.monotonic()
                self._report(name, 0.0)
                step()
                result.steps[name] = time.monotonic() - step_began
            result.outcome = Outcome.DONE.value
            result.message = _("Done – take the band off")
        except Updated as updated:
            result.outcome, result.serial = Outcome.DONE.value, updated.serial
            result.message = _("Done – take the band off")
            result.note = _(
                "It is handed out and locked: it was updated to {version}, not flashed."
            ).format(version=updated.version)
        except Locked as error:
            result.serial, result.message = error.serial, error.message
            if "look" not in result.steps:
                result.message += " " + _("Nothing was changed.")
        except WhichBoard as error:
            result.message, result.choices = error.message, error.names
        except UserError as error:
            result.message = error.message
        except ScriptFailed as error:
            result.message = _("The band's program failed: {error}. Flash it again.").format(
                error=error
            )
        except (NoRepl, NoBand):
            result.message = _(
                "The band does not start. Plug it in again; if that does not help, use --erase."
            )
        except NoKey as error:
            result.message = no_key(error, self._plan.groups.newest(error.group))
        except Impostor:
            result.message = _("This device only claims to be a band. Put it aside.")
        except Refused as error:
            result.message = refusal(error.reason)
        except LinkLost:
            result.message = _(
                "The board was pulled out. Nothing is lost: plug it in and flash it once more."
            )
        except Exception as error:  # a thread of its own: nobody else would tell
            result.message = _("Flashing failed: {error}. Tell the engineers.").format(
                error=f"{type(error).__name__} {error}"
            )
        result.mac = result.mac or self._esptool.mac or None
        result.seconds = result.seconds or time.monotonic() - self._began
        return result

    def stop(self) -> None:
        """End the run from another thread, wherever it is."""
        self._esptool.stop()

    def _steps(self) -> list[tuple[str, Callable[[], None]]]:
        steps = self._plan.request.steps
        found: list[tuple[str, Callable[[], None]]] = []
        writes = bool({"image", "table", "app"} & set(steps))
        if not self._plan.request.erase:
            found.append(("look", self._look))
        chosen = self._plan.chosen
        if chosen is not None and (writes or self._plan.request.erase):
            # Writing and erasing refuse a wrong chip by themselves, before they change anything.
            self.result.board, self.result.chip = chosen.name, chosen.about.title
        else:
            found.append(("chip", self._identify))
        if self._plan.request.erase:
            found.append(("erase", self._erase))
        if writes:
            found.append(("write", self._write))
        if {"keys", "test"} & set(steps):
            found += [("setup", self._set_up), ("dock", self._dock)]
        return found

    # --- a locked band ----------------------------------------------------------------------

    def _look(self) -> None:
        # Before anything is changed, should a locked band be awake and hear us.
        serial = self._gate.unlock_or_update(
            self._port, locked.LOOK_S, lambda share: self._report("update", share)
        )
        if serial is not None:
            self._unlocked(serial)

    def _unlocked(self, serial: str) -> None:
        self.result.serial = serial
        self.result.note = _("It was unlocked by the authority's order.")

    def _attend(self) -> None:
        try:
            get_attention(self._port)
        except NoRepl:
            serial = self._gate.unlock(self._port, _HELLO_S)
            if serial is None:
                raise
            self._unlocked(serial)
            get_attention(self._port)

    # --- esptool ----------------------------------------------------------------------------

    def _identify(self) -> None:
        found = self._esptool.find()
        self.result.chip, self.result.mac = found.chip, found.mac
        self.result.board = self._plan.match(found).name

    @property
    def _board(self) -> Board:
        return next(b for b in self._plan.boards if b.name == self.result.board)

    def _erase(self) -> None:
        self.result.mac = self._esptool.erase(self._board.chip)
        self._retire_all_but(None)

    def _retire_all_but(self, serial: str | None) -> None:
        # A chip is one band at a time.
        assert self.result.mac is not None
        for other in self._inventory.made_on(self.result.mac):
            if other != serial:
                self._inventory.leave(other, State.RETIRED)

    def _write(self) -> None:
        regions, _app = self._plan.regions(self._board)
        done = self._esptool.write(
            self._board.chip, regions, lambda share: self._report("write", share)
        )
        self.result.mac, self.result.skipped = done.mac, list(done.skipped)

    # --- on the band ------------------------------------------------------------------------

    def _set_up(self) -> None:
        with Repl(self._port, 3) as repl:
            self._attend()
            repl.begin()
            facts = repl.ask(_LOOK)
            self._check_files(facts)
            self._report("setup", 0.3)
            if "keys" in self._plan.request.steps:
                self._keys(repl, facts)
            elif facts["keys"] == "whole":
                self.result.serial = facts["serial"]
            self._report("setup", 0.6)
            if "test" in self._plan.request.steps:
                self._test(repl)
            self._report("setup", 0.9)
            repl.leave(_RUN)

    def _check_files(self, facts: dict[str, Any]) -> None:
        _regions, made = self._plan.regions(self._board)
        if made is None:
            return
        if facts["mpy"] & 0xFF != made.mpy:
            raise UserError(
                _(
                    "The image on this board (MicroPython {release}) cannot run this firmware: it "
                    "reads other compiled files. Flash the image too: --steps image,table,app,keys,"
                    "test"
                ).format(release=facts["release"])
            )
        if facts["bad"] or facts["manifest"] != made.manifest_sha256:
            names = ", ".join(facts["bad"]) or "manifest.json"
            raise UserError(
                _("These files on the band are damaged: {names}. Flash it again.").format(
                    names=names
                )
            )

    def _keys(self, repl: Repl, facts: dict[str, Any]) -> None:
        if facts["keys"] == "whole":
            self._keep_keys(facts)
            return
        if facts["serial"]:
            raise UserError(
                _(
                    "Band {serial} has lost its ID keys. Dock it once for its log, then make it a "
                    "new band: --erase"
                ).format(serial=facts["serial"])
            )
        if facts["keys"] == "half":
            self.result.note = _("It was half provisioned and got new keys.")
        public, group, board = self._plan.authority, self._plan.group, self._board
        assert public is not None and group is not None and self.result.mac is not None
        made = self._make_keys(*group)
        sealed = band_keys.enrolment(public, made, board.name, self._plan.request.role)
        name = self._spool.add_sealed(Kind.ENROLMENT, made.serial, sealed, ready=False)
        try:
            self._inventory.begin(
                made.serial,
                self.result.mac,
                board.name,
                __version__,
                made.base_key,
                made.check,
                name,
            )
        except UserError:
            self._spool.drop_sealed(name)
            raise
        script = _PROVISION.format(
            serial=made.serial,
            day=made.base_day,
            base=made.base_key.hex(),
            dock=made.dock_key.hex(),
            receipt=made.receipt_key.hex(),
            group=made.group,
            generation=made.generation,
            authority=f"{public.number:02x}{public.key.hex()}",
            signer=self._plan.signer,
        )
        answer = repl.ask(script)
        if answer["provisioned"] != made.serial or answer["check"] != made.check.hex():
            raise UserError(
                _("The keys do not read back: the flash is faulty. Put this board aside.")
            )
        self._accept(made.serial, name)
        self.result.new = True

    def _keep_keys(self, facts: dict[str, Any]) -> None:
        serial = facts["serial"]
        known = self._inventory.made(serial)
        if known is not None:
            if known.mac != self.result.mac:
                raise UserError(
                    _(
                        "This board carries the keys of {serial}, which is another board: a copy. "
                        "Make it a band of its own: --erase"
                    ).format(serial=serial)
                )
            if known.key_check != facts["check"]:
                raise UserError(
                    _("{serial} has other keys than it was given here. Use --erase.").format(
                        serial=serial
                    )
                )
            if not known.done:
                # The last run was cut between the band's keys and our note of them.
                self._accept(serial, known.enrolment)
        self.result.serial = serial

    def _accept(self, serial: str, enrolment: str) -> None:
        self._spool.release(enrolment)
        self._inventory.done(serial)
        self._retire_all_but(serial)
        self.result.serial = serial

    def _test(self, repl: Repl) -> None:
        for line in repl.run(_TEST):
            self.result.tests[line["test"]] = line["good"]
        failed = [name for name, good in self.result.tests.items() if good is False]
        if failed or not self.result.tests:
            names = ", ".join(part_name(name) for name in failed) or "?"
            raise UserError(
                _("The self-test failed: {names}. Put this board aside.").format(names=names)
            )

    def _dock(self) -> None:
        link = Link(self._port)
        try:
            session = BandSession(link, self._plan.groups.of_band)
            try:
                self._settle(session, session.greet(_HELLO_S))
            except NotProvisioned as error:
                if "keys" in self._plan.request.steps:
                    raise UserError(
                        _("The band does not find its keys after its start. Put this board aside.")
                    ) from error
            # From here on the band may be taken off; what follows only tidies it up.
            self.result.seconds = time.monotonic() - self._began
            self._report("done", 1.0)
            with contextlib.suppress(LinkLost):
                session.bye()
        finally:
            link.close()
        with contextlib.suppress(LinkLost, NoRepl):
            restart(self._port)

    def _settle(self, session: BandSession, band: Greeting) -> None:
        if self.result.serial is None:
            self.result.serial = band.serial
        if station.clock_vouched(self._plan.request.data):
            self._set_clock(session)
        elif not self.result.note:
            self.result.note = _(
                "This computer's clock is not vouched for: the band's was left as it is."
            )
        firmware = ".".join(map(str, band.firmware))
        self._inventory.flashed(band.serial, self._board.name, firmware)
        session.cue(status.CUE_DONE)

    def _set_clock(self, session: BandSession) -> None:
        try:
            session.set_clock(100)
        except Refused as refused:
            # Handed out, it lets its clock go only so far.
            if refused.reason != messages.CLOCK_JUMP:
                raise
            self.result.note = _(
                "The band's clock is far from this computer's: it was left as it is. Only an order "
                "of the authority changes it."
            )
        else:
            self.result.clock_set = True


def part_name(part: str) -> str:
    """A part of the self-test in the user's language."""
    names = {
        "ids": _("rotating IDs"),
        "hmac": _("receipts"),
        "seal": _("sealing"),
        "ring": _("flash"),
        "radio": _("radio"),
        "clock_chip": _("clock chip"),
        "power_chip": _("power chip"),
        "cue": _("light or buzzer"),
    }
    return names.get(part, part)
