"""The server's HTTP interface against its own description, by whoever may ask; and bodies of
uploads from nowhere.

A round is one minute a target, each in a process of its own. Whatever comes is answered within five
seconds of processor time, and never with a 5xx. schemathesis makes the requests of what FastAPI
says of each route, right ones and wrong ones; hypothesis makes the bodies.
"""

import multiprocessing
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from zoneband.campaigns import api_site
from zoneband.campaigns.api_site import ApiSite
from zoneband.campaigns.tally import Tally
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

SLOW_S = 5.0
_AT_ONCE = 6  # requests of one route before the next one's turn
# What takes long to read: most of it is not Zoneband's.
_PRELOAD = [
    "schemathesis", "fastapi.testclient", "sqlalchemy", "alembic.command", "duckdb",
    "pyarrow.parquet", "zoneband.campaigns.api", "zoneband.campaigns.api_bodies",
]  # fmt: skip
Told = Callable[[str], None]
Plant = Callable[[FastAPI], None]


@dataclass
class Found:
    """What one target came to; first: the first request that went wrong, and how."""

    name: str
    asked: int = 0
    crashes: int = 0
    hung: int = 0
    first: str = ""
    # Status codes that came, so that a trial that only ever hears 401 is seen.
    statuses: dict[int, int] | None = None


class Judge:
    """Sends requests for some seconds, and keeps what must not be."""

    def __init__(self, site: ApiSite, name: str, seconds: float) -> None:
        self._site = site
        self._seconds = seconds
        self._until: float | None = None
        self.found = Found(name, statuses={})

    def over(self) -> bool:
        """Whether the time is over. It begins with the first request: on a slow computer what comes
        before takes seconds of its own, such as hypothesis' tables of characters when new."""
        return self._until is not None and time.monotonic() > self._until

    def send(self, request: Any, about: str) -> int:
        """The status of an answer; 500 for none."""
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        began = time.process_time()
        try:
            answer = self._site.http.send(request, follow_redirects=False)
            status, text = answer.status_code, answer.text[:500]
        except Exception as error:  # the server's own, that no handler took
            status, text = 500, repr(error)
        slow = time.process_time() - began > SLOW_S
        found = self.found
        assert found.statuses is not None
        found.asked += 1
        found.statuses[status] = found.statuses.get(status, 0) + 1
        found.crashes += status >= 500
        found.hung += slow
        if (status >= 500 or slow) and not found.first:
            found.first = f"{about}: {status} {text}"
        return status


def run(
    tally: Tally,
    rounds: int,
    told: Told = lambda line: None,
    seconds: float = 60.0,
    only: str = "",
    plant: Plant | None = None,
) -> None:
    """That many rounds more. only: one target alone, in this process; plant: does something to the
    application first, for tests of this trial."""
    _need()
    for _round in range(rounds):
        seed = f"{tally.seed} {tally.rounds}"
        if only:
            every = [trial(only, seed, seconds, plant)]
        else:
            words = [(name, seed, seconds) for name in api_site.TARGETS]
            # Each target in a process of its own, forked off one that has read the program.
            forking = multiprocessing.get_context("forkserver")
            forking.set_forkserver_preload(_PRELOAD)
            with forking.Pool(2, maxtasksperchild=1) as pool:
                every = pool.starmap(trial, words, chunksize=1)
        for found in every:
            tally.count(0, crashes=found.crashes, hung=found.hung)
            name = f"of_{found.name}"
            tally.figures[name] = tally.figures.get(name, 0) + found.asked
            tally.witness(found.name.encode(), repr(found).encode())
            told(f"{found.name:8} {found.asked:6} {found.first or '✓'}")
        tally.count(1)


def _need() -> None:
    try:
        import hypothesis  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import schemathesis  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError as error:
        raise UserError(
            _("This needs a part that is not installed here ({part}).").format(part=error.name),
            ExitCode.USAGE,
        ) from error


def trial(name: str, seed: str, seconds: float, plant: Plant | None = None) -> Found:
    import logging

    logging.disable(logging.CRITICAL)
    try:
        with tempfile.TemporaryDirectory(prefix="zoneband-api") as folder:
            site = ApiSite(Path(folder), random.Random(f"zoneband api {seed} {name}"))
            if plant:
                plant(site.app)
            judge = Judge(site, name, seconds)
            if name in api_site.BODIES:
                _bodies(site, judge, name)
            else:
                _routes(site, judge, name)
            return judge.found
    finally:
        logging.disable(logging.NOTSET)


def _routes(site: ApiSite, judge: Judge, name: str) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st
    from requests.models import Request

    app, base = site.described(name)
    schema = schemathesis.openapi.from_dict(app.openapi())
    operations: list[Any] = [found.ok() for found in _every(schema)]
    site.rng.shuffle(operations)

    def ask(operation: Any) -> None:
        @seed(site.rng.randrange(1 << 32))
        @settings(
            max_examples=_AT_ONCE,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        @given(case=operation.as_strategy(), known=st.integers(0, 3))
        def one(case: Any, known: int) -> None:
            if judge.over():
                return
            if known:
                site.make_known(case, name)
            words = case.as_transport_kwargs(base_url=base)
            try:
                prepared = Request(**words).prepare()
            except (ValueError, OSError):
                return  # no client can send it
            made = site.request(prepared.method, prepared.url, prepared.headers, prepared.body)
            site.credentials(name, made)
            judge.send(made, f"{case.method} {prepared.url} {prepared.body!r:.300}")
            site.look_after(name)

        one()

    turn = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while not judge.over():
            ask(operations[turn % len(operations)])
            turn += 1


def _every(schema: Any) -> Iterator[Any]:
    yield from schema.get_all_operations()


def _bodies(site: ApiSite, judge: Judge, name: str) -> None:
    from hypothesis import HealthCheck, Phase, given, seed, settings

    from zoneband.campaigns import api_bodies

    kind, bodies = api_bodies.of(name, site)
    while not judge.over():

        @seed(site.rng.randrange(1 << 32))
        @settings(
            max_examples=_AT_ONCE,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        @given(body=bodies)
        def one(body: bytes) -> None:
            if judge.over():
                return
            judge.send(site.upload(kind, body), f"{kind} {body.hex():.400}")

        one()
        # What was taken in can still be asked for.
        for made in site.questions():
            judge.send(made, str(made.url))
