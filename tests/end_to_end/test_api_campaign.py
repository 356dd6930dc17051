"""The campaign against the HTTP interface: all is well; and a fault that is planted is seen."""

import time

import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from trials import failures
from zoneband.campaigns import api, api_site
from zoneband.campaigns.tally import Tally
from zoneband.server import roles

pytestmark = pytest.mark.timeout(300)


def trial(only: str, seconds: float, plant: api.Plant | None = None) -> Tally:
    tally = Tally("api", 0)
    api.run(tally, 1, seconds=seconds, only=only, plant=plant)
    return tally


@pytest.mark.parametrize("name", api_site.TARGETS)
def test_whoever_asks_whatever_is_answered(name: str) -> None:
    found = api.trial(name, "0", 6)
    assert not found.first, found.first
    assert found.asked and not found.crashes and not found.hung
    # What it asked was not all turned away at the door.
    statuses = found.statuses or {}
    let_in = sum(count for status, count in statuses.items() if status < 300)
    assert name in ("nobody", "station") or let_in, statuses


def test_every_target_runs_beside_the_others() -> None:
    tally = Tally("api", 0)
    api.run(tally, 1, seconds=1)
    assert tally.rounds == 1 and not failures(tally)
    assert tally.figures.keys() == {f"of_{name}" for name in api_site.TARGETS}


def planted(app: FastAPI, answer: object) -> None:
    """A route that raises for what nobody foresaw."""

    @app.get("/v1/planted")
    def plant(number: int = 0) -> object:  # pyright: ignore[reportUnusedFunction]
        return {"half": 100 // (number % 3)} if answer == "raise" else _slow()

    app.openapi_schema = None


def _slow() -> dict[str, int]:
    until = time.process_time() + 1
    while time.process_time() < until:
        pass
    return {}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes of that path only: the planted one gets its turn at once, past the gate."""
    monkeypatch.setitem(roles.TABLE, "GET /v1/planted", roles.Entry(roles.Way.PUBLIC))
    described = api_site.ApiSite.described

    def some(self: api_site.ApiSite, name: str) -> tuple[FastAPI, str]:
        app, base = described(self, name)
        schema = app.openapi()
        schema["paths"] = {k: v for k, v in schema["paths"].items() if "planted" in k}
        return app, base

    monkeypatch.setattr(api_site.ApiSite, "described", some)


@pytest.mark.usefixtures("alone")
def test_a_route_that_raises_is_seen_to_crash() -> None:
    assert trial("nobody", 10, lambda app: planted(app, "raise")).crashes


@pytest.mark.usefixtures("alone")
def test_a_route_that_takes_too_long_is_seen_to_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SLOW_S", 0.5)
    tally = trial("nobody", 5, lambda app: planted(app, "slow"))
    assert tally.hung and not tally.crashes


def test_a_body_that_breaks_the_server_is_seen() -> None:
    def plant(app: FastAPI) -> None:
        # As if the reader of batches let a name through that the ledger cannot hold.
        @app.middleware("http")
        async def fails(request: Request, call_next: object) -> Response:  # pyright: ignore[reportUnusedFunction]
            if "/batches/" in request.url.path and len(await request.body()) % 7 == 3:
                return JSONResponse({}, 500)
            return await call_next(request)  # type: ignore[operator]  # pyright: ignore

    assert trial("batches", 6, plant).crashes
