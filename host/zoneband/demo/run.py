"""Lives a story with virtual bands: hand-out, meetings, docks, upload, case, trace, check.

Everything is the real thing but the hardware: the firmware on its VM, the dock over ptys, the
server in a process of its own over HTTP.
"""

import json
import os
import random
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from zoneband import authority, registration, upload
from zoneband import station as stations
from zoneband.demo.story import Actor, Story
from zoneband.dock.job import ISSUE, DockJob, DockResult, Outcome
from zoneband.errors import ExitCode, UserError
from zoneband.flash.keys import BandKeys, enrolment
from zoneband.groups import GroupKeys
from zoneband.handout import consent
from zoneband.handout.handout import Handout
from zoneband.handout.person import Person, read
from zoneband.i18n import _, language
from zoneband.inventory import Inventory
from zoneband.localtime import local
from zoneband.seal import Kind
from zoneband.server.process import running
from zoneband.server.stations import open_stations
from zoneband.sim.simulation import Provision, Simulation, VirtualBand
from zoneband.spool import Spool
from zoneband.station import Station
from zoneband.upload import Uploader
from zoneband.wire import handshake

Say = Callable[[str | Text], None]
# Handing the bands out takes some seconds of the wall clock before the story begins.
HAND_OUT_S = 120


@dataclass(frozen=True)
class Facts:
    """What came of a story: the server's trace and the docks."""

    trace: dict[str, Any]
    docks: list[DockResult]
    batches: int
    reports: int
    lost_reports: int


class StoryRun:
    """One story in one data directory."""

    def __init__(self, story: Story, data: Path, say: Say, passed: Callable[[float], None]) -> None:
        """say: one line of what happens; passed: share of the story that is over (0..1)."""
        self._story = story
        self._data = data
        self._say = say
        self._passed = passed
        self._rng = random.Random(f"zoneband keys {story.seed}")
        self._bands: dict[str, VirtualBand] = {}
        self._docks: list[DockResult] = []
        self._groups = GroupKeys(data)

    def run(self) -> Facts:
        """Live it; raises UserError when a part of it fails."""
        story = self._story
        passphrase = secrets.token_urlsafe(18)
        self._authority = authority.make(self._data, passphrase)
        with running(self._data, passphrase) as url:
            self._say(_("A tracing server runs at {url}.").format(url=url))
            settings = self._register(url)
            with upload.station_client(settings) as http:
                self._groups.fetch(http, settings)
            spool = Spool(stations.directory(self._data))
            self._inventory = Inventory(stations.directory(self._data))
            begin_s = story.start_utc_s - HAND_OUT_S
            with Simulation(self._data / "sim", story.seed, begin_s) as sim:
                self._hand_out(sim, spool, settings)
                self._live(sim)
                self._say(_("Evening: all bands are docked side by side, and their logs uploaded."))
                sim.run_on()
                for actor in story.actors:
                    sim.plug(self._bands[actor.serial])
                for actor in story.actors:
                    self._dock(sim, spool, settings, actor)
                stats = [band.stats for band in self._bands.values()]
            sent = Uploader(self._data, spool, settings).run()
            if sent.waiting or sent.refused:
                raise UserError(_("The upload failed: {problem}").format(problem=sent.problem))
            self._say(_("{name} is ill: a tracer declares the case.").format(name=story.case.name))
            trace = self._trace(url)
        return Facts(
            trace,
            self._docks,
            sum(dock.batches for dock in self._docks),
            sum(s.delivered for s in stats),
            sum(s.lost_reports for s in stats),
        )

    def ask_again(self) -> dict[str, Any]:
        """The server's answer of a story that was lived in this directory before."""
        with running(self._data) as url:
            return json.loads(
                self._command(url, "trace", self._story.case.serial, "--json", show=False)
            )

    # --- parts of the story -----------------------------------------------------------------

    def _hand_out(self, sim: Simulation, spool: Spool, settings: Station) -> None:
        story = self._story
        utc_s = story.start_utc_s - HAND_OUT_S
        handout = Handout(self._data, lambda: utc_s)
        group, generation, group_key = self._groups.current()
        for actor in story.actors:
            base, receipt = (self._rng.randbytes(32) for _n in range(2))
            dock = handshake.dock_key(group_key, actor.serial)
            day = story.start_utc_s // 86400
            keys = BandKeys(actor.serial, day, base, dock, receipt, group, generation)
            stay = actor.at(0)
            facts = Provision(
                actor.serial,
                day,
                base,
                dock,
                receipt,
                authority=self._authority,
                group=group,
                generation=generation,
            )
            band = sim.add_band(actor.serial, stay.x, stay.y, facts)
            self._bands[actor.serial] = band
            role = "venue" if actor.venue else "band"
            sealed = enrolment(self._authority, keys, facts.board, role)
            spool.add_sealed(Kind.ENROLMENT, actor.serial, sealed)
            if actor.venue:
                self._inventory.ask(actor.serial, ISSUE)
            else:
                handout.issue(actor.serial, self._person(actor))
            self._say(f"  {actor.serial}  {actor.name}, {actor.part}")
        sim.run_on()
        for actor in story.actors:
            sim.plug(self._bands[actor.serial])
            self._dock(sim, spool, settings, actor)
            if actor.docked_s is None:
                sim.unplug(self._bands[actor.serial])
        sim.hold()
        self._say(_("Six bands and the market's beacon are handed out."))

    def _person(self, actor: Actor) -> Person:
        return read(
            name=actor.name,
            birth_year=str(self._rng.randrange(1940, 2000)),
            phone=f"09{self._rng.randrange(10**8):08d}",
            relative=False,
            commune="27298",
            given=consent.PURPOSES,
            language="vi",
            read_by="demo",
        )

    def _live(self, sim: Simulation) -> None:
        story = self._story
        offset = HAND_OUT_S
        moments = {0, story.end_s}
        for actor in story.actors:
            moments.update(stay.start_s for stay in actor.stays)
            if actor.docked_s:
                moments.add(actor.docked_s[1])
        moments.update(range(0, story.end_s, 300))
        where = {actor.serial: "" for actor in story.actors}
        for moment in sorted(moments):
            sim.run_until(offset + moment)
            self._passed(moment / story.end_s)
            for actor in story.actors:
                stay = actor.at(moment)
                band = self._bands[actor.serial]
                sim.move(band, stay.x, stay.y)
                if actor.docked_s and actor.docked_s[1] == moment:
                    sim.unplug(band)
                if stay.place != where[actor.serial] and moment:
                    clock = self._clock(moment)
                    self._say(f"  {clock}  {actor.name}: {stay.place}")
                where[actor.serial] = stay.place

    def _clock(self, moment: int) -> str:
        return local(self._story.start_utc_s + moment).strftime("%H:%M")

    def _dock(
        self,
        sim: Simulation,
        spool: Spool,
        settings: Station,
        actor: Actor,
    ) -> None:
        port = self._bands[actor.serial].cable.port
        assert port is not None
        deliver = Uploader(self._data, spool, settings)
        job = DockJob(
            port,
            spool,
            settings.name,
            True,
            self._groups.of_band,
            deliver=lambda: (deliver.run(), None)[1],
            inventory=self._inventory,
            utc=lambda: self._story.start_utc_s - HAND_OUT_S + sim.now_s,
        )
        result = job.run()
        self._docks.append(result)
        if result.outcome != Outcome.DONE.value:
            raise UserError(f"{actor.serial}: {result.message}")

    # --- the server -------------------------------------------------------------------------

    def _register(self, url: str) -> Station:
        """What a station and whoever runs the server do together: a code, and a key for it."""
        code = open_stations(self._data / "server").invite("demo")
        key = stations.new_key(self._data)
        answer = registration.ask(url, None, key, code)
        settings = Station(url, registration.name_in(answer), key, None)
        stations.save(self._data, settings)
        stations.drop_new_key(self._data)
        return settings

    def _trace(self, url: str) -> dict[str, Any]:
        """What health staff and a tracer do: give a code, declare the case, look at the contacts of
        its contacts and at the place, with the very commands."""
        story = self._story
        serial = story.case.serial
        day = local(story.start_utc_s).date().isoformat()
        code = self._command(url, "case", "code").split()[0]
        self._command(url, "case", "add", serial, "--onset", day, "--code", code)
        self._command(url, "trace", serial, "--degrees", "2")
        for venue in (actor.serial for actor in story.actors if actor.venue):
            self._command(url, "venue", venue, "--from", day, "--to", day, "--case", "1")
        found = json.loads(self._command(url, "trace", serial, "--json", show=False))
        (self._data / "trace.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        return found

    def _command(self, url: str, *words: str, show: bool = True) -> str:
        """Run a command of this program as a person would, and show it with its output."""
        wide = Console().width  # as what it says is printed
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": str(wide)}
        if show and sys.stdout.isatty():
            env["FORCE_COLOR"] = "1"
        done = subprocess.run(
            [sys.executable, "-m", "zoneband", "--lang", language(), *words]
            + ["--data", str(self._data), "--server", url],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            env=env,
            check=False,
        )
        if done.returncode not in (ExitCode.DONE, ExitCode.NOTHING):
            raise UserError(
                done.stderr.strip() or _("zoneband {verb} failed.").format(verb=words[0])
            )
        if show:
            self._say(Text(f"$ zoneband {' '.join(words)}", "bold"))
            self._say(Text.from_ansi(done.stdout))
        return done.stdout
